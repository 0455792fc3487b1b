"""A packet's size along its path: where it is cut in pieces, and where it is too big to go on.

A VXLAN header costs 50 bytes of the underlay's MTU (14 inner Ethernet, 20 IPv4, 8 UDP, 8 VXLAN; 70 over IPv6). Open
vSwitch sets Don't Fragment on what it encapsulates (`options:df_default`), so an outer packet over the underlay's MTU is
dropped, mostly in silence: small packets pass and large ones vanish.
"""

from __future__ import annotations

from dataclasses import dataclass

from sdn.model.packet import Packet
from sdn.trace.fields import ETHERNET_BYTES

TUNNEL_OVERHEAD_BYTES = 50  # of VXLAN, and of Geneve without options, which is what we send
IPV4_HEADER_BYTES = 20


@dataclass(frozen=True, slots=True)
class Fit:
    """How a packet fits one link: `words` is empty where there is nothing to say."""

    fits: bool = True
    words: str = ""
    suggestion: str = ""
    size_bytes: int = 0  # of the IP packet that goes on


def ip_bytes(packet: Packet) -> int:
    """The IP packet inside the frame."""
    return packet.size_bytes - ETHERNET_BYTES


def fit_guest(name: str, mtu: int, size: int) -> Fit:
    """At the sender's own NIC: its kernel cuts, or refuses where Don't Fragment is set."""
    if not mtu or size <= mtu:
        return Fit(size_bytes=size)
    pieces = -(-(size - IPV4_HEADER_BYTES) // max((mtu - IPV4_HEADER_BYTES) // 8 * 8, 8))
    words = (
        f"{size} bytes are more than {name}'s MTU of {mtu}: its kernel sends {pieces} fragments, or refuses the packet "
        "where Don't Fragment is set (TCP never makes one that big)"
    )
    return Fit(words=words, size_bytes=mtu)


def fit_tunnel(host: str, underlay_mtu: int, size: int, kind: str = "VXLAN") -> Fit:
    """Into the tunnel: the outer packet must fit the underlay."""
    outer = size + TUNNEL_OVERHEAD_BYTES
    if not underlay_mtu or outer <= underlay_mtu:
        return Fit(size_bytes=size)
    room = underlay_mtu - TUNNEL_OVERHEAD_BYTES
    words = (
        f"too big for the underlay of {host}: {size} bytes and {TUNNEL_OVERHEAD_BYTES} of {kind} make {outer}, its MTU is "
        f"{underlay_mtu}, and the outer packet may not be fragmented"
    )
    return Fit(False, words, f"Lower the network's MTU to {room}, or raise the underlay's to {outer}.", size)


def fit_receiver(name: str, mtu: int, size: int) -> Fit:
    """Out of the receiver's tap."""
    if not mtu or size <= mtu:
        return Fit(size_bytes=size)
    words = f"{size} bytes are more than the MTU of {mtu} at {name}'s NIC"
    return Fit(False, words, f"Raise the MTU of {name}'s NIC, or send at most {mtu} bytes.", size)


def tight_path(mtu: int, underlay_mtu: int, host: str) -> str:
    """A finding where a guest may send more than the underlay carries; "" where it all fits."""
    if not mtu or not underlay_mtu or mtu + TUNNEL_OVERHEAD_BYTES <= underlay_mtu:
        return ""
    room = underlay_mtu - TUNNEL_OVERHEAD_BYTES
    return f"The guests' MTU is {mtu}, but the underlay of {host} (MTU {underlay_mtu}) carries {room}: larger packets vanish"
