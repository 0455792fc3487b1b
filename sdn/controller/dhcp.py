"""DHCPv4 answers (RFC 2131, 2132): a question's bytes and the port that asked become an answer's bytes. Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address

from sdn.model.intent import NetworkIntent, PortIntent, SubnetIntent

DISCOVER, OFFER, REQUEST, ACK, NAK, INFORM = 1, 2, 3, 5, 6, 8
MAGIC = b"\x63\x82\x53\x63"
LEASE_S = 86400
ETHERNET_IPV4_UDP = 14 + 20 + 8


@dataclass(frozen=True, slots=True)
class Question:
    """What matters of a client's message."""

    type: int
    xid: bytes
    mac: bytes
    flags: bytes
    ciaddr: IPv4Address
    requested: IPv4Address | None


def parse_question(frame: bytes) -> Question | None:
    """The question in an Ethernet frame; None for anything that is not a well-formed DHCP request."""
    dhcp = frame[ETHERNET_IPV4_UDP:]
    if len(dhcp) < 244 or frame[12:14] != b"\x08\x00" or frame[14] != 0x45 or dhcp[0] != 1 or dhcp[236:240] != MAGIC:
        return None
    options = _options(dhcp[240:])
    kind = options.get(53, b"")
    if len(kind) != 1:
        return None
    wanted = options.get(50, b"")
    requested = IPv4Address(wanted) if len(wanted) == 4 else None
    return Question(kind[0], dhcp[4:8], dhcp[28:34], dhcp[10:12], IPv4Address(dhcp[12:16]), requested)


def answer(frame: bytes, port: PortIntent, network: NetworkIntent) -> bytes | None:
    """The frame to send back to the port, or None where DHCP says to be silent (release, decline, not for us)."""
    question = parse_question(frame)
    found = _address(port, network)
    if question is None or found is None or question.mac != _mac(port.mac):
        return None
    address, subnet = found
    if question.type == DISCOVER:
        return _reply(question, OFFER, address, port, network, subnet)
    if question.type == INFORM:
        return _reply(question, ACK, IPv4Address(0), port, network, subnet)
    if question.type != REQUEST:
        return None
    asked = question.requested or question.ciaddr
    return _reply(question, ACK if asked == address else NAK, address, port, network, subnet)


def _address(port: PortIntent, network: NetworkIntent) -> tuple[IPv4Address, SubnetIntent] | None:
    for address in port.addresses:
        for subnet in network.subnets:
            if isinstance(address, IPv4Address) and address in subnet.cidr:
                return address, subnet
    return None


def _reply(question: Question, kind: int, address: IPv4Address, port: PortIntent, network: NetworkIntent, subnet: SubnetIntent) -> bytes:  # fmt: skip
    yours = IPv4Address(0) if kind == NAK else address
    head = struct.pack("!BBBB4sHH", 2, 1, 6, 0, question.xid, 0, 0)[:10] + question.flags
    dhcp = head + question.ciaddr.packed + yours.packed + subnet.gateway.packed + b"\0" * 4
    dhcp += question.mac + b"\0" * 10 + b"\0" * 192 + MAGIC
    dhcp += _option(53, bytes([kind])) + _option(54, subnet.gateway.packed)
    if kind != NAK:
        dhcp += _settings(port, network, subnet, lease=question.type != INFORM)
    dhcp += b"\xff"
    dhcp += b"\0" * max(0, 300 - len(dhcp))
    return _frame(question.mac, _mac(network.router_mac), subnet.gateway.packed, dhcp)


def _settings(port: PortIntent, network: NetworkIntent, subnet: SubnetIntent, *, lease: bool) -> bytes:
    options = b""
    if lease:
        options += _option(51, struct.pack("!I", LEASE_S)) + _option(58, struct.pack("!I", LEASE_S // 2))
    options += _option(1, subnet.cidr.netmask.packed) + _option(3, subnet.gateway.packed)
    if subnet.dns:
        options += _option(6, b"".join(server.packed for server in subnet.dns))
    options += _option(12, port.name.encode("ascii", "replace")[:63])
    return options + _option(26, struct.pack("!H", network.mtu))


def _frame(to_mac: bytes, from_mac: bytes, from_ip: bytes, dhcp: bytes) -> bytes:
    udp = struct.pack("!HHHH", 67, 68, 8 + len(dhcp), 0) + dhcp  # UDP's checksum may be left out over IPv4
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, from_ip, b"\xff" * 4)
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    return to_mac + from_mac + b"\x08\x00" + ip + udp


def checksum(words: bytes) -> int:
    """The internet checksum (RFC 1071) of an even or odd number of bytes."""
    if len(words) % 2:
        words += b"\0"
    total: int = sum(struct.unpack(f"!{len(words) // 2}H", words))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _options(body: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at < len(body) and body[at] != 255:
        if body[at] == 0:
            at += 1
            continue
        if at + 1 >= len(body):
            break
        size = body[at + 1]
        found[body[at]] = body[at + 2 : at + 2 + size]
        at += 2 + size
    return found


def _option(code: int, value: bytes) -> bytes:
    return bytes([code, len(value)]) + value


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))
