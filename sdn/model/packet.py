"""A packet to ask about, complete enough that a trace cannot lie (a missing TTL or ARP field makes it)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Literal

from sdn.model.addresses import Mac

Protocol = Literal["icmp", "tcp", "udp", "arp"]


@dataclass(frozen=True, slots=True)
class Packet:
    """An Ethernet frame as the source guest would send it. Ports are 0 where the protocol has none."""

    protocol: Protocol
    eth_src: Mac
    eth_dst: Mac
    ip_src: IPv4Address
    ip_dst: IPv4Address
    ttl: int = 64
    port_src: int = 0
    port_dst: int = 0
    size_bytes: int = 98
