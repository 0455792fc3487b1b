"""A trace's rows become its question: ends, hosts, and the packet as the source guest would send it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import cast

from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from portal.accounts.models import Team
from portal.hosts.models import Host
from portal.networks.models import Generation, Port
from portal.networks.owners import owner_of
from portal.traces.models import TraceRequest
from portal.traces.packets import KINDS
from portal.traces.requests import NEXT
from sdn.capture import packet_from_json
from sdn.model.addresses import Mac
from sdn.model.device import chain_from_json
from sdn.model.packet import ECHO_REPLY, ECHO_REQUEST, Address, Packet, Protocol
from sdn.model.trace import Direction
from sdn.trace import Endpoint, Question, TraceHost
from sdn.trace.fields import frame_bytes
from sdn.trace.question import Moment, WireSegment

CLIENT_PORT = 49152  # the source port of a predicted packet: any connection that is not there yet
BROADCAST = Mac("ff:ff:ff:ff:ff:ff")
_GENERATION = f'SELECT "value" FROM "{Generation._meta.db_table}" WHERE "id" = 1'
NOBODY: dict[int, Address] = {4: IPv4Address("0.0.0.0"), 6: IPv6Address("::")}


def read_ports() -> QuerySet[Port]:
    """Ports with what an end of a trace needs, in a fixed number of queries."""
    rows = Port.objects.select_related("vm__team", "host", "network__team")
    return rows.prefetch_related("addresses", "network__subnets")


class HostPorts(Mapping[int, Endpoint]):
    """What is behind a host's ofports, read when it is asked for: a trace meets one or two of hundreds.

    A port of another team is told as just that; with no team, which is an operator's, none is.
    """

    def __init__(self, host: Host, team: Team | None, family: int, ends: Iterable[Port] = ()) -> None:
        self._host, self._team, self._family = host, team, family
        self._ends = {port.ofport: port for port in ends if port.host_id == host.pk and port.ofport}
        self._known: dict[int, Endpoint | None] = {}

    def __getitem__(self, ofport: int) -> Endpoint:
        if ofport not in self._known:
            port = self._ends.get(ofport) or read_ports().filter(host=self._host, ofport=ofport).first()
            self._known[ofport] = self._endpoint(port) if port else None
        found = self._known[ofport]
        if found is None:
            raise KeyError(ofport)
        return found

    def __iter__(self) -> Iterator[int]:
        rows = Port.objects.filter(host=self._host, ofport__isnull=False)
        return (ofport for ofport in rows.values_list("ofport", flat=True) if ofport is not None)

    def __len__(self) -> int:
        return Port.objects.filter(host=self._host, ofport__isnull=False).count()

    def _endpoint(self, port: Port) -> Endpoint:
        if self._team is None or owner_of(port).pk == self._team.pk:
            return endpoint_of(port, self._family)
        name = "a port of another team"
        return Endpoint(name, "", "", NOBODY[self._family], self._host.name, "hidden", port.ofport, "", "", "-")


def endpoint_of(port: Port, family: int = 4) -> Endpoint:
    """A port row as a trace's end, with its address of that IP family."""
    addresses: list[Address] = [ip_address(row.address) for row in port.addresses.all()]
    own = next((one for one in addresses if one.version == family), NOBODY[family])
    return Endpoint(
        name=port.vm.name if port.vm else port.name,
        nic="eth0",
        mac=port.mac,
        address=own,
        host=port.host.name if port.host else "",
        tap=port.tap or "no tap",
        ofport=port.ofport,
        nic_model=port.nic_model if port.vm else "veth",
        backend=port.backend if port.vm else "veth pair",
        domain=port.vm.domain if port.vm else "-",
        mtu=port.network.mtu,
        chain=chain_from_json(port.device_chain),
        iface_id=str(port.uuid),
    )


@dataclass(frozen=True, slots=True)
class Setting:
    """What both directions of a trace share: read once."""

    hosts: tuple[Host, ...]
    generation: int
    ends: tuple[Port, ...]
    stood_in: frozenset[int] = (
        frozenset()
    )  # of the ends: those that are off, and whose switch takes packets in their name

    def trace_hosts(self, team: Team | None, family: int) -> tuple[TraceHost, ...]:
        """Every host of the overlay; nothing of them is asked yet."""
        return tuple(
            TraceHost(host.name, host.underlay_ip, None, HostPorts(host, team, family, self.ends), host.underlay_mtu)
            for host in self.hosts
        )


def read_setting(ends: tuple[Port, ...]) -> Setting:
    """The hosts and the generation as they are now."""
    return Setting(tuple(Host.objects.order_by("id")), read_generation(), ends)


def read_generation() -> int:
    """The intent's generation as it is now: one number, which every trace asks for before anything else."""
    with connection.cursor() as cursor:
        cursor.execute(_GENERATION)
        row = cursor.fetchone()
    return int(row[0]) if row else 0


