"""Frames that the controller makes of its own accord: ARP (RFC 826), and the unsolicited advertisements of IPv6. Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from sdn.controller.datagrams import ALL_NODES, ALL_NODES_MAC, Icmp6, format_icmp6, mac_bytes
from sdn.controller.ra import NEIGHBOUR_ADVERTISEMENT, OVERRIDE
from sdn.model.addresses import Mac
from sdn.model.intent import Address

BROADCAST = b"\xff" * 6
ARP_REQUEST, ARP_REPLY = 1, 2


@dataclass(frozen=True, slots=True)
class ArpAnswer:
    """Who has which address, as an ARP frame tells."""

    address: IPv4Address
    mac: Mac


def arp_question(mac: Mac, address: IPv4Address, wanted: IPv4Address) -> bytes:
    """Who has `wanted`? Tell `address` at `mac`. With wanted = address it is the gratuitous announcement (RFC 5227)."""
    own, ends = mac_bytes(mac), struct.pack("!HHBBH", 1, 0x0800, 6, 4, ARP_REQUEST)
    return BROADCAST + own + b"\x08\x06" + ends + own + address.packed + b"\0" * 6 + wanted.packed


def parse_arp_answer(frame: bytes) -> ArpAnswer | None:
    """What an ARP answer tells; None for any other frame, and for an answer that no host could be meant by."""
    if (
        len(frame) < 42
        or frame[12:14] != b"\x08\x06"
        or frame[14:22] != struct.pack("!HHBBH", 1, 0x0800, 6, 4, ARP_REPLY)
    ):
        return None
    mac = frame[22:28]
    if mac[0] & 1 or not any(mac):
        return None
    return ArpAnswer(IPv4Address(frame[28:32]), Mac(":".join(f"{byte:02x}" for byte in mac)))


def announcement(mac: Mac, address: Address) -> bytes:
    """The frame that tells everybody on the link who has the address. Pure."""
    if isinstance(address, IPv4Address):
        return arp_question(mac, address, address)
    assert isinstance(address, IPv6Address)
    option = b"\x02\x01" + mac_bytes(mac)
    body = struct.pack("!BBHI", NEIGHBOUR_ADVERTISEMENT, 0, 0, OVERRIDE) + address.packed + option
    return format_icmp6(Icmp6(mac_bytes(mac), address, ALL_NODES, 255, body), ALL_NODES_MAC)
