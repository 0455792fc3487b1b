"""What an encapsulation costs: bytes between the underlay's largest IP packet and the guest's."""

from __future__ import annotations

from typing import Literal

Encapsulation = Literal["vxlan", "geneve", "vlan", "flat"]
PROVIDER_KINDS: tuple[Encapsulation, ...] = ("vlan", "flat")  # on a segment that the hosts' switches only join
INNER_ETHERNET = 14
OUTER_IP = {4: 20, 6: 40}
OUTER_UDP = 8
# RFC 7348, 5; RFC 8926, 3.1 (Geneve without options: our probe mark is a bit of the VNI). A VLAN tag is not of the IP MTU.
TUNNEL_HEADER: dict[Encapsulation, int] = {"vxlan": 8, "geneve": 8}


def overhead_bytes(encapsulation: Encapsulation, outer_version: Literal[4, 6] = 4) -> int:
    """How much smaller a guest's packet must be than the underlay's: 50 for VXLAN and Geneve over IPv4, 70 over IPv6."""
    if encapsulation not in TUNNEL_HEADER:
        return 0
    return OUTER_IP[outer_version] + OUTER_UDP + TUNNEL_HEADER[encapsulation] + INNER_ETHERNET


def inner_mtu(underlay_mtu: int, encapsulation: Encapsulation, outer_version: Literal[4, 6] = 4) -> int:
    """The guest's largest IP packet that the underlay carries whole."""
    return underlay_mtu - overhead_bytes(encapsulation, outer_version)
