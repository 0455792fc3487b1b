"""What a frame claims to be: the one address that its sender says it has. Pure, for frames of untrusted guests."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

ARP, IPV4, IPV6 = 0x0806, 0x0800, 0x86DD
ARP_OF_ETHERNET = b"\x00\x01\x08\x00\x06\x04"  # hardware, protocol and their address lengths (RFC 826)
ICMPV6, SOLICITATION, ADVERTISEMENT = 58, 135, 136
# Why port security refuses a frame for the address that it claims (sdn.pipeline.DROP_REASONS).
CLAIM_REASONS = frozenset({"spoofed_arp", "spoofed_ipv4", "spoofed_ipv6", "spoofed_nd"})


def read_claim(frame: bytes) -> tuple[str, str] | None:
    """(source, address): "arp", "nd" or "ip" says how it is claimed. None for a frame that claims nothing, or is cut short."""
    kind, body = int.from_bytes(frame[12:14]), frame[14:]
    if kind == ARP and len(body) >= 28 and body[:6] == ARP_OF_ETHERNET:
        sender, target = IPv4Address(body[14:18]), IPv4Address(body[24:28])
        # A probe for a double names what it wants as the target, and no sender (RFC 5227, 2.1.1).
        return "arp", str(target if sender.is_unspecified else sender)
    if kind == IPV4 and len(body) >= 20:
        return "ip", str(IPv4Address(body[12:16]))
    if kind == IPV6 and len(body) >= 40:
        return _ipv6(body)
    return None


def _ipv6(body: bytes) -> tuple[str, str]:
    source = ip_address(body[8:24])
    is_neighbour = body[6] == ICMPV6 and len(body) >= 64
    asks_double = is_neighbour and body[40] == SOLICITATION and source.is_unspecified
    if asks_double or (is_neighbour and body[40] == ADVERTISEMENT):
        return "nd", str(IPv6Address(body[48:64]))
    return "ip", str(source)
