"""Who may send what: a port is held to its MAC, its addresses and its allowed-address pairs; each refusal has a reason.

IPv6 takes two tables, for a sender may be true and what it claims in neighbour discovery not: port_security checks the
source address, nd_security the target and the link-layer address of what is NS or NA (RFC 4861, 7.1).

Link-local addresses are the guest's own choice (EUI-64, or stable and opaque by RFC 7217, which most guests do today), so
any source of fe80::/64 with the port's MAC passes, but for one shape: an interface id with ff:fe in the middle names a MAC,
and must name the port's own. So nobody takes the gateway's link-local address, nor a guest's that has the common form.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from sdn.compiler.build import SYSTEM, drop, flow, goto
from sdn.compiler.overlay import LocalPort, Overlay
from sdn.model.addresses import LINK_LOCAL, eui64
from sdn.model.flow import Flow
from sdn.model.intent import PortIntent

NS, NA, RS = "135", "136", "133"
NOBODY6, NO_MAC = "::", "00:00:00:00:00:00"
EUI64_SHAPE = "fe80::ff:fe00:0/ffff:ffff:ffff:ffff:0:ff:ff00:0"
ANSWERED: tuple[str, ...] = (goto("nd_security", "responders"),)
# Multicast listener reports are told before there is an address (RFC 3810, 5.2.13); conntrack calls them invalid.
LISTENER_REPORTS = ("131", "132", "143")


@dataclass(frozen=True, slots=True)
class _Sender:
    """One MAC that a port may send with, and the addresses it may have then, as matches' values."""

    mac: str
    four: tuple[str, ...]
    six: tuple[str, ...]


def port_security_flows(port: LocalPort, overlay: Overlay) -> Iterator[Flow]:
    """The port's own flows of the tables port_security and nd_security."""
    if not port.intent.is_secured:
        yield flow("port_security", 120, port.cause, port.mark, (goto("port_security", "responders"),))
        return
    has_ipv6 = any(subnet.cidr.version == 6 for subnet in overlay.network.subnets)
    for sender in _senders(port.intent):
        yield from _ipv4(port, sender)
        if has_ipv6:
            yield from _ipv6_sources(port, sender)
            yield from _nd_claims(port, sender)
        refusals = (("arp", "spoofed_arp"), ("ip", "spoofed_ipv4"), ("ipv6", "spoofed_ipv6" if has_ipv6 else "no_ipv6"))
        mark = {**port.mark, "dl_src": sender.mac}
        for protocol, reason in refusals:
            yield flow("port_security", 50, port.cause, {**mark, protocol: ""}, drop("port_security", reason))
        yield flow("port_security", 45, port.cause, mark, drop("port_security", "unknown_protocol"))
    yield flow("port_security", 40, port.cause, port.mark, drop("port_security", "spoofed_mac"))


def system_security_flows() -> Iterator[Flow]:
    """What no guest may send, and what of a true IPv6 sender needs no further look."""
    rogues: tuple[dict[str, str], ...] = (
        {"udp": "", "tp_src": "67", "tp_dst": "68"},
        {"udp6": "", "tp_src": "547", "tp_dst": "546"},
        {"icmp6": "", "icmp_type": "134"},  # router advertisement
        {"icmp6": "", "icmp_type": "137"},  # redirect
    )
    for rogue in rogues:
        yield flow("port_security", 110, SYSTEM, rogue, drop("port_security", "rogue_dhcp"))
    yield flow("nd_security", 90, SYSTEM, {"udp6": "", "tp_src": "546", "tp_dst": "547"}, ANSWERED)
    for kind in (RS, *LISTENER_REPORTS):
        yield flow("nd_security", 90, SYSTEM, {"icmp6": "", "icmp_type": kind}, ANSWERED)
    for kind in (NS, NA):
        claim = {"icmp6": "", "icmp_type": kind}
        yield flow("nd_security", 60, SYSTEM, claim, drop("nd_security", "spoofed_nd"))
        # Neighbour discovery is no connection: conntrack would call it invalid.
        yield flow("conntrack_ingress", 120, SYSTEM, claim, (goto("conntrack_ingress", "ingress_rules"),))
        yield flow("ingress_rules", 120, SYSTEM, claim, (goto("ingress_rules", "output"),))
    yield flow("nd_security", 50, SYSTEM, {"ipv6": "", "ipv6_src": NOBODY6}, drop("nd_security", "spoofed_ipv6"))
    yield flow("nd_security", 1, SYSTEM, {}, (goto("nd_security", "conntrack_egress"),))


