"""Asking for a trace: the question is checked, stored and handed to the tracer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext, gettext_noop

from portal.accounts.audit import record
from portal.accounts.models import Team, User
from portal.captures.requests import send_order
from portal.config.kept_query import KeptQuery, with_rows
from portal.networks.models import ExternalNetwork, FixedAddress, Port, PortKind, Router
from portal.networks.owners import owned_by, owner_id_of
from portal.traces.desk import order_trace, tell_answered
from portal.traces.instants import instant_problem
from portal.traces.models import Diagnosis, TraceRequest
from portal.traces.outside import outside_errors
from portal.traces.packets import PROTOCOLS, WITH_PORTS, family_problem, target_of_itself
from portal.traces.past import PastEnd, answer_past
from portal.traces.presentation import answer_text
from portal.traces.routers import router_errors
from sdn.model.trace import to_json

MOMENTS = (
    ("as_is", gettext_noop("as its connection is now")),
    ("first", gettext_noop("first of a new connection")),
    ("established", gettext_noop("one of an established connection")),
    ("next", gettext_noop("first of the next connection, when it comes")),
)
MAX_PORT = 65535
MIN_SIZE, MAX_SIZE, DEFAULT_SIZE = 28, 65535, 84
NEXT, NEXT_WITHIN_S = "next", 60
OPENING = ("tcp", "udp", "icmp")  # that open connections which can be waited for
SHOWN_CHARS = 60
CHECKED = (
    "uuid",
    "kind",
    "name",
    "ofport",
    "is_secured",
    "host",
    "network__team",
    "vm__team",
)  # the rest is the tracer's
_NAMED = KeptQuery(
    lambda *uuids: Port.objects.filter(uuid__in=uuids).select_related("network", "vm").order_by().only(*CHECKED)
)
_ADDRESSES = KeptQuery(lambda *ports: FixedAddress.objects.filter(port__in=ports))
GIVEN = ("icmp", "tcp", "udp", "sctp")  # packets that may be handed over to a guest
Errors = dict[str, list[str]]


class TraceProblem(Exception):
    """The question cannot be asked. `errors` holds field → sentences, all at once."""

    def __init__(self, errors: Errors) -> None:
        super().__init__("; ".join(line for lines in errors.values() for line in lines))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class TraceSpec:
    """A question: from a port to a port or to an `address` that no port has. `size_bytes` is the IP packet's.

    From `outside` (then without a source) it goes to `address`, a floating one that stands for the target.
    """

    source: Port | None
    target: Port | None
    protocol: str = "icmp"
    port_dst: int = 0
    address: str = ""
    moment: str = "as_is"
    size_bytes: int = DEFAULT_SIZE
    is_handed_over: bool = False  # the real packet is given to the target's guest
    outside: ExternalNetwork | None = None
    source_address: str = ""
    at: datetime | None = None
    header_fields: tuple[tuple[str, str], ...] = ()
    router: Router | None = None
    past: PastEnd | None = None  # the sender, where it is a NIC past Open vSwitch
    past_target: PastEnd | None = None

    @property
    def is_plugged(self) -> bool:
        """Does the packet come from a port, and not from outside, a router or a NIC past Open vSwitch?"""
        return self.outside is None and self.router is None and self.past is None

    @property
    def ends_past(self) -> bool:
        """Does the way end at a NIC past Open vSwitch, with nothing to be asked of any host?"""
        return self.past is not None or self.past_target is not None


def ports_of(team: Team) -> QuerySet[Port]:
    """The ports of a team that a trace may start or end at: its VMs', and the lab's access port on its network."""
    ports = Port.objects.filter(owned_by(team)).exclude(kind=PortKind.VM, vm__isnull=True)
    return (
        ports.select_related("network__team", "vm__team", "host")
        .prefetch_related("addresses")
        .order_by("kind", "name", "id")
    )


def ends_of(team: Team, *texts: str) -> dict[UUID, Port]:
    """Those of `ports_of` that the texts name by uuid, in two queries; only what a question is checked by is read of them."""
    uuids = [uuid for text in texts if (uuid := _uuid(text.strip())) is not None]
    if not uuids:
        return {}
    rows = [port for port in _NAMED(*uuids) if owner_id_of(port) == team.pk]
    own = {port.uuid: port for port in rows if port.kind != PortKind.VM or port.vm_id is not None}
    of_port: dict[int, list[FixedAddress]] = {port.pk: [] for port in own.values()}
    for row in _ADDRESSES(*of_port) if of_port else ():
        of_port[row.port_id].append(row)
    for port in own.values():
        with_rows(port, "addresses", of_port[port.pk])
    return own


def find_target(
    team: Team, source: Port | None, text: str, protocol: str = "", known: Mapping[UUID, Port] | None = None
) -> tuple[Port | None, str, str]:
    """(port, address, problem) of what was typed as the target: a port's uuid, a VM's name, an IPv4 or IPv6 address.

    An address belongs to the port of the source's network that has it, else to the team's only port that has it. What a packet of the `protocol` goes to by itself need not be typed.
    `known` are ports that were looked for by uuid already (`ends_of`).
    """
    given = text.strip()
    if protocol == "dhcp" or not given:
        given = target_of_itself(protocol, source)
    if not given:
        return None, "", gettext("target is empty: give a VM's name, or an IPv4 or IPv6 address")
    if (uuid := _uuid(given)) is not None:
        port = (ends_of(team, given) if known is None else known).get(uuid)
        return port, "", "" if port else _unknown(team, given)
    if (address := _address(given)) is not None:
        return _port_with(team, source, address), str(address), ""
    named = list(ports_of(team).filter(name=given)[:50])
    near = [port for port in named if source is not None and port.network_id == source.network_id] or named
    return (near[0], "", "") if near else (None, "", _unknown(team, given))


def _port_with(team: Team, source: Port | None, address: IPv4Address | IPv6Address) -> Port | None:
    found = list(ports_of(team).filter(addresses__address=str(address))[:50])
    here = [port for port in found if source is not None and port.network_id == source.network_id]
    if here:
        return here[0]
    if source is not None and any(address in ip_network(row.cidr) for row in source.network.subnets.all()):
        return None  # on the source's own network, where nobody has it
    return found[0] if len(found) == 1 else None


def address_of_family(target: Port | None, address: str, family: int) -> tuple[str, str]:
    """(address, problem): the target's address of the family that was chosen; one that was typed must be of it."""
    if address:
        version = ip_address(address).version
        wrong = gettext(
            "%(address)s is an IPv%(version)s address, and IPv%(family)s was chosen: leave the family open, or give a VM's name"
        ) % {"address": address, "version": version, "family": family}
        return address, "" if version == family else wrong
    own = [row.address for row in target.addresses.all()] if target else []
    found = next((one for one in own if ip_address(one).version == family), "")
    if found or target is None:
        return found, ""
    words = gettext("%(target)s has no IPv%(family)s address; it has %(own)s")
    return "", words % {"target": target.name, "family": family, "own": ", ".join(own) or gettext("none")}


