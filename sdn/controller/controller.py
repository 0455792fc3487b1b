"""The controller: keeps every host's switch as the intent says, and answers what its flows send up.

Each host's switch connects to a socket of its own in the switch's run folder: OVS takes no other unix socket, and so
nobody on the machine can pass for a host.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping

from sdn.compiler import IntentIndex, index_intent
from sdn.compiler.build import hand_over
from sdn.controller.advertiser import Advertiser
from sdn.controller.announcer import Announcer
from sdn.controller.answers import Answers
from sdn.controller.capturing import Captures
from sdn.controller.drops import DropCount, read_drop
from sdn.controller.host import Common, HostLink
from sdn.controller.icmp_errors import ERRORS, icmp_error
from sdn.controller.probe import RST, SshAnswer, is_ssh_answer, syn_frame
from sdn.controller.probing import Probes
from sdn.controller.values import ControllerObserver, HostConnection
from sdn.model.addresses import HostName, IfaceId
from sdn.model.cookie import DROPS_COOKIE, DROPS_COOKIE_MASK
from sdn.model.intent import IntentSnapshot, NetworkIntent, PortIntent
from sdn.model.switch import SwitchSeen
from sdn.pipeline import DROP_REASON_BY_CODE, FLAG_PROBE, TABLE_BY_NAME, Register
from sdn.transport.codec import packet_out
from sdn.transport.openflow import Channel, ChannelError, PacketIn
from sdn.transport.port_counters import PortCounters

log = logging.getLogger("hopsight.controller")
REWRITTEN = {TABLE_BY_NAME[name].table_id for name in ("next_hop", "l2_lookup")}  # the router is the frame's sender
ROUTE, DROP = (TABLE_BY_NAME[name].table_id for name in ("route", "drop"))
PROBES_PER_S = 80  # of all guests together: fifty that boot at once leave the switches their turn
PROBE_EVERY_S, PATIENT_EVERY_S, PATIENT_AFTER_S = 0.1, 1.0, 120.0
STAND_IN_WITHIN_S = 3.0
CONTROLLER_PORT = 0xFFFFFFFD


def _told_reason(packet: PacketIn) -> str | None:
    """Why the switch dropped a packet whose sender is to be told; None for a packet that is something else."""
    if packet.table_id == DROP:
        return None
    code = packet.registers.get(Register.DROP_REASON, 0)
    reason = DROP_REASON_BY_CODE[code].name if code in DROP_REASON_BY_CODE else "ttl_exceeded"
    return reason if reason in ERRORS and (code or packet.table_id == ROUTE) else None


def pause_between_probes(guests: int, waited_s: float) -> float:
    """Seconds until a guest is asked again: soon while few are asked, seldom once it has not answered for long."""
    least = PROBE_EVERY_S if waited_s < PATIENT_AFTER_S else PATIENT_EVERY_S
    return max(least, guests / PROBES_PER_S)


class Controller:
    """Keeps every host's br-int as the last intent says. All methods run on one event loop."""

    def __init__(self, observer: ControllerObserver) -> None:
        self._observer = observer
        self._index: IntentIndex | None = None
        self._networks: Mapping[int, NetworkIntent] = {}
        self._ports: Mapping[int, PortIntent] = {}
        self._hosts: dict[str, HostLink] = {}
        self._probes: dict[IfaceId, asyncio.Task[None]] = {}
        self._answers = Answers()
        self._sampled: frozenset[IfaceId] = frozenset()
        self._take_dropped: Callable[[HostName, PacketIn], None] | None = None
        self._by_iface: Mapping[IfaceId, PortIntent] = {}
        self._common = Common()
        advertiser = Advertiser(lambda: self._hosts.values(), lambda: (self._by_iface, self._networks))
        self._announcer = Announcer(lambda: self._hosts.values())
        loop = asyncio.get_running_loop()
        self._unasked = [loop.create_task(work) for work in (advertiser.run(), self._announcer.run())]
        self._tasks: set[asyncio.Task[None]] = set()
        self.probes = Probes(self._channels, self.stand_in)
        self.captures = Captures(self._channels)
        self._common.keeps = self.captures.keeps

    async def stop(self) -> None:
        """End; the switches keep their flows."""
        for work in (*self._probes.values(), *self._tasks, *self._unasked):
            work.cancel()
        await asyncio.gather(*(link.stop() for link in self._hosts.values()), return_exceptions=True)

    async def set_hosts(self, hosts: tuple[HostConnection, ...]) -> None:
        """The hosts to keep, whole; those no longer named are left alone, flows and all."""
        wanted = {str(host.name): host for host in hosts}
        for name, link in list(self._hosts.items()):
            if wanted.get(name) != link.connection:
                del self._hosts[name]
                await link.stop()
        for name, host in wanted.items():
            if name not in self._hosts:
                self._hosts[name] = HostLink(host, self._observer, lambda: self._index, self._packet_in, self._common)

    async def set_intent(self, snapshot: IntentSnapshot) -> bool:
        """The whole intent; each host is synced to it soon. One call at a time. Whether it is another than before."""
        if self._index is not None and snapshot == self._index.snapshot:
            return False
        index = await asyncio.to_thread(index_intent, snapshot, self._index)
        self._index = index
        self._networks, self._ports, self._by_iface = index.networks, index.ports, index.by_iface
        self._answers.set_intent(index)
        self._announcer.set_intent(index, asyncio.get_running_loop().time())
        for link in self._hosts.values():
            link.poke()
        return True

    async def switches_seen(self) -> dict[HostName, SwitchSeen]:
        """What is on each host's Open vSwitch, of the hosts whose OVSDB answers."""
        seen = {link.connection.name: await link.switch_seen() for link in list(self._hosts.values())}
        return {name: switch for name, switch in seen.items() if switch is not None}

    async def drops_counted(self) -> dict[HostName, tuple[DropCount, ...]]:
        """What the flows that drop have counted, by host, but those that dropped nothing, which are nearly all of them; a switch
        that is away or does not answer is left out."""
        counted = {}
        for host, (channel, _) in self._channels().items():
            with contextlib.suppress(ChannelError):
                rows = await channel.dump_counters(DROPS_COOKIE, DROPS_COOKIE_MASK)
                flows = [count for row in rows if row.packets and (count := read_drop(row)) is not None]
                link = self._hosts.get(str(host))
                counted[host] = (*flows, *(await link.limits_counted() if link else ()))
        return counted

    async def ports_counted(self) -> dict[HostName, dict[IfaceId, PortCounters]]:
        """What every plugged port has counted, by host; a switch that is away or does not answer is left out."""
        counted = {}
        for link in list(self._hosts.values()):
            if link.channel is not None and link.facts is not None:
                with contextlib.suppress(ChannelError):
                    rows = await link.channel.dump_ports()
                    ofports = link.facts.view.ofports
                    counted[link.connection.name] = {iface: rows[number] for iface, number in ofports if number in rows}
        return counted

    def asked_dhcp(self) -> frozenset[int]:
        """The ids of the ports whose guests were answered by DHCP since this was asked last."""
        return self._answers.asked_dhcp()

    def set_sampled(self, ifaces: frozenset[IfaceId], take: Callable[[HostName, PacketIn], None]) -> None:
        """The ports whose dropped packets are copied, metered, to `take`; whole, and none of them ends it."""
        self._sampled, self._take_dropped = ifaces, take
        for link in self._hosts.values():
            link.set_sampled(self._sampled_ids())

    def _sampled_ids(self) -> tuple[int, ...]:
        ports = (self._index.by_iface.get(iface) for iface in self._sampled) if self._index else ()
        return tuple(sorted(port.id for port in ports if port is not None))

    def probe_ssh(self, iface_id: IfaceId) -> None:
        """Ask the guest's port 22 until it answers, `pause_between_probes` apart; `forget_probes` ends it."""
        if iface_id not in self._probes or self._probes[iface_id].done():
            self._probes[iface_id] = asyncio.get_running_loop().create_task(self._probe(iface_id))

    def forget_probes(self, but: frozenset[IfaceId]) -> None:
        """End the probes of all ports but these."""
        for iface_id in set(self._probes) - but:
            self._probes.pop(iface_id).cancel()

    async def stand_in(self, host: HostName, iface_id: IfaceId) -> int:
        """The id of a port that is plugged nowhere, when its packets can be sent in its name. Raises ChannelError."""
        link, port = self._hosts.get(str(host)), self._by_iface.get(iface_id)
        if link is None or port is None or port.host != host:
            raise ChannelError(f"the controller knows of no such port on {host}")
        if link.facts is not None and iface_id in dict(link.facts.view.ofports):
            raise ChannelError("it was plugged in a moment ago: ask again")
        try:
            async with asyncio.timeout(STAND_IN_WITHIN_S):
                await link.stand_ins.ensure(iface_id)
        except TimeoutError as problem:
            raise ChannelError(f"the switch of {host} did not take the flows to send it with") from problem
        return port.id

    def _channels(self) -> dict[HostName, tuple[Channel, tuple[int, ...]]]:
        """Each connected switch's channel, and the tunnels' ofports there."""
        return {
            link.connection.name: (link.channel, link.facts.view.tunnel_ofports if link.facts else ())
            for link in self._hosts.values()
            if link.channel is not None
        }

    def tunnel_and_cable(self, host: HostName) -> dict[str, tuple[int, ...]]:
        """The ofports of a host's tunnels, and of its cable to the outside; none while they are not known."""
        link = self._hosts.get(str(host))
        view = link.facts.view if link and link.facts else None
        cable = () if view is None or view.external_ofport is None else (view.external_ofport,)
        return {"tunnel": view.tunnel_ofports if view else (), "cable": cable}

    def _packet_in(self, channel: Channel, packet: PacketIn) -> None:
        if self.captures.take(packet) or self.probes.take(channel, packet):
            return
        if packet.table_id == DROP:
            host = next((one for one, (known, _) in self._channels().items() if known is channel), None)
            if host is not None and self._take_dropped is not None:
                self._take_dropped(host, packet)
            return
        port = self._ports.get(packet.registers.get(Register.SOURCE_PORT, 0))
        if port is None:
            return
        network, place = self._networks[port.network_id], (channel.dpid, packet.in_port)
        if (reason := _told_reason(packet)) is not None:
            if self._answers.may(place, "error"):
                self._tell_dropped(channel, port, packet, reason)
            return
        said = is_ssh_answer(packet.frame)
        if said is not None:
            if said.address in port.addresses and self._answers.may(place):
                self._answered(channel, port, network, packet.in_port, said)
            return

        def reply(frame: bytes) -> None:
            channel.send(packet_out(frame, hand_over(packet.in_port), CONTROLLER_PORT, channel.next_xid()))

        later = self._answers.take(packet.frame, port, network, place, reply)
        if later is not None:
            self._spawn(later)

    def _tell_dropped(self, channel: Channel, port: PortIntent, packet: PacketIn, reason: str) -> None:
        """Answered in the name of the gateway of the sender's subnet: what a traceroute shows as its router."""
        network = self._networks[port.network_id]
        version = 6 if packet.frame[12:14] == b"\x86\xdd" else 4
        own = [address for address in port.addresses if address.version == version]
        router = next((one.gateway for one in network.subnets for mine in own if mine in one.cidr), None)
        if router is None or packet.registers.get(Register.FLAGS, 0) & FLAG_PROBE:
            return
        mtu = self._mtu_of(packet.registers.get(Register.VNI, 0)) if reason == "too_big" else 0
        to_mac = port.mac if packet.table_id in REWRITTEN else packet.frame[6:12].hex(":")
        answer = icmp_error(packet.frame, reason, (network.router_mac, router), to_mac, mtu)
        if answer is not None:
            channel.send(packet_out(answer, hand_over(packet.in_port), CONTROLLER_PORT, channel.next_xid()))

    def _mtu_of(self, vni: int) -> int:
        """The MTU of the network of that number, or of where the router of that number leads outside."""
        if self._index is None:
            return 0
        intent = self._index.snapshot
        inside = next((network.mtu for network in intent.networks if network.vni == vni), None)
        external = next((router.external_id for router in intent.routers if router.vni == vni), None)
        return inside or next((one.mtu for one in intent.externals if one.id == external), 0)

    def _answered(
        self, channel: Channel, port: PortIntent, network: NetworkIntent, ofport: int, said: SshAnswer
    ) -> None:
        reset = syn_frame(port, network, said.acknowledged, RST, six=said.address.version == 6)
        if reset is not None:
            channel.send(packet_out(reset, hand_over(ofport), CONTROLLER_PORT, channel.next_xid()))
        probe = self._probes.pop(port.iface_id, None)
        if probe is not None:
            probe.cancel()
            self._spawn(self._observer.ssh_answered(port.iface_id))

    async def _probe(self, iface_id: IfaceId) -> None:
        sequence, began = 0, asyncio.get_running_loop().time()
        while True:
            port = self._by_iface.get(iface_id)
            link = self._hosts.get(str(port.host)) if port else None
            if port and port.addresses and link and link.channel and link.facts:
                ofport = dict(link.facts.view.ofports).get(iface_id)
                if ofport is not None:
                    sequence += 100_000
                    network = self._networks[port.network_id]
                    frame = syn_frame(port, network, sequence) or syn_frame(port, network, sequence, six=True)
                    actions = hand_over(ofport)  # untracked, as the guest's answer to the gateway is
                if ofport is not None and frame is not None:
                    link.channel.send(packet_out(frame, actions, CONTROLLER_PORT, link.channel.next_xid()))
            await asyncio.sleep(pause_between_probes(len(self._probes), asyncio.get_running_loop().time() - began))

    def _spawn(self, work: object) -> None:
        task = asyncio.ensure_future(work)  # type: ignore[call-overload]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
