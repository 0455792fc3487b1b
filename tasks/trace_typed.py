"""A trace's question as it is typed at `manage.py trace`: made into the API's question, and checked by the same functions.

An option stands for a field of `TraceIn` (`TYPED`); what is wrong is told all at once, each by its option and field.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any

from pydantic import ValidationError

from portal.accounts.models import Team
from portal.api.schemas import TraceIn
from portal.networks.models import FloatingAddress, Port
from portal.traces.asked import spec_of
from portal.traces.models import TraceRequest
from portal.traces.packets import KINDS, WITH_PORTS
from portal.traces.past import answer_past, past_end
from portal.traces.requests import NEXT, Errors, TraceProblem, TraceSpec, check_trace, find_target
from sdn.model.trace import to_json

NOT_A_VM = ("router", "outside", "nic")
TO_ITSELF = ("dhcp", "dns")  # which know where they go
# The API's field → what is typed for it
TYPED = {
    "header_fields": "--set, --flags", "source_address": "--as", "at": "--at", "size_bytes": "--size", "moment": "--moment, --next",
    "deliver": "--deliver", "target": "TARGET", "source": "SOURCE", "router": "SOURCE", "outside": "SOURCE", "nic": "SOURCE",
}  # fmt: skip
# Options that say nothing to a bundle, and what they are unless given
LIVE_ONLY = {
    "nd": False, "dhcp": False, "dns": False, "ipv6": False, "moment": "as_is", "size": 84, "at": "", "comes_from": "",
    "back": False, "probe": False, "deliver": False, "next_one": False,
}  # fmt: skip
LIVE_ONLY_TYPED = {"comes_from": "as", "back": "return", "next_one": "next"}


class BadQuestion(Exception):
    """The question cannot be asked; the message has every option that is wrong."""


def refuse_beside_bundle(options: Mapping[str, Any]) -> None:
    """Raises BadQuestion where an option is given that a bundle's host cannot be asked about."""
    given = [f"--{LIVE_ONLY_TYPED.get(name, name)}" for name, default in LIVE_ONLY.items() if options[name] != default]
    if given:
        raise BadQuestion(f"{', '.join(given)} with --bundle: that is asked of live hosts; give the packet by --flow")


def protocol_of(options: Mapping[str, Any]) -> str:
    """The packet that the options name; a ping when they name none. Raises BadQuestion for more than one."""
    chosen = [name for name in KINDS if options.get(name) not in (None, False)]
    if len(chosen) > 1:
        raise BadQuestion(f"{' and '.join(f'--{name}' for name in chosen)} were given: choose one")
    return chosen[0] if chosen else "icmp"


def fields_of(options: Mapping[str, Any]) -> str:
    """The header fields that were typed, as the API takes them."""
    return ",".join([*options["fields"], *([f"tcp_flags={options['flags']}"] if options["flags"] else [])])


def typed_request(options: Mapping[str, Any]) -> TraceRequest:
    """The question as a row that is not stored, with its answer where that is in rows. Raises BadQuestion with all that is wrong."""
    if options["flow"] or options["ct_next"]:
        raise BadQuestion("--flow and --ct-next go with --bundle DIR")
    protocol = protocol_of(options)
    if not options["source"] or not (options["target"] or protocol in TO_ITSELF):
        raise BadQuestion("say from which VM to which one: manage.py trace web-1 db-1 --tcp 22")
    team = Team.objects.filter(slug=options["team"]).first()
    if team is None:
        slugs = ", ".join(Team.objects.values_list("slug", flat=True))
        raise BadQuestion(f"--team: {options['team']!r} was given; there are {slugs}")
    try:
        spec = spec_of(team, _asked(team, options, protocol))
        errors = check_trace(team, spec) if spec is not None else {"target": ["no such port"]}
    except TraceProblem as problem:
        spec, errors = None, problem.errors
    if spec is None or errors:
        raise BadQuestion("; ".join(told_errors(errors)))
    row = _row_of(team, spec)
    if spec.ends_past:
        row.result = to_json(answer_past(spec, str(row.uuid)))
    return row


def _asked(team: Team, options: Mapping[str, Any], protocol: str) -> TraceIn:
    """The question in the API's words. Raises BadQuestion where its ends are none."""
    port = _source(team, options["source"])
    kind, _, name = options["source"].partition(":")
    if port is None and not name:
        kind, name = "nic", options["source"]  # a VM that has no port: its NIC
    sender = {"source": port.uuid} if port is not None else {kind: name}
    body = {
        **sender, "target": _target(team, port, options, protocol), "protocol": protocol, "moment": NEXT if options["next_one"] else options["moment"],
        "port_dst": options[protocol] if protocol in WITH_PORTS else 0, "size_bytes": options["size"], "at": options["at"],
        "header_fields": fields_of(options), "source_address": options["comes_from"],
        "deliver": options["deliver"],
    }  # fmt: skip
    try:
        return TraceIn.model_validate(body)
    except ValidationError as problem:
        errors: Errors = {}
        for one in problem.errors():
            errors.setdefault(str(one["loc"][0]), []).append(one["msg"])
        raise BadQuestion("; ".join(told_errors(errors))) from None


def _source(team: Team, given: str) -> Port | None:
    """The port that sends; None for a router's packet, or one from outside. Raises BadQuestion."""
    kind, _, name = given.partition(":")
    if name and kind in NOT_A_VM:
        return None
    port, address, problem = find_target(team, None, given)
    if port is None and past_end(team, given):
        return None
    if port is None:
        words = problem.replace("target", "source", 1) or f"no port of {team.name} has the address {address}"
        raise BadQuestion(f"SOURCE: {words}")
    return port


def _target(team: Team, source: Port | None, options: Mapping[str, Any], protocol: str) -> str:
    """What was typed; with -4 or -6 the VM's address of that family. Raises BadQuestion where it has none."""
    given = options["target"] or ""
    versions = [number for number, name in ((4, "ipv4"), (6, "ipv6")) if options[name]]
    if not versions or not given:
        return given
    if len(versions) > 1:
        raise BadQuestion("-4 and -6 were given: choose one")
    port, address, _ = find_target(team, source, given, protocol)
    if source is None and options["source"].startswith("outside:") and port is not None:
        rows = FloatingAddress.objects.filter(team=team, fixed__port=port).select_related("address")
        known = [row.address.address for row in rows]
    else:
        known = [address] if address else [row.address for row in port.addresses.all()] if port else []
    found = next((one for one in known if ip_address(one).version == versions[0]), None)
    if found is None:
        raise BadQuestion(f"-{versions[0]}: of {given} these addresses are known: {', '.join(known) or 'none'}")
    return found


def told_errors(errors: Errors) -> Iterator[str]:
    """Each problem by its option and field."""
    for field, lines in errors.items():
        typed = TYPED.get(field)
        name = f"{typed} ({field})" if typed and typed.startswith("-") else typed or field
        yield from (f"{name}: {line}" for line in lines)


def _row_of(team: Team, spec: TraceSpec) -> TraceRequest:
    return TraceRequest(
        team=team, source=spec.source, target=spec.target, address=spec.address, protocol=spec.protocol,
        port_dst=spec.port_dst if spec.protocol in WITH_PORTS else 0, moment=spec.moment, size_bytes=spec.size_bytes,
        outside=spec.outside, source_address=spec.source_address, router=spec.router, at=spec.at,
        header_fields=dict(spec.header_fields), is_handed_over=spec.is_handed_over,
    )  # fmt: skip