def _unknown(team: Team, given: str) -> str:
    names = list(ports_of(team).values_list("name", flat=True)[:6])
    have = f"{team.name} has {', '.join(names)}" if names else gettext("%(team)s has no VM yet") % {"team": team.name}
    return gettext("target %(given)s was given; allowed are a VM's name (%(have)s) and an IPv4 or IPv6 address") % {
        "given": f"{given[:SHOWN_CHARS]!r}",
        "have": have,
    }


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text) if len(text) in (32, 36) else None
    except ValueError:
        return None


def is_uuid(text: str) -> bool:
    """Does the text name a row, and not a VM or an address?"""
    return _uuid(text.strip()) is not None


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def check_trace(team: Team, spec: TraceSpec) -> Errors:
    """Field → what is wrong with it; empty when the trace can be asked for."""
    errors: Errors = {}
    for name, port in (("source", spec.source), ("target", spec.target)):
        is_without = not spec.is_plugged if name == "source" else bool(spec.address or spec.past_target)
        if (port is None and not is_without) or (port is not None and owner_id_of(port) != team.pk):
            errors[name] = [
                gettext("%(name)s is no VM of team %(team)s: choose one of the list")
                % {"name": name, "team": team.name}
            ]
    if spec.source is not None and spec.target is not None and spec.source.pk == spec.target.pk:
        errors["target"] = [
            gettext("source and target are both %(source)s: choose two VMs") % {"source": spec.source.name}
        ]
    if not errors and (problem := _family_problem(spec)):
        errors["target"] = [problem]
    if spec.is_handed_over and (spec.at is not None or not spec.is_plugged or spec.header_fields):
        errors["deliver"] = [
            gettext(
                "a real packet is sent now, from a VM's own port, and as it would send it: nothing else is handed over"
            )
        ]
    if spec.at is not None and (problem := instant_problem(spec.at)):
        errors["at"] = [problem]
    if spec.router is not None:
        errors |= router_errors(team, spec.router, spec.target, spec.address, spec.protocol)
        if spec.at is not None:
            errors["at"] = [gettext("a router's packet is followed as it would be now: leave the time out")]
    if spec.ends_past and (spec.at is not None or spec.header_fields):
        errors["at" if spec.at else "header_fields"] = [
            gettext("the way ends at a NIC past Open vSwitch, as it is known now: leave the time and the fields out")
        ]
    if spec.outside is not None:
        errors |= outside_errors(spec.address, spec.source_address, spec.protocol)
    if spec.protocol not in PROTOCOLS:
        errors["protocol"] = [
            gettext("protocol %(protocol)s was given; allowed are %(protocols)s")
            % {"protocol": f"{spec.protocol[:SHOWN_CHARS]!r}", "protocols": ", ".join(PROTOCOLS)}
        ]
    elif spec.protocol in WITH_PORTS and not 1 <= spec.port_dst <= MAX_PORT:
        errors["port_dst"] = [
            gettext("port %(port_dst)s was given; %(protocol)s takes 1 to %(max_port)s")
            % {"port_dst": spec.port_dst, "protocol": spec.protocol, "max_port": MAX_PORT}
        ]
    if spec.moment not in dict(MOMENTS):
        given = spec.moment[:SHOWN_CHARS]
        errors["moment"] = [
            gettext("packet %(given)s was given; allowed are %(name)s")
            % {"given": f"{given!r}", "name": ", ".join(name for name, _ in MOMENTS)}
        ]
    if not MIN_SIZE <= spec.size_bytes <= MAX_SIZE:
        errors["size_bytes"] = [
            gettext("size %(size_bytes)s was given; an IP packet has %(min_size)s to %(max_size)s bytes")
            % {"size_bytes": spec.size_bytes, "min_size": MIN_SIZE, "max_size": MAX_SIZE}
        ]
    if spec.moment == NEXT and (problem := _next_problem(spec)):
        errors["moment"] = [problem]
    if spec.is_handed_over and (spec.target is None or spec.protocol not in GIVEN):
        errors["deliver"] = [
            gettext("a packet is handed over to a VM of team %(team)s alone, and only one of %(given)s")
            % {"team": team.name, "given": ", ".join(GIVEN)}
        ]
    return errors


