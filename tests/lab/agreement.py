"""Random worlds on a lab's two hypervisors, and random packets in them: predicted, probed and sent for real, compared.

[ports of br-int@hv1, internal ones]==VXLAN, Geneve==[ports of br-int@hv2]; a raw socket on each is its guest.

A packet is predicted, then sent as a probe from the same port; what the switches report must be what was predicted: the same
end, at the same port, or dropped in the same table of the same host for the same reason. Some are sent for real too, from
another client port, and must come out at the ports that were predicted, and at no other. Left out: provider networks, whose
other half is not ours, and mirrors, which copy.
"""

from __future__ import annotations

import random
import re
import secrets
import select
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from ipaddress import IPv4Address, ip_address

from lab.commands import run
from lab.paths import HypervisorPaths
from sdn.model.addresses import HostName, Mac
from sdn.model.intent import IntentSnapshot, PortIntent
from sdn.model.packet import ECHO_REQUEST, Address, Packet
from sdn.model.trace import Trace
from sdn.pipeline import DROP_REASON_BY_CODE, DROP_REASON_BY_NAME
from sdn.probe import TOKEN_BYTES, ProbeOrder, build_frame
from sdn.trace import Endpoint, LiveWorld, Question, TraceHost, predict
from sdn.trace.probed import Sighting, first_divergence, probed_trace
from sdn.trace.question import tunnel_ports
from sdn.transport.unixctl import UnixctlClient, find_vswitchd_socket
from tasks.probes import read_reports
from tests.lab.seats import Keeper, inside
from tests.sdn.random_worlds import random_world
from tests.sdn.world import OPEN
from tests.waiting import wait_for

PROTOCOLS = ("icmp", "icmp", "tcp", "tcp", "tcp", "udp", "arp", "nd", "sctp")
SERVICES = (22, 53, 80, 81, 84, 443)
ELSEWHERE = ("203.0.113.9", "198.51.100.1", "198.51.100.109", "10.1.0.99", "10.2.0.200", "172.16.5.5", "2001:db8:80::80", "fd00:1::99")  # fmt: skip
ALL = replace(OPEN, id=9)  # what most ports are in, so that packets arrive
STRANGE_MAC = Mac("52:54:00:66:66:66")
ARRIVES_S, NOTHING_S = 2.0, 0.15
TRIES = 5  # of one question whose answer changes while it is asked


@dataclass
class Tally:
    """What came of the packets: how many agreed, and the words of those that did not."""

    probed: int = 0
    sent: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)
    explained: list[str] = field(default_factory=list)  # those whose cause is known, and why they cannot agree


