"""Is a guest's SSH up? A TCP SYN from the network's gateway, and the guest's SYN-ACK, as bytes. Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from sdn.compiler import SSH_PROBE_PORT
from sdn.controller.datagrams import IS_IPV4, IS_IPV6, checksum, mac_bytes
from sdn.model.intent import NetworkIntent, PortIntent

SSH = 22
SYN, RST, SYN_ACK = 0x02, 0x04, 0x12


@dataclass(frozen=True, slots=True)
class SshAnswer:
    """A guest's SYN-ACK: from which address, and which of our sequence numbers it expects next."""

    address: IPv4Address | IPv6Address
    acknowledged: int


def syn_frame(
    port: PortIntent, network: NetworkIntent, sequence: int, flags: int = SYN, six: bool = False
) -> bytes | None:
    """The frame to hand to the guest, from the gateway of its subnet; None when it has no address of that family."""
    found = next(
        (
            (subnet, address)
            for address in port.addresses
            for subnet in network.subnets
            if address in subnet.cidr and (address.version == 6) == six
        ),
        None,
    )
    if found is None:
        return None
    ends = found[0].gateway.packed + found[1].packed
    tcp = struct.pack("!HHIIBBHHH", SSH_PROBE_PORT, SSH, sequence & 0xFFFFFFFF, 0, 5 << 4, flags, 1024, 0, 0)
    pseudo = ends + (struct.pack("!II", len(tcp), 6) if six else struct.pack("!BBH", 0, 6, len(tcp)))
    tcp = tcp[:16] + struct.pack("!H", checksum(pseudo + tcp)) + tcp[18:]
    macs = mac_bytes(port.mac) + mac_bytes(network.router_mac)
    if six:
        return macs + IS_IPV6 + struct.pack("!IHBB", 6 << 28, len(tcp), 6, 64) + ends + tcp
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0) + ends
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    return macs + IS_IPV4 + ip + tcp


def is_ssh_answer(frame: bytes) -> SshAnswer | None:
    """What the frame says when it is a guest's SYN-ACK to our SYN, else None."""
    if frame[12:14] == IS_IPV4 and len(frame) >= 54 and frame[14] == 0x45 and frame[23] == 6:
        address: IPv4Address | IPv6Address = IPv4Address(frame[26:30])
        at = 34
    elif frame[12:14] == IS_IPV6 and len(frame) >= 74 and frame[20] == 6:
        address, at = IPv6Address(frame[22:38]), 54
    else:
        return None
    source, target = struct.unpack_from("!HH", frame, at)
    if source == SSH and target == SSH_PROBE_PORT and frame[at + 13] & SYN_ACK == SYN_ACK:
        return SshAnswer(address, int.from_bytes(frame[at + 8 : at + 12]))
    return None
