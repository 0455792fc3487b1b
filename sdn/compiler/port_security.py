"""Who may send what: a port is held to its MAC and addresses. Each refusal has a reason of its own."""

from __future__ import annotations

from collections.abc import Iterator

from sdn.compiler.build import drop, flow, goto
from sdn.compiler.overlay import LocalPort
from sdn.model.flow import Flow


def port_security_flows(port: LocalPort) -> Iterator[Flow]:
    """The port's own flows of the table port_security."""
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