class Arena:
    """A lab's two hosts, kept by a controller, with one random world after another in them."""

    def __init__(self, hosts: tuple[HypervisorPaths, ...]) -> None:
        self.hosts, self.keeper = hosts, Keeper(hosts)
        self.world = IntentSnapshot(0, (), (), ())
        self._lines: dict[str, UnixctlClient] = {}
        self._sockets: dict[int, socket.socket] = {}

    def enter(self, chance: random.Random, generation: int) -> None:
        """Another world: its intent is kept, and every port of it that has a host is plugged there."""
        self._unplug()
        world = _world_for(self.hosts, chance, generation)
        self.keeper.set_intent(world)
        plugged = [port for port in world.ports if port.host is not None]
        for host in self.hosts:
            here = [port for port in plugged if port.host == host.name]
            words = [word for port in here for word in ("--", "add-port", "br-int", _device(port), "--", "set", "interface", _device(port), "type=internal", f"external_ids:iface-id={port.iface_id}")]  # fmt: skip
            wait_for((host.ovs_rundir / "br-int.mgmt").exists, 20, f"br-int of {host.name}")
            if words:
                run("ovs-vsctl", f"--db={host.ovsdb}", "--timeout=20", *words)
            for port in here:
                run("ip", "netns", "exec", host.netns, "sysctl", "-qw", f"net.ipv6.conf.{_device(port)}.disable_ipv6=1")
                run("ip", "-n", host.netns, "link", "set", _device(port), "up")
                self._sockets[port.id] = inside(host.netns, lambda port=port: _raw(_device(port)))  # type: ignore[misc]
        asked = replace(world, ports=tuple(plugged))
        wait_for(lambda: self.keeper.has(asked), 30, "both hosts have the world")
        self.world = world

    def close(self) -> None:
        """Everything away again."""
        self._unplug()
        for line in self._lines.values():
            line.close()
        self.keeper.close()
        for host in self.hosts:
            run("ovs-vsctl", f"--db={host.ovsdb}", "--", "--if-exists", "del-br", "br-int", "--", "--if-exists", "del-port", "hs-int")  # fmt: skip

    def _unplug(self) -> None:
        for one in self._sockets.values():
            one.close()
        self._sockets = {}
        for host in self.hosts:
            words = [word for port in self.world.ports if port.host == host.name for word in ("--", "--if-exists", "del-port", _device(port))]  # fmt: skip
            if words:
                run("ovs-vsctl", f"--db={host.ovsdb}", "--timeout=20", *words)

    def question(self, port: PortIntent, packet: Packet) -> Question:
        """The packet, asked of the hosts as they are."""
        ends = {one.id: self._endpoint(one, packet.ip_dst.version) for one in self.world.ports}
        target = next((one for one in self.world.ports if packet.ip_dst in one.addresses), None)
        return Question("1", ends[port.id], ends[target.id] if target else None, packet, self._trace_hosts(ends), self.world.generation, "2026-01-01T00:00:00Z", is_exact=True)  # fmt: skip

    def _endpoint(self, port: PortIntent, version: int) -> Endpoint:
        own: list[Address] = [one for one in port.addresses if one.version == version]
        ofport = self.keeper.ofports.get(str(port.host), {}).get(port.iface_id)
        address = own[0] if own else ip_address("0.0.0.0")
        return Endpoint(port.name, "eth0", port.mac, address, str(port.host or ""), _device(port), ofport, "virtio", "qemu", f"hs-{port.name}")  # fmt: skip

    def _trace_hosts(self, ends: dict[int, Endpoint]) -> tuple[TraceHost, ...]:
        found, live = [], self._look()
        for host in self.hosts:
            here = {one.ofport: one for one in ends.values() if one.host == host.name and one.ofport is not None}
            tunnels = tuple(tunnel_ports(live.ports(host.name), "br-int").items())
            found.append(TraceHost(host.name, host.underlay_ip, None, here, 1600, tunnels))
        return tuple(found)

    def predicted(self, question: Question) -> Trace:
        """What the hosts' switches say that would become of it."""
        return predict(question, self._look(), lambda causes: {})

    def _look(self) -> LiveWorld:
        """The hosts as they are now: a trace reads their ports anew."""
        return LiveWorld({host.name: host.ovs_rundir for host in self.hosts}, deadline_s=20.0, lent=self._lines)

    def settle(self) -> None:
        """Wait until what the switches do follows their flow tables: the datapath's copies of older flows are gone."""
        for host in self.hosts:
            line = UnixctlClient(find_vswitchd_socket(host.ovs_rundir), 20.0)
            line.run("revalidator/wait")
            line.close()

    def probed(self, question: Question) -> tuple[Sighting, ...]:
        """What became of a probe."""
        token = secrets.token_bytes(TOKEN_BYTES)
        source = question.source
        assert source.ofport is not None
        order = ProbeOrder(token, HostName(source.host), source.ofport, build_frame(question.packet, token))
        return read_reports(question, [{**asdict(report)} for report in self.keeper.probe(order)])

    def sent(self, port: PortIntent, packet: Packet, wanted: set[str]) -> set[str]:
        """The names of the ports that a real packet came out at; waits for the wanted ones, and a moment for others."""
        token = secrets.token_bytes(TOKEN_BYTES)
        for one in self._sockets.values():
            _drain(one)
        self._sockets[port.id].send(build_frame(packet, token))
        names = {one.fileno(): self._name(number) for number, one in self._sockets.items()}
        came: set[str] = set()
        ends_at = time.monotonic() + (ARRIVES_S if wanted else NOTHING_S)
        while (left := ends_at - time.monotonic()) > 0 and not (wanted and wanted <= came):
            ready, _, _ = select.select(list(self._sockets.values()), [], [], left)
            for one in ready:
                frame, place = one.recvfrom(2000)
                if token in frame and place[2] != socket.PACKET_OUTGOING:
                    came.add(names[one.fileno()])
        return came

    def _name(self, number: int) -> str:
        return next(port.name for port in self.world.ports if port.id == number)


def measure(arena: Arena, seed: int, worlds: int, packets: int, real_share: float) -> Tally:
    """So many packets in each of so many worlds; `real_share` of them are sent for real too."""
    chance, tally = random.Random(seed), Tally()
    for number in range(1, worlds + 1):
        arena.enter(chance, number)
        plugged = [port for port in arena.world.ports if port.host is not None and port.addresses]
        if not plugged:
            continue
        before: list[tuple[PortIntent, Packet]] = []
        for _ in range(packets):
            port, packet = _packet(chance, arena.world, plugged, before)
            _compare(arena, tally, f"world {seed}/{number}", port, packet)
            before.append((port, packet))
            if chance.random() < real_share:
                _compare_real(arena, tally, f"world {seed}/{number}", port, packet)
    return tally


