"""Intent and a host's ofports become that host's flows: pure, deterministic, order-free.

Each function writes one table for one cause, in the order of sdn.pipeline. Priorities: 110 exceptions, 100 the named
case, 90 guards, 80 the wider case, 50 to 40 refusals with a reason of their own, 1 the default, 0 the miss.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sdn.compiler.build import SYSTEM, drop, flow, goto, load, reg
from sdn.model.cookie import Cause, CauseKind
from sdn.model.flow import Flow
from sdn.model.intent import HostIntent, HostView, IntentSnapshot, NetworkIntent, PortIntent
from sdn.pipeline import DROP_REASONS, FLAG_PROBE, PROBE_VNI_BIT, TABLES, Register

SSH_PROBE_PORT = 4853  # the gateway's TCP port that the controller asks guests from: is their SSH up?
MULTICAST = "01:00:00:00:00:00/01:00:00:00:00:00"
PORT_IN_PORT = (
    0xFFF8  # OpenFlow's "where it came from"; through the output table, so that a probe's answer is no guest's
)
BACK = (load(PORT_IN_PORT, Register.OUT), goto("responders", "output"))
MISS_REASON = {"classify": "unknown_port", "router": "no_route", "l2_lookup": "unknown_mac", "output": "port_down"}


@dataclass(frozen=True, slots=True)
class LocalPort:
    """A port of the intent that is plugged on this host."""

    intent: PortIntent
    ofport: int

    @property
    def cause(self) -> Cause:
        return Cause(CauseKind.PORT, self.intent.id)

    @property
    def mark(self) -> dict[str, str]:
        """The match of packets that came from this port."""
        return {reg(Register.SOURCE_PORT): f"{self.intent.id & 0xFFFFFFFF:#x}"}


@dataclass(frozen=True, slots=True)
class Overlay:
    """One network as seen from one host."""

    network: NetworkIntent
    local: tuple[LocalPort, ...]
    remote: tuple[tuple[PortIntent, HostIntent], ...]
    absent: tuple[PortIntent, ...]  # bound here and not plugged, or bound nowhere
    tunnel_ofport: int | None

    @property
    def cause(self) -> Cause:
        return Cause(CauseKind.NETWORK, self.network.id)

    @property
    def mark(self) -> dict[str, str]:
        """The match of packets of this network."""
        return {reg(Register.VNI): f"{self.network.vni:#x}"}

    @property
    def peers(self) -> tuple[HostIntent, ...]:
        """The other hosts that have ports of this network."""
        return tuple(sorted({host for _, host in self.remote}, key=lambda host: host.id))


def compile_host(snapshot: IntentSnapshot, view: HostView) -> tuple[Flow, ...]:
    """The flows that br-int of `view.host` should have, sorted; a network without a port here has none."""
    flows: set[Flow] = set(_system(view.tunnel_ofport))
    for overlay in overlays(snapshot, view):
        flows.update(_network(overlay))
        for port in overlay.local:
            flows.update(_port(port, overlay))
        for gone in overlay.absent:
            to = {**overlay.mark, "dl_dst": gone.mac}
            flows.add(flow("l2_lookup", 98, Cause(CauseKind.PORT, gone.id), to, drop("l2_lookup", "port_down")))
    return tuple(sorted(flows))


def overlays(snapshot: IntentSnapshot, view: HostView) -> Iterator[Overlay]:
    """The networks that have a port plugged on this host."""
    ofports = dict(view.ofports)
    hosts = {host.name: host for host in snapshot.hosts}
    local: dict[int, list[LocalPort]] = {}
    remote: dict[int, list[tuple[PortIntent, HostIntent]]] = {}
    absent: dict[int, list[PortIntent]] = {}
    for port in sorted(snapshot.ports, key=lambda port: port.id):  # the order of a flood must not depend on the rows'
        if port.iface_id in ofports:
            local.setdefault(port.network_id, []).append(LocalPort(port, ofports[port.iface_id]))
        elif port.host is not None and port.host != view.host and port.host in hosts:
            remote.setdefault(port.network_id, []).append((port, hosts[port.host]))
        else:
            absent.setdefault(port.network_id, []).append(port)
    for network in snapshot.networks:
        if here := local.get(network.id):
            away, gone = remote.get(network.id, ()), absent.get(network.id, ())
            yield Overlay(network, tuple(here), tuple(away), tuple(gone), view.tunnel_ofport)


def _system(tunnel_ofport: int | None) -> Iterator[Flow]:
    for table in TABLES:
        if table.name == "drop":
            continue
        reason = MISS_REASON.get(table.name, "table_miss")
        yield flow(table.name, 0, SYSTEM, {}, drop(table.name, reason))
    yield flow("drop", 0, SYSTEM, {}, ())
    for reason_ in DROP_REASONS:
        yield flow("drop", 100, SYSTEM, {reg(Register.DROP_REASON): f"{reason_.code:#x}"}, ())
    if tunnel_ofport is not None:
        yield flow("classify", 1, SYSTEM, {"in_port": str(tunnel_ofport)}, drop("classify", "unknown_vni"))
        probe = {reg(Register.FLAGS): f"{FLAG_PROBE:#x}/{FLAG_PROBE:#x}", reg(Register.OUT): f"{tunnel_ofport:#x}"}
        marked = f"load:0x1->NXM_NX_TUN_ID[{PROBE_VNI_BIT.bit_length() - 1}]"
        yield flow("output", 110, SYSTEM, probe, (marked, f"output:{tunnel_ofport}"))
    yield flow(
        "port_security", 110, SYSTEM, {"udp": "", "tp_src": "67", "tp_dst": "68"}, drop("port_security", "rogue_dhcp")
    )
    for table_name, there in (("egress_rules", "responders"), ("ingress_rules", "output")):
        yield flow(table_name, 110, SYSTEM, {"ct_state": "+inv+trk"}, drop(table_name, "invalid_state"))
        yield flow(table_name, 100, SYSTEM, {"ct_state": "-new-inv+trk"}, (goto(table_name, there),))
    yield flow("responders", 50, SYSTEM, {"arp": ""}, drop("responders", "no_neighbour"))
    yield flow("responders", 1, SYSTEM, {}, (goto("responders", "router"),))
    yield flow("nat", 1, SYSTEM, {}, (goto("nat", "l2_lookup"),))
    probe_flag = {reg(Register.FLAGS): f"{FLAG_PROBE:#x}/{FLAG_PROBE:#x}"}
    yield flow("output", 100, SYSTEM, probe_flag, ("CONTROLLER:65535",))
    yield flow("output", 90, SYSTEM, {reg(Register.OUT): "0"}, drop("output", "port_down"))
    yield flow("output", 1, SYSTEM, {}, ("output:NXM_NX_REG3[]",))


def _network(overlay: Overlay) -> Iterator[Flow]:
    cause, mark, network = overlay.cause, overlay.mark, overlay.network
    zone = network.zone
    yield flow("conntrack_egress", 100, cause, {**mark, "ip": ""}, (f"ct(table=25,zone={zone})",))
    yield flow("conntrack_ingress", 100, cause, {**mark, "ip": ""}, (f"ct(table=65,zone={zone})",))
    for here, there in (("egress_rules", "responders"), ("ingress_rules", "output")):
        new = {**mark, "ip": "", "ct_state": "+new-inv+trk"}
        yield flow(here, 80, cause, new, (f"ct(commit,zone={zone})", goto(here, there)))
    for subnet in network.subnets:
        gateway = str(subnet.gateway)
        yield _arp_answer(cause, mark, gateway, network.router_mac)
        echo = {**mark, "icmp": "", "icmp_type": "8", "nw_dst": gateway}
        yield flow("responders", 100, cause, echo, _echo_answer(gateway, network.router_mac))
        probe = {**mark, "tcp": "", "nw_dst": gateway, "tp_dst": str(SSH_PROBE_PORT)}
        yield flow("responders", 100, cause, probe, ("CONTROLLER:65535",))
        yield flow("router", 100, cause, {**mark, "ip": "", "nw_dst": str(subnet.cidr)}, (goto("router", "nat"),))
    for wide in ("255.255.255.255", "224.0.0.0/4"):
        yield flow("router", 90, cause, {**mark, "ip": "", "nw_dst": wide}, (goto("router", "nat"),))
    dhcp = {**mark, "udp": "", "tp_src": "68", "tp_dst": "67"}
    yield flow("responders", 100, cause, dhcp, ("CONTROLLER:65535",))
    yield from _tunnels(overlay)


def _tunnels(overlay: Overlay) -> Iterator[Flow]:
    mark, cause, vni = overlay.mark, overlay.cause, overlay.network.vni
    locally = [f"set_field:{port.ofport:#x}->reg3,resubmit(,70)" for port in overlay.local]
    flood = [action for pair in locally for action in pair.split(",", 1)]
    everywhere = list(flood)
    if overlay.tunnel_ofport is not None:
        tunnel = {"in_port": str(overlay.tunnel_ofport)}
        here = (load(vni, Register.VNI), goto("classify", "l2_lookup"))
        yield flow("classify", 100, cause, {**tunnel, "tun_id": f"{vni:#x}"}, here)
        probe = {**tunnel, "tun_id": f"{vni | PROBE_VNI_BIT:#x}"}
        yield flow("classify", 100, cause, probe, (load(FLAG_PROBE, Register.FLAGS), *here))
        yield flow("l2_lookup", 90, cause, {**mark, **tunnel}, drop("l2_lookup", "unknown_mac"))
        yield flow("l2_lookup", 95, cause, {**mark, **tunnel, "dl_dst": MULTICAST}, tuple(flood))
        for peer in overlay.peers:
            everywhere += _encapsulate(vni, peer, overlay.tunnel_ofport)
            everywhere.append("resubmit(,70)")
        for port, host in overlay.remote:
            to = {**mark, "dl_dst": port.mac}
            away = (*_encapsulate(vni, host, overlay.tunnel_ofport), goto("l2_lookup", "output"))
            yield flow("l2_lookup", 80, Cause(CauseKind.PORT, port.id), to, away)
    yield flow("l2_lookup", 80, cause, {**mark, "dl_dst": MULTICAST}, tuple(everywhere))
    for port, _ in overlay.remote:
        for address in port.addresses:
            yield _arp_answer(Cause(CauseKind.PORT, port.id), mark, str(address), port.mac)


def _encapsulate(vni: int, host: HostIntent, tunnel_ofport: int) -> list[str]:
    return [f"set_field:{vni:#x}->tun_id", f"set_field:{host.underlay_ip}->tun_dst", load(tunnel_ofport, Register.OUT)]


def _port(port: LocalPort, overlay: Overlay) -> Iterator[Flow]:
    cause, mark, intent = port.cause, port.mark, port.intent
    identify = (
        load(intent.id & 0xFFFFFFFF, Register.SOURCE_PORT),
        load(overlay.network.vni, Register.VNI),
        goto("classify", "port_security"),
    )
    yield flow("classify", 100, cause, {"in_port": str(port.ofport)}, identify)
    yield from _port_security(port)
    for address in intent.addresses:
        own = {**mark, "arp": "", "arp_op": "1", "arp_tpa": str(address)}
        yield flow("responders", 110, cause, own, drop("responders", "no_neighbour"))
        yield _arp_answer(cause, overlay.mark, str(address), intent.mac)
    deliver = (
        load(intent.id & 0xFFFFFFFF, Register.TARGET_PORT),
        load(port.ofport, Register.OUT),
        goto("l2_lookup", "conntrack_ingress"),
    )
    yield flow("l2_lookup", 100, cause, {**overlay.mark, "dl_dst": intent.mac}, deliver)


def _port_security(port: LocalPort) -> Iterator[Flow]:
    cause, mac = port.cause, port.intent.mac
    mark = {**port.mark, "dl_src": mac}
    for address in (*map(str, port.intent.addresses), "0.0.0.0"):
        arp = {**mark, "arp": "", "arp_spa": address, "arp_sha": mac}
        yield flow("port_security", 100, cause, arp, (goto("port_security", "responders"),))
    for address_ in port.intent.addresses:
        ip = {**mark, "ip": "", "nw_src": str(address_)}
        yield flow("port_security", 100, cause, ip, (goto("port_security", "conntrack_egress"),))
    dhcp = {**mark, "udp": "", "nw_src": "0.0.0.0", "tp_src": "68", "tp_dst": "67"}
    yield flow("port_security", 100, cause, dhcp, (goto("port_security", "responders"),))
    # IPv6 is refused whole, link-local and neighbour discovery too: until networks have IPv6 subnets there is no address
    # to hold a guest to, and an unchecked protocol would let it speak as any other.
    refusals = (("arp", "spoofed_arp"), ("ip", "spoofed_ipv4"), ("ipv6", "no_ipv6"))
    for protocol, reason in refusals:
        yield flow("port_security", 50, cause, {**mark, protocol: ""}, drop("port_security", reason))
    yield flow("port_security", 45, cause, mark, drop("port_security", "unknown_protocol"))
    yield flow("port_security", 40, cause, port.mark, drop("port_security", "spoofed_mac"))


def _arp_answer(cause: Cause, mark: dict[str, str], address: str, mac: str) -> Flow:
    """RFC 826: the answer is made of the question, its sides swapped, and goes back where it came from."""
    question = {**mark, "arp": "", "arp_op": "1", "arp_tpa": address}
    answer = (
        "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]",
        f"set_field:{mac}->eth_src",
        "set_field:2->arp_op",
        "move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[]",
        f"set_field:{mac}->arp_sha",
        "move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[]",
        f"set_field:{address}->arp_spa",
        *BACK,
    )
    return flow("responders", 100, cause, question, answer)


def _echo_answer(address: str, mac: str) -> tuple[str, ...]:
    return (
        "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]",
        f"set_field:{mac}->eth_src",
        "move:NXM_OF_IP_SRC[]->NXM_OF_IP_DST[]",
        f"set_field:{address}->ip_src",
        "set_field:0->icmp_type",
        *BACK,
    )
