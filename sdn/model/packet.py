"""A packet to ask about, complete enough that a trace cannot lie (a missing TTL or ARP field makes it)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from sdn.model.addresses import Mac

Protocol = Literal["icmp", "tcp", "udp", "sctp", "arp", "nd"]
Address = IPv4Address | IPv6Address
ECHO_REQUEST = {4: 8, 6: 128}  # ICMP's and ICMPv6's type numbers, by IP version
ECHO_REPLY = {4: 0, 6: 129}


@dataclass(frozen=True, slots=True)
class Packet:
    """An Ethernet frame as the source guest would send it, of either IP family (ICMP to an IPv6 address is ICMPv6).

    Ports are 0 where the protocol has none; ICMP's type is in `port_dst`. `size_bytes` is the frame's. ARP and ND ask
    who has `ip_dst`.
    """

    protocol: Protocol
    eth_src: Mac
    eth_dst: Mac
    ip_src: Address
    ip_dst: Address
    ttl: int = 64
    port_src: int = 0
    port_dst: int = 0
    size_bytes: int = 98
    tcp_flags: str = "syn"  # as ovs-ofctl takes them: "syn", "syn|ack", "ack"