def _compare(arena: Arena, tally: Tally, where: str, port: PortIntent, packet: Packet) -> None:
    question = arena.question(port, packet)
    predicted, seen = _in_one_state(arena, question)
    tally.probed += 1
    tally.verdicts[predicted.verdict] += 1
    if words := difference(predicted, seen):
        told = f"{where}: {port.name} {packet}: {words}"
        if why := explanation(packet, predicted, seen):
            tally.explained.append(f"{told}: {why}")
        else:
            tally.differences.append(told)


def _in_one_state(arena: Arena, question: Question) -> tuple[Trace, tuple[Sighting, ...]]:
    """Both answers of switches that did not change between them: a next hop may be learned at any time."""
    for _ in range(TRIES):
        arena.settle()
        predicted = arena.predicted(question)
        seen = arena.probed(question)
        if not difference(predicted, seen):
            break
        after = arena.predicted(question)
        if (after.verdict, after.reason) == (predicted.verdict, predicted.reason):
            break
    return predicted, seen


def _compare_real(arena: Arena, tally: Tally, where: str, port: PortIntent, packet: Packet) -> None:
    """From another client port, so that the probe before it is of another connection."""
    other = replace(packet, port_src=packet.port_src + 1) if packet.port_src else packet
    arena.settle()
    predicted = arena.predicted(arena.question(port, other))
    wanted = receivers(predicted, port.name)
    if wanted is None:
        return
    came = arena.sent(port, other, wanted)
    tally.sent += 1
    if came != wanted:
        tally.differences.append(f"{where}: {port.name} {other}: real: {sorted(came)}, predicted {sorted(wanted)}: {predicted.reason}")  # fmt: skip


def difference(predicted: Trace, seen: tuple[Sighting, ...]) -> str:
    """How a probe's end differs from the predicted one, in words; "" where it does not."""
    probed = probed_trace(predicted, seen)
    if (parted := first_divergence(predicted, probed)) is not None:
        return f"{parted.words} {[(one.host, one.end) for one in seen]}, {[(hop.host, hop.kind) for hop in predicted.hops if hop.kind == 'bridge']}"
    if predicted.verdict == "dropped" and _drop_of(predicted) != _drop_of(probed):
        return f"Predicted: {predicted.reason} A real packet: {probed.reason}"
    ends = [one for one in seen if one.end == "port"]
    if predicted.verdict == "delivered" and len(ends) == 1 and predicted.hops[-1].kind == "guest_nic" and ends[0].port_name not in predicted.hops[-1].object:  # fmt: skip
        return f"Predicted: {predicted.hops[-1].object}. A real packet: {ends[0].port_name} on {ends[0].host}"
    return ""


def explanation(packet: Packet, predicted: Trace, seen: tuple[Sighting, ...]) -> str:
    """Why this difference is none of the prediction's making; "" where nobody knows."""
    reasons = {DROP_REASON_BY_CODE[one.drop_reason].name for one in seen if one.end == "drop"}
    if packet.protocol == "sctp" and "not_translated" in reasons:
        return "OVS's userspace conntrack translates no SCTP, and ofproto/trace takes every NAT for done"
    return ""


def _drop_of(trace: Trace) -> tuple[str, str, str]:
    """Table, host and reason of a drop's sentence; a real packet's report does not know whose port is not there."""
    off = re.search(r"is not running: .* so table (\d+) \(\w+\) of (\w+) drops it\.$", trace.reason)
    if off:
        return off[1], off[2], DROP_REASON_BY_NAME["port_down"].words
    found = re.search(r"in table (\d+) (?:\(\w+\) )?of (?:br-int on )?(\w+): (.*?)\.?$", trace.reason)
    return (found[1], found[2], found[3]) if found else ("", "", trace.reason)


def receivers(predicted: Trace, source: str) -> set[str] | None:
    """The names of the ports where it must come out; None where nothing of ours is there to see it."""
    if predicted.verdict == "dropped":
        return set()
    if predicted.verdict == "flooded":
        return {one.where for one in predicted.branches if one.verdict == "delivered"}
    if predicted.verdict == "delivered" and predicted.hops[-1].kind == "guest_nic":
        return {predicted.hops[-1].object.partition(" ")[0]} if "answers" not in predicted.reason else {source}
    return None


