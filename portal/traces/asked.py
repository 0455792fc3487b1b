"""A question as the API's body gives it, made into a spec."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext

from portal.accounts.models import Team
from portal.api.schemas import TraceIn
from portal.networks.models import ExternalNetwork
from portal.traces.header_fields import read_fields
from portal.traces.instants import read_instant
from portal.traces.outside import find_floating
from portal.traces.past import past_end, unknown_nic
from portal.traces.requests import Errors, TraceProblem, TraceSpec, ends_of, find_target, is_uuid
from portal.traces.routers import router_named


def spec_of(team: Team, asked: TraceIn) -> TraceSpec | None:
    """The question; None where it names a row that the team does not have. Raises TraceProblem with all that is wrong."""
    errors: Errors = {}
    at, wrong = read_instant(_plain(asked.at))
    if wrong:
        errors["at"] = [wrong]
    fields, problems = read_fields(_plain(asked.header_fields), asked.protocol)
    if problems:
        errors["header_fields"] = problems
    rest: dict[str, Any] = {"at": at, "header_fields": tuple(fields.items()), "is_handed_over": asked.deliver}
    make = _outside if asked.outside else _routed if asked.router else _past if asked.nic else _inside
    spec = make(team, asked, errors, rest)
    if errors:
        raise TraceProblem(errors)
    return spec


def _inside(team: Team, asked: TraceIn, errors: Errors, rest: dict[str, Any]) -> TraceSpec | None:
    if asked.source is None:
        errors["source"] = [
            gettext("no source was given: a VM's port, the name of a router, or that of an external network as outside")
        ]
        return None
    known = ends_of(team, str(asked.source), asked.target)
    source = known.get(asked.source)
    if source is None:
        errors.clear()  # 404, whatever else is wrong
        return None
    target, address, unknown = find_target(team, source, _plain(asked.target), asked.protocol, known)
    if unknown and is_uuid(asked.target):
        errors.clear()  # 404, whatever else is wrong
        return None
    if unknown and (past := past_end(team, _plain(asked.target))):
        rest, unknown = {**rest, "past_target": past}, ""
    if unknown:
        errors["target"] = [unknown]
    return TraceSpec(source, target, asked.protocol, asked.port_dst, address, asked.moment, asked.size_bytes, **rest)


def _past(team: Team, asked: TraceIn, errors: Errors, rest: dict[str, Any]) -> TraceSpec | None:
    sender = past_end(team, _plain(asked.nic))
    if sender is None:
        errors["nic"] = [unknown_nic(team, _plain(asked.nic))]
    target, address, unknown = find_target(team, None, _plain(asked.target), asked.protocol)
    past = past_end(team, _plain(asked.target)) if unknown else None
    if unknown and past is None:
        errors["target"] = [unknown]
    if errors:
        return None
    return TraceSpec(None, target, asked.protocol, asked.port_dst, address, asked.moment, asked.size_bytes, past=sender, past_target=past, **rest)  # fmt: skip


def _outside(team: Team, asked: TraceIn, errors: Errors, rest: dict[str, Any]) -> TraceSpec | None:
    network = ExternalNetwork.objects.filter(name=_plain(asked.outside)).first()
    if network is None:
        names = ", ".join(ExternalNetwork.objects.values_list("name", flat=True)) or "none"
        errors["outside"] = [
            gettext("%(outside)s was given; external networks are %(names)s")
            % {"outside": f"{asked.outside!r}", "names": names}
        ]
        return None
    return outside_spec(team, network, _plain(asked.target), asked, errors, rest)


def _routed(team: Team, asked: TraceIn, errors: Errors, rest: dict[str, Any]) -> TraceSpec | None:
    router, problem = router_named(team, _plain(asked.router))
    target, address, unknown = find_target(team, None, _plain(asked.target), asked.protocol)
    if router is None:
        errors["router"] = [problem]
    if unknown:
        errors["target"] = [unknown]
    if errors:
        return None
    return TraceSpec(None, target, asked.protocol, asked.port_dst, address, asked.moment, asked.size_bytes, router=router, **rest)  # fmt: skip


def outside_spec(team: Team, network: ExternalNetwork, target: str, asked: TraceIn, errors: Errors, rest: dict[str, Any]) -> TraceSpec | None:  # fmt: skip
    """A packet from the network to the floating address that was named, itself or by its VM."""
    floating, problem = find_floating(team, target)
    if floating is None or floating.fixed is None:
        errors["target"] = [problem]
        return None
    if floating.address.network_id != network.pk:
        errors["target"] = [
            gettext("%(floating)s is an address of %(network)s, and nothing comes to it from %(network_2)s")
            % {"floating": floating, "network": floating.address.network, "network_2": network}
        ]
        return None
    return TraceSpec(
        None, floating.fixed.port, asked.protocol, asked.port_dst, floating.address.address, asked.moment, asked.size_bytes,
        outside=network, source_address=_plain(asked.source_address), **rest,
    )  # fmt: skip


def _plain(text: str) -> str:
    """Without the letter that PostgreSQL's texts cannot hold."""
    return text.replace("\0", "").strip()