def _next_problem(spec: TraceSpec) -> str:
    """Why the next connection cannot be waited for; "" where it can."""
    if spec.source is None or spec.ends_past or spec.at is not None or spec.header_fields:
        return gettext("the next connection is waited for now, at a VM's own port, and is as its guest opens it")
    if spec.protocol not in OPENING:
        return gettext("the next connection is waited for of %(opening)s; %(protocol)s was given") % {
            "opening": ", ".join(OPENING),
            "protocol": spec.protocol[:SHOWN_CHARS],
        }
    if spec.source.ofport is None or spec.source.host_id is None:
        return gettext("%(source)s is off: it opens no connection now") % {"source": spec.source.name}
    return (
        ""
        if spec.source.is_secured
        else gettext("the port security of %(source)s is off: its connections are not tracked")
        % {"source": spec.source.name}
    )


def spec_again(row: TraceRequest, *, is_handed_over: bool = False) -> TraceSpec:
    """The same question once more."""
    return TraceSpec(
        row.source, row.target, row.protocol, row.port_dst, row.address, row.moment, row.size_bytes, is_handed_over,
        outside=row.outside, source_address=row.source_address, at=row.at,
        header_fields=tuple(row.header_fields.items()), router=row.router,
    )  # fmt: skip


def _family_problem(spec: TraceSpec) -> str:
    """The source must have an address of the target's family, and both of the packet's."""
    if spec.source is None or spec.past_target is not None:
        return ""
    own = {ip_address(row.address).version for row in spec.source.addresses.all()}
    if problem := family_problem(spec.protocol, own, spec.source.name):
        return problem
    if not spec.address:
        theirs = {ip_address(row.address).version for row in spec.target.addresses.all()} if spec.target else set()
        return family_problem(spec.protocol, theirs, spec.target.name if spec.target else "")
    version = ip_address(spec.address).version
    if version not in own:
        return gettext("%(spec)s is an IPv%(version)s address and %(source)s has none of that family") % {
            "spec": spec.address,
            "version": version,
            "source": spec.source.name,
        }
    return family_problem(spec.protocol, {version}, spec.address)