def _packet(chance: random.Random, world: IntentSnapshot, plugged: list[PortIntent], before: list[tuple[PortIntent, Packet]]) -> tuple[PortIntent, Packet]:  # fmt: skip
    """What a guest may send: most of it honest, some to nowhere, some forged, some the answer to an earlier one."""
    if before and chance.random() < 0.2 and (answer := _answer(chance, plugged, before)) is not None:
        return answer
    port = chance.choice(plugged)
    source = chance.choice(port.addresses)
    protocol = chance.choice(PROTOCOLS)
    family = {"arp": 4, "nd": 6}.get(protocol, source.version)
    source = next((one for one in port.addresses if one.version == family), source)
    protocol = protocol if source.version == family else "tcp"
    there: list[Address] = [one for other in world.ports for one in other.addresses if one.version == source.version]
    there += [ip_address(text) for text in ELSEWHERE if (":" in text) == (source.version == 6)]
    there += [subnet.gateway for network in world.networks for subnet in network.subnets if subnet.gateway.version == source.version]  # fmt: skip
    target = chance.choice(there)
    packet = Packet(
        protocol, port.mac, _next_mac(world, port, target), source, target, ttl=chance.choice((64, 64, 64, 64, 2, 1)),
        port_src=chance.randrange(20000, 60000), port_dst=chance.choice(SERVICES),
    )  # type: ignore[arg-type]  # fmt: skip
    return port, _forged(chance, _tidy(packet))


def _answer(chance: random.Random, plugged: list[PortIntent], before: list[tuple[PortIntent, Packet]]) -> tuple[PortIntent, Packet] | None:  # fmt: skip
    _, earlier = chance.choice(before)
    port = next((one for one in plugged if earlier.ip_dst in one.addresses), None)
    if port is None or earlier.protocol not in ("tcp", "udp", "sctp"):
        return None
    back = replace(
        earlier, eth_src=port.mac, eth_dst=earlier.eth_src, ip_src=earlier.ip_dst, ip_dst=earlier.ip_src, ttl=64,
        port_src=earlier.port_dst, port_dst=earlier.port_src,
    )  # fmt: skip
    return port, back


def _next_mac(world: IntentSnapshot, port: PortIntent, target: Address) -> Mac:
    network = next(one for one in world.networks if one.id == port.network_id)
    if any(target in subnet.cidr for subnet in network.subnets):
        owner = next((one for one in world.ports if one.network_id == network.id and target in one.addresses), None)
        if owner is not None:
            return owner.mac
    return network.router_mac


def _tidy(packet: Packet) -> Packet:
    """With the fields that its protocol has."""
    if packet.protocol == "icmp":
        return replace(packet, port_src=0, port_dst=ECHO_REQUEST[packet.ip_dst.version])
    if packet.protocol in ("arp", "nd"):
        return replace(packet, port_src=0, port_dst=0, ttl=64, eth_dst=Mac("ff:ff:ff:ff:ff:ff"))
    return packet


def _forged(chance: random.Random, packet: Packet) -> Packet:
    dice = chance.random()
    if dice < 0.05:
        return replace(packet, eth_src=STRANGE_MAC)
    if dice < 0.1 and packet.protocol != "nd":
        return replace(packet, ip_src=packet.ip_src + 7)
    if dice < 0.15 and packet.protocol not in ("arp", "nd"):
        return replace(packet, eth_dst=STRANGE_MAC)
    return packet


def _world_for(hosts: tuple[HypervisorPaths, ...], chance: random.Random, generation: int) -> IntentSnapshot:
    """A random world on these hosts, without provider networks and mirrors."""
    world = random_world(chance, hosts=len(hosts), ports=9)
    networks = tuple(replace(one, kind="vxlan", vid=None) if one.is_provider else one for one in world.networks)
    rows = tuple(replace(row, name=HostName(host.name), underlay_ip=IPv4Address(host.underlay_ip)) for row, host in zip(world.hosts, hosts, strict=True))  # fmt: skip
    ports = tuple(
        replace(port, groups=(*port.groups, ALL.id)) if chance.random() < 0.6 else port for port in world.ports
    )
    groups = (*world.groups, ALL)
    return replace(world, generation=generation, hosts=rows, networks=networks, ports=ports, groups=groups, mirrors=())


def _device(port: PortIntent) -> str:
    return f"a{port.id}"


def _raw(device: str) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # ETH_P_ALL
    made.bind((device, 0))
    made.setblocking(False)
    return made


def _drain(one: socket.socket) -> None:
    try:
        while True:
            one.recv(2000)
    except BlockingIOError:
        return


def seeds() -> Iterator[int]:
    """Another one each time."""
    while True:
        yield secrets.randbelow(1 << 30)
