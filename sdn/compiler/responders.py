"""What the switch answers itself: ARP for every address of a network, pings to its gateways. DHCP, DNS: the controller.

Neighbour discovery, IPv6's ARP, is in neighbours.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sdn.compiler.build import drop, flow, goto, load
from sdn.compiler.overlay import LocalPort, Overlay
from sdn.model.cookie import Cause, CauseKind
from sdn.model.flow import Flow
from sdn.model.intent import PortIntent
from sdn.pipeline import Register

DNS_PORT = 53
SSH_PROBE_PORT = 4853  # the gateway's TCP port that the controller asks guests from: is their SSH up?
PORT_IN_PORT = 0xFFF8  # "where it came from"; through the output table, so that a probe's answer is no guest's
BACK = (load(PORT_IN_PORT, Register.OUT), goto("responders", "output"))
CONTROLLER = ("CONTROLLER:65535",)


def network_answers(overlay: Overlay) -> Iterator[Flow]:
    """The gateways' answers, DHCP and DNS."""
    cause, mark, network = overlay.cause, overlay.mark, overlay.network
    for subnet in network.subnets:
        gateway, four = str(subnet.gateway), subnet.gateway.version == 4
        to = {**mark, "nw_dst": gateway} if four else {**mark, "ipv6_dst": gateway}
        tcp, udp = ("tcp", "udp") if four else ("tcp6", "udp6")
        yield flow("responders", 100, cause, {**to, tcp: "", "tp_dst": str(SSH_PROBE_PORT)}, CONTROLLER)
        if network.is_provider:  # its gateway is a machine outside, which answers for itself
            continue
        if four:
            yield arp_answer(cause, mark, gateway, network.router_mac)
            echo = {**to, "icmp": "", "icmp_type": "8"}
            yield flow("responders", 100, cause, echo, _echo_answer(gateway, network.router_mac))
        yield flow("responders", 100, cause, {**to, udp: "", "tp_dst": str(DNS_PORT)}, CONTROLLER)
    yield flow("responders", 100, cause, {**mark, "udp": "", "tp_src": "68", "tp_dst": "67"}, CONTROLLER)


def remote_answers(port: PortIntent, overlay: Overlay) -> Iterator[Flow]:
    """ARP for the addresses of a port that is on another host."""
    for address in port.addresses:
        if address.version == 4:
            yield arp_answer(Cause(CauseKind.PORT, port.id), overlay.mark, str(address), port.mac)


def port_answers(port: LocalPort, overlay: Overlay) -> Iterator[Flow]:
    """ARP for a local port's addresses: for everybody but itself, who must not find its own address taken."""
    for address in port.intent.addresses:
        if address.version == 4:
            own = {**port.mark, "arp": "", "arp_op": "1", "arp_tpa": str(address)}
            yield flow("responders", 110, port.cause, own, own_question(overlay))
            yield arp_answer(port.cause, overlay.mark, str(address), port.intent.mac)


def own_question(overlay: Overlay) -> tuple[str, ...]:
    """What becomes of a port's question for its own address: only a provider network has others to tell it to."""
    return (goto("responders", "router"),) if overlay.network.is_provider else drop("responders", "no_neighbour")


def arp_answer(cause: Cause, mark: Mapping[str, str], address: str, mac: str) -> Flow:
    """RFC 826: the answer is made of the question, its sides swapped, and goes back where it came from."""
    question = {**mark, "arp": "", "arp_op": "1", "arp_tpa": address}
    return flow("responders", 100, cause, question, (*arp_reply(address, mac), *BACK))


def arp_reply(address: str, mac: str) -> tuple[str, ...]:
    """A question for `address` becomes the answer."""
    return (
        "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]",
        f"set_field:{mac}->eth_src",
        "set_field:2->arp_op",
        "move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[]",
        f"set_field:{mac}->arp_sha",
        "move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[]",
        f"set_field:{address}->arp_spa",
    )


def _echo_answer(address: str, mac: str) -> tuple[str, ...]:
    return (
        "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]",
        f"set_field:{mac}->eth_src",
        "move:NXM_OF_IP_SRC[]->NXM_OF_IP_DST[]",
        f"set_field:{address}->ip_src",
        "set_field:0->icmp_type",
        *BACK,
    )