def trace_title(spec: TraceSpec) -> str:
    """`web-1 → db-1 tcp/5432`."""
    service = f"{spec.protocol}/{spec.port_dst}" if spec.protocol in WITH_PORTS else spec.protocol
    sender = spec.source or spec.router or spec.outside or spec.past
    source, target = sender.name if sender else "?", spec.target or spec.past_target
    return f"{source} → {target.name if target else spec.address} {service}"


def create_trace(
    team: Team, user: User | None, spec: TraceSpec, part: tuple[Diagnosis, str] | None = None
) -> TraceRequest:
    """A stored trace in state running, ordered from the tracer on commit. Raises TraceProblem, and then nothing is stored.

    Without a user it is the product's own, asked for at the server.
    `part` is the diagnosis that it is asked for, and which question of it this is.
    """
    errors = check_trace(team, spec)
    if errors:
        raise TraceProblem(errors)
    with transaction.atomic():
        trace = TraceRequest.objects.create(
            team=team,
            created_by=user,
            source=spec.source,
            target=spec.target,
            address=spec.address,
            protocol=spec.protocol,
            port_dst=spec.port_dst if spec.protocol in WITH_PORTS else 0,
            moment=spec.moment,
            size_bytes=spec.size_bytes,
            is_handed_over=spec.is_handed_over,
            title=trace_title(spec),
            state=TraceRequest.State.WAITING if spec.moment == NEXT else TraceRequest.State.RUNNING,
            outside=spec.outside,
            source_address=spec.source_address,
            router=spec.router,
            at=spec.at,
            header_fields=dict(spec.header_fields),
            diagnosis=part[0] if part else None,
            asks=part[1] if part else "",
        )
        if spec.is_handed_over:
            after = {"packet": trace.title, "size_bytes": spec.size_bytes}
            record("trace.deliver", team, user, ("trace", str(trace.uuid), trace.title), after=after)
        if spec.moment == NEXT:
            record("trace.next", team, user, ("trace", str(trace.uuid), trace.title))
            transaction.on_commit(lambda: send_order({"catch": trace.pk}))
        elif spec.ends_past:
            _answer_here(trace, spec)
        else:
            transaction.on_commit(lambda: order_trace(trace.pk))
    return trace


def _answer_here(trace: TraceRequest, spec: TraceSpec) -> None:
    """The answer is in rows: it is stored with the question, and told to who waits for it."""
    trace.result, trace.state = to_json(answer_past(spec, str(trace.uuid))), TraceRequest.State.DONE
    trace.save(update_fields=["result", "state"])
    transaction.on_commit(lambda: tell_answered(trace.pk, answer_text(trace)))