def _senders(intent: PortIntent) -> list[_Sender]:
    """The port's own MAC first, then those of its pairs; addresses of one MAC together."""
    known: dict[str, list[str]] = {intent.mac: [str(address) for address in intent.addresses]}
    for pair in intent.pairs:
        whole = pair.cidr.prefixlen == pair.cidr.max_prefixlen
        known.setdefault(pair.mac or intent.mac, []).append(str(pair.cidr.network_address if whole else pair.cidr))
    return [
        _Sender(mac, tuple(dict.fromkeys(text for text in texts if ":" not in text)), tuple(dict.fromkeys(text for text in texts if ":" in text)))
        for mac, texts in known.items()
    ]  # fmt: skip


def _ipv4(port: LocalPort, sender: _Sender) -> Iterator[Flow]:
    cause, mark = port.cause, {**port.mark, "dl_src": sender.mac}
    for address in (*sender.four, str(IPv4Address(0))):
        arp = {**mark, "arp": "", "arp_spa": address, "arp_sha": sender.mac}
        yield flow("port_security", 100, cause, arp, (goto("port_security", "responders"),))
    for address in sender.four:
        ip = {**mark, "ip": "", "nw_src": address}
        yield flow("port_security", 100, cause, ip, (goto("port_security", "conntrack_egress"),))
    dhcp = {**mark, "udp": "", "nw_src": "0.0.0.0", "tp_src": "68", "tp_dst": "67"}
    yield flow("port_security", 100, cause, dhcp, (goto("port_security", "responders"),))


def _ipv6_sources(port: LocalPort, sender: _Sender) -> Iterator[Flow]:
    cause, mark = port.cause, {**port.mark, "dl_src": sender.mac, "ipv6": ""}
    true = (goto("port_security", "nd_security"),)
    for address in (*sender.six, NOBODY6, str(eui64(LINK_LOCAL, sender.mac))):
        yield flow("port_security", 100, cause, {**mark, "ipv6_src": address}, true)
    another = drop("port_security", "spoofed_ipv6")
    yield flow("port_security", 90, cause, {**mark, "ipv6_src": EUI64_SHAPE}, another)
    yield flow("port_security", 80, cause, {**mark, "ipv6_src": str(LINK_LOCAL)}, true)


def _nd_claims(port: LocalPort, sender: _Sender) -> Iterator[Flow]:
    """NS from :: (duplicate address detection) and NA claim the target; other NS claim their sender's MAC."""
    cause, mark = port.cause, {**port.mark, "dl_src": sender.mac, "icmp6": ""}
    macs = (sender.mac, NO_MAC)  # the option may be left out
    asks = {**mark, "icmp_type": NS, "icmp_code": "0"}
    for mac in macs:
        yield flow("nd_security", 75, cause, {**asks, "nd_sll": mac}, ANSWERED)
    claims = [(100, target, ANSWERED) for target in (*sender.six, str(eui64(LINK_LOCAL, sender.mac)))]
    claims.append((90, EUI64_SHAPE, drop("nd_security", "spoofed_nd")))
    claims.append((80, str(LINK_LOCAL), ANSWERED))
    for priority, target, fate in claims:
        detects = {**asks, "ipv6_src": NOBODY6, "nd_target": target}
        yield flow("nd_security", priority, cause, detects, fate)
        for mac in macs:
            tells = {**mark, "icmp_type": NA, "icmp_code": "0", "nd_target": target, "nd_tll": mac}
            yield flow("nd_security", priority, cause, tells, fate)
    yield flow("nd_security", 78, cause, {**asks, "ipv6_src": NOBODY6}, drop("nd_security", "spoofed_nd"))