def target_address(request: TraceRequest, source: Port, target: Port | None) -> Address:
    """Where the packet goes: to the address that was asked for, else of a family that both have, the packet's own or IPv4 first."""
    if target is None or request.address:
        return ip_address(request.address)
    first = KINDS[request.protocol].family or 4
    wanted: list[Address] = sorted(
        (ip_address(row.address) for row in target.addresses.all()), key=lambda one: one.version != first
    )
    families = [ip_address(row.address).version for row in source.addresses.all()]
    return next((one for one in wanted if one.version in families), wanted[0] if wanted else NOBODY[4])


def question_of(request: TraceRequest, setting: Setting, source: Port, target: Port | None, direction: Direction) -> tuple[Question, tuple[str, ...]]:  # fmt: skip
    """The question, and what was decided for the asker, in words. `source` and `target` are the direction's own."""
    if direction == "forward":
        to = ip_address(request.caught["ip_dst"]) if request.caught else target_address(request, source, target)
    else:
        assert target is not None
        back = target_address(request, target, source)
        to = next(one for one in [ip_address(row.address) for row in target.addresses.all()] if one.version == back.version)  # fmt: skip
    here = endpoint_of(source, to.version)
    if source.pk in setting.stood_in:
        here = replace(here, stood_in_as=source.pk & 0xFFFFFFFF)
    packet, found = _packet(request, source, target, here, to, direction)
    question = Question(
        id=str(request.uuid),
        source=here,
        target=endpoint_of(target, to.version) if target else None,
        packet=packet,
        hosts=setting.trace_hosts(owner_of(source), to.version),
        generation=setting.generation,
        started_at=timezone.now().isoformat(),
        direction=direction,
        moment=cast(Moment, "first" if request.moment == NEXT else request.moment),
        segment=_segment(source, target),
        is_exact=request.caught is not None,
    )
    return question, found


def _segment(source: Port, target: Port | None) -> WireSegment | None:
    """The wire that leads from the one to the other, where both are on one provider network."""
    network = source.network
    if target is None or target.network_id != network.pk or not network.is_provider:
        return None
    return WireSegment(network.vid)


def _packet(request: TraceRequest, source: Port, target: Port | None, here: Endpoint, to: Address, direction: Direction) -> tuple[Packet, tuple[str, ...]]:  # fmt: skip
    family, kind = to.version, KINDS[request.protocol]
    caught = packet_from_json(request.caught) if request.caught else None
    if caught is not None and direction == "forward":
        return caught, ("this is the very packet that the guest sent, caught in its switch",)
    asks_neighbour = kind.wire in ("arp", "nd")
    if asks_neighbour or (target is None and _is_neighbour(source, to)):
        asks = f"{to} is on the network of {here.name}, so {here.name} first asks who has it: this is that question."
        protocol: Protocol = "arp" if family == 4 else "nd"
        packet = Packet(protocol, Mac(here.mac), BROADCAST, here.address, to, size_bytes=42 if family == 4 else 86)
        return packet, () if asks_neighbour else (asks,)
    if kind.wire == "icmp":
        ports = (0, (ECHO_REQUEST if direction == "forward" else ECHO_REPLY)[family])
    else:
        there = kind.ports or (caught.port_src if caught else CLIENT_PORT, request.port_dst)
        ports = there if direction == "forward" else there[::-1]
    flags = "ack" if request.moment == "established" else "syn" if direction == "forward" else "syn|ack"
    asker = NOBODY[4] if request.protocol == "dhcp" else here.address  # who asks for an address has none yet
    packet = Packet(
        kind.wire, Mac(here.mac), _next_mac(source, target, to), asker, to, port_src=ports[0], port_dst=ports[1],
        size_bytes=frame_bytes(request.size_bytes), tcp_flags=flags,
    )  # fmt: skip
    return packet, ()


def _is_neighbour(source: Port, to: Address) -> bool:
    """Is it an ordinary address of the source's own subnets, and not the gateway's?"""
    for subnet in source.network.subnets.all():
        block = ip_network(subnet.cidr)
        if to in block:
            return str(to) != subnet.gateway and to not in (block.broadcast_address,)
    return False


def _next_mac(source: Port, target: Port | None, to: Address) -> Mac:
    """The MAC that the source's kernel would put in: the neighbour's, a group's, or the gateway's."""
    if target is not None and target.network_id == source.network_id:
        return Mac(target.mac)
    if to.version == 6 and to.is_multicast:
        return Mac("33:33:" + ":".join(f"{byte:02x}" for byte in to.packed[-4:]))
    if to.version == 4 and to.is_multicast:
        low = int(to) & 0x7FFFFF
        return Mac(f"01:00:5e:{low >> 16:02x}:{low >> 8 & 255:02x}:{low & 255:02x}")
    blocks = [ip_network(subnet.cidr) for subnet in source.network.subnets.all()]
    if str(to) == "255.255.255.255" or any(to == block.broadcast_address for block in blocks):
        return BROADCAST
    return Mac(source.network.router_mac)
