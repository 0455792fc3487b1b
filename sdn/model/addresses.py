"""The small values of the field, each of its own type, so that a VNI is never passed for a dpid."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network
from typing import NewType

Mac = NewType("Mac", str)  # lower case, colons: "52:54:00:aa:bb:cc"
Vni = NewType("Vni", int)  # 1 … 2^23-1
Ofport = NewType("Ofport", int)  # OpenFlow port number on one bridge
Dpid = NewType("Dpid", int)  # OpenFlow datapath id, 64 bits
IfaceId = NewType("IfaceId", str)  # external_ids:iface-id of an OVS Interface = Port.uuid
HostName = NewType("HostName", str)

LINK_LOCAL = IPv6Network("fe80::/64")


def eui64(prefix: IPv6Network, mac: str) -> IPv6Address:
    """The address of a /64 that a MAC makes: RFC 4291, appendix A."""
    octets = bytearray.fromhex(mac.replace(":", ""))
    octets[0] ^= 0x02
    tail = bytes(octets[:3]) + b"\xff\xfe" + bytes(octets[3:])
    return IPv6Address(prefix.network_address.packed[:8] + tail)
