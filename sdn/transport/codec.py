"""Flows to and from OpenFlow 1.4 bytes, quickly: what repeats (a field, an action list) is encoded once and cached.

Shapes are those of the OpenFlow 1.4 specification (7.2.3 OXM, 7.2.4 instructions, 7.2.5 actions) and of OVS's Nicira
extensions (nicira-ext.h, meta-flow.h); os-ken's classes build one object a flow and do a tenth of this rate.
OXM fields are put in one order on both sides (`join_oxm`), so that a flow has one encoding whatever order the switch prefers.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_left
from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_network
from socket import AF_INET6, inet_aton, inet_pton

from sdn.model.flow import Flow
from sdn.reconcile import KEY_HEAD, WireFlow

OFP_VERSION = 5
NO_BUFFER = 0xFFFFFFFF
PORT_IN_PORT = 0xFFFFFFF8
PORT_CONTROLLER = 0xFFFFFFFD
PORT_ANY = 0xFFFFFFFF
FLOW_ADD, FLOW_DELETE_STRICT = 0, 4
NICIRA = 0x00002320

# name → (OXM class, field, bytes, how its text is read)
FIELDS: dict[str, tuple[int, int, int, str]] = {
    "in_port": (0x8000, 0, 4, "int"),
    "dl_dst": (0x8000, 3, 6, "mac"),
    "dl_src": (0x8000, 4, 6, "mac"),
    "dl_type": (0x8000, 5, 2, "int"),
    "nw_proto": (0x8000, 10, 1, "int"),
    "nw_src": (0x8000, 11, 4, "ip"),
    "nw_dst": (0x8000, 12, 4, "ip"),
    "tcp_src": (0x8000, 13, 2, "int"),
    "tcp_dst": (0x8000, 14, 2, "int"),
    "udp_src": (0x8000, 15, 2, "int"),
    "udp_dst": (0x8000, 16, 2, "int"),
    "sctp_src": (0x8000, 17, 2, "int"),
    "sctp_dst": (0x8000, 18, 2, "int"),
    "icmp_type": (0x8000, 19, 1, "int"),
    "icmp_code": (0x8000, 20, 1, "int"),
    "arp_op": (0x8000, 21, 2, "int"),
    "arp_spa": (0x8000, 22, 4, "ip"),
    "arp_tpa": (0x8000, 23, 4, "ip"),
    "arp_sha": (0x8000, 24, 6, "mac"),
    "arp_tha": (0x8000, 25, 6, "mac"),
    "ipv6_src": (0x8000, 26, 16, "ip6"),
    "ipv6_dst": (0x8000, 27, 16, "ip6"),
    "icmpv6_type": (0x8000, 29, 1, "int"),
    "icmpv6_code": (0x8000, 30, 1, "int"),
    "nd_target": (0x8000, 31, 16, "ip6"),
    "nd_sll": (0x8000, 32, 6, "mac"),
    "nd_tll": (0x8000, 33, 6, "mac"),
    "nd_reserved": (0x1000, 1, 4, "int"),  # OVS ≥ 2.11: meta-flow.h, ERICOXM_OF
    "nd_options_type": (0x1000, 2, 1, "int"),
    "nw_ttl": (0x0001, 29, 1, "int"),
    "nxm_in_port": (0x0000, 0, 2, "int"),  # what an action sets; OXM's is for matches
    "vlan_vid": (0x8000, 6, 2, "int"),
    "dl_vlan": (0x8000, 6, 2, "vid"),
    "vlan_tci": (0x8000, 6, 2, "untagged"),
    "tun_id": (0x8000, 38, 8, "int"),
    "tun_src": (0x0001, 31, 4, "ip"),
    "tun_dst": (0x0001, 32, 4, "ip"),
    "nw_frag": (0x0001, 26, 1, "frag"),
    "conj_id": (0x0001, 37, 4, "int"),
    "ct_state": (0x0001, 105, 4, "ct"),
    "ct_mark": (0x0001, 107, 4, "int"),
    **{f"reg{number}": (0x0001, number, 4, "int") for number in range(16)},
}
SET_NAMES = {"eth_src": "dl_src", "eth_dst": "dl_dst", "ip_src": "nw_src", "ip_dst": "nw_dst", "in_port": "nxm_in_port"}
PROTOCOLS = {
    "ip": (0x0800, None),
    "ipv6": (0x86DD, None),
    "arp": (0x0806, None),
    "icmp": (0x0800, 1),
    "tcp": (0x0800, 6),
    "udp": (0x0800, 17),
    "sctp": (0x0800, 132),
    "icmp6": (0x86DD, 58),
    "tcp6": (0x86DD, 6),
    "udp6": (0x86DD, 17),
    "sctp6": (0x86DD, 132),
}
TRANSPORTS = {name + family: name for name in ("tcp", "udp", "sctp") for family in ("", "6")}
FRAGMENTS = {"later": 3}
VLAN_PRESENT = 0x1000  # OFPVID_PRESENT (OpenFlow 1.4, 7.2.3.7)
UNTAGGED = "0x0000/0x1fff"  # how ovs-ofctl prints OFPVID_NONE
# OpenFlow 1.4, 7.2.3.7: no tag, and any tag (OFPVID_PRESENT alone, masked), as value and mask
VLAN_TCI: dict[str, tuple[bytes, bytes | None]] = {UNTAGGED: (b"\0\0", None), "0x1000/0x1000": (b"\x10\0", b"\x10\0")}
CT_BITS = {"new": 1, "est": 2, "rel": 4, "rpl": 8, "inv": 16, "trk": 32, "snat": 64, "dnat": 128}
MOVES = {  # Nicira's names: (NXM class, field, bits)
    "NXM_OF_ETH_DST": (0, 1, 48),
    "NXM_OF_ETH_SRC": (0, 2, 48),
    "NXM_OF_IP_SRC": (0, 7, 32),
    "NXM_OF_IP_DST": (0, 8, 32),
    "NXM_OF_ARP_SPA": (0, 16, 32),
    "NXM_OF_ARP_TPA": (0, 17, 32),
    "NXM_NX_ARP_SHA": (1, 17, 48),
    "NXM_NX_ARP_THA": (1, 18, 48),
    "NXM_NX_TUN_ID": (1, 16, 64),
    "NXM_NX_IPV6_SRC": (1, 19, 128),
    "NXM_NX_IPV6_DST": (1, 20, 128),
    "NXM_NX_ND_TLL": (1, 25, 48),
    **{f"NXM_NX_REG{number}": (1, number, 32) for number in range(16)},
}


OPENFLOW_BASIC = b"\x80\x00"  # the class of OpenFlow's own fields
MOST_SHAPES, MOST_COOKIES = 10_000, 100_000
_cookies: dict[int, int] = {}  # a row has dozens of flows: they share one object


class CodecError(ValueError):
    """A flow that this codec has no bytes for: the message names the field or action."""


def encode_flow(flow: Flow) -> WireFlow:
    """The flow's encoded form. Raises CodecError for a field or action that the compiler should not use."""
    (table_id, priority, match), cookie, actions = flow
    cookie = _cookies.setdefault(cookie, cookie)
    if len(_cookies) > MOST_COOKIES:
        _cookies.clear()
    return WireFlow(KEY_HEAD.pack(table_id, priority) + _match(match), cookie, _instructions(actions))


def _match(fields: tuple[tuple[str, str], ...]) -> bytes:
    shape = tuple([name if value else (name,) for name, value in fields])
    parts = _layouts.get(shape)
    if parts is None:
        parts = _layout(fields)
        if len(_layouts) < MOST_SHAPES:
            _layouts[shape] = parts
    return b"".join([known or oxm(name, fields[at][1]) for known, name, at in parts])


Part = tuple[bytes, str, int]  # of an encoded match: its bytes, or (b"") the OXM field's name and its value's place
_layouts: dict[tuple[str | tuple[str], ...], tuple[Part, ...]] = {}


def _layout(fields: tuple[tuple[str, str], ...]) -> tuple[Part, ...]:
    """The parts of every match that has these fields and protocols, in the order of `join_oxm`; a mask does not change it."""
    parts: list[tuple[tuple[bool, bytes], Part]] = []
    transport = ""
    for at, (name, value) in enumerate(fields):
        if value == "":
            parts += [(_order(one), (one, "", 0)) for one in _protocol(name)]
            transport = name
            continue
        known = _oxm_name(name, transport)
        parts.append((_order(oxm(known, value)), (b"", known, at)))
    return tuple([part for _, part in sorted(parts, key=lambda one: one[0])])


def _order(field: bytes) -> tuple[bool, bytes]:
    return field < OPENFLOW_BASIC, field[:4]


def _oxm_name(name: str, transport: str) -> str:
    if name == "tp_src" or name == "tp_dst":
        if transport not in TRANSPORTS:
            raise CodecError(f"{name} without tcp, udp or sctp before it")
        return f"{TRANSPORTS[transport]}_{name[3:]}"
    if transport == "icmp6" and name in ("icmp_type", "icmp_code"):
        return f"icmpv6_{name[5:]}"
    return name


def join_oxm(fields: list[bytes]) -> bytes:
    """The fields of a match in the one order that both sides use; the list is sorted in place.

    OpenFlow's own (class 0x8000) come first, for a Nicira field may need one of them before it.
    """
    fields.sort()
    first = bisect_left(fields, OPENFLOW_BASIC)
    return b"".join(fields[first:] + fields[:first])


@lru_cache(maxsize=64)
def _protocol(name: str) -> tuple[bytes, ...]:
    if name not in PROTOCOLS:
        raise CodecError(f"no protocol {name!r} in the codec's table")
    eth_type, protocol = PROTOCOLS[name]
    ethernet = oxm("dl_type", hex(eth_type))
    return (ethernet,) if protocol is None else (ethernet, oxm("nw_proto", str(protocol)))


@lru_cache(maxsize=4_000)
def oxm(name: str, text: str) -> bytes:
    """One OXM field of a match: header, value and, where `text` has one, mask."""
    known = _HEADS.get(name)
    if known is None:
        raise CodecError(f"no field {name!r} in the codec's table")
    try:
        return _field_bytes(known, text)
    except (ValueError, OSError, OverflowError, KeyError) as problem:
        raise CodecError(f"{name}={text} is no value of its field: {problem}") from problem


def _field_bytes(known: tuple[bytes, bytes, int, str], text: str) -> bytes:
    plain, masked, size, kind = known
    if "/" not in text:
        if kind == "mac":
            return plain + bytes.fromhex(text.replace(":", ""))
        if kind == "ip":
            return plain + inet_aton(text)
        if kind == "ip6":
            return plain + inet_pton(AF_INET6, text)
        if kind == "frag":
            return plain + FRAGMENTS[text].to_bytes(size)
        if kind == "int":
            return plain + int(text, 0).to_bytes(size)
    value, mask = _value(kind, text, size)
    return plain + value if mask is None else masked + value + mask


def _heads(name: str) -> tuple[bytes, bytes, int, str]:
    class_, field, size, kind = FIELDS[name]
    plain = struct.pack("!HBB", class_, field << 1, size)
    return plain, struct.pack("!HBB", class_, field << 1 | 1, size * 2), size, kind


_HEADS = {name: _heads(name) for name in FIELDS}


def _value(kind: str, text: str, size: int) -> tuple[bytes, bytes | None]:
    full = b"\xff" * size
    if kind == "ct":
        words = re.findall(r"([+-])(\w+)", text)
        value = sum(CT_BITS[word] for sign, word in words if sign == "+")
        mask = sum(CT_BITS[word] for _, word in words)
        return value.to_bytes(4), mask.to_bytes(4)
    if kind == "ip6" and ":" in text.partition("/")[2]:
        address, _, ones = text.partition("/")
        return inet_pton(AF_INET6, address), inet_pton(AF_INET6, ones)
    if kind == "vid":
        return (VLAN_PRESENT | int(text)).to_bytes(size), None
    if kind == "untagged":
        if text not in VLAN_TCI:
            raise ValueError(f"only {' (no tag) and '.join(VLAN_TCI)} (any tag) are written")
        return VLAN_TCI[text]
    if kind in ("ip", "ip6"):
        network = ip_network(text)
        mask_bytes = network.netmask.packed
        return network.network_address.packed, None if mask_bytes == full else mask_bytes
    value_text, _, mask_text = text.partition("/")
    read = _mac if kind == "mac" else lambda word: int(word, 0).to_bytes(size)
    wanted = read(mask_text)
    return read(value_text), None if wanted == full else wanted


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


@lru_cache(maxsize=256)
def _jump(action: str) -> bytes:
    return _GOTO.pack(1, 8, int(action[11:]))


@lru_cache(maxsize=4_000)
def _instructions(actions: tuple[str, ...]) -> bytes:
    if not actions:
        return b""
    meter = jump = b""
    if actions[0].startswith("meter:"):
        meter = _METER.pack(6, 8, int(actions[0][6:]))
        actions = actions[1:]
        if not actions:
            return meter
    if actions[-1].startswith("goto_table:"):
        jump = _jump(actions[-1])
        actions = actions[:-1]
    if not actions:
        return meter + jump
    encoded = b"".join(map(action_bytes, actions))
    return meter + _APPLY.pack(4, 8 + len(encoded)) + encoded + jump


_GOTO, _APPLY, _METER = struct.Struct("!HHBxxx"), struct.Struct("!HHxxxx"), struct.Struct("!HHI")


@lru_cache(maxsize=4_000)
def action_bytes(action: str) -> bytes:
    """One action. Raises CodecError, naming it, for one that the codec does not write."""
    if action.startswith("set_field:"):
        text, _, name = action[10:].rpartition("->")
        return _set_field(text, name)
    try:
        for pattern, write in _WRITERS:
            if found := pattern.fullmatch(action):
                return write(*found.groups())
    except (KeyError, ValueError, struct.error, OverflowError) as problem:
        raise CodecError(f"no bytes for the action {action!r}: {problem}") from problem
    raise CodecError(f"no bytes for the action {action!r}")


def _output_field(name: str) -> bytes:
    return _nicira(15, struct.pack("!H", MOVES[name][2] - 1) + _nxm(name) + struct.pack("!H", 0xFFFF) + b"\0" * 6)


def _move(source: str, target: str) -> bytes:
    return _nicira(6, struct.pack("!HHH", MOVES[source][2], 0, 0) + _nxm(source) + _nxm(target))


def _load(value: str, name: str, bit: str) -> bytes:
    return _nicira(7, struct.pack("!H", int(bit) << 6) + _nxm(name) + int(value, 0).to_bytes(8))


def _check_larger(size: str, name: str, bit: str) -> bytes:
    """NXAST_CHECK_PKT_LARGER (OVS 2.12): the bit is whether the frame has more bytes."""
    return _nicira(49, struct.pack("!HH", int(size), int(bit)) + _nxm(name) + bytes(6))


def _conntrack(commit: str | None, table: str | None, zone: str | None, register: str | None, nat: str | None) -> bytes:
    """NXAST_CT (nicira-ext.h): the zone is a number, or a register's low 16 bits."""
    recirculate = int(table) if table else 0xFF
    source, bits = (_nxm(register), 15) if register else (bytes(4), int(zone or 0))
    nested = _nat(nat) if nat else b""
    return _nicira(35, struct.pack("!H4sHBxxxH", 1 if commit else 0, source, bits, recirculate, 0) + nested)


def _conjunction(conj_id: str, clause: str, clauses: str) -> bytes:
    return _nicira(34, struct.pack("!BBI", int(clause) - 1, int(clauses), int(conj_id)))


def _nat(text: str) -> bytes:
    """struct nx_action_nat: `nat` applies what the connection has, `nat(src=…)` and `nat(dst=…)` say what it gets."""
    if text == "nat":
        return _nicira(36, struct.pack("!xxHH", 0, 0))
    side, _, address = text[4:-1].partition("=")
    if ":" in address:
        return _nicira(36, struct.pack("!xxHH", NAT_SIDES[side], NAT_IPV6_MIN) + inet_pton(AF_INET6, address))
    return _nicira(36, struct.pack("!xxHH", NAT_SIDES[side], NAT_IPV4_MIN) + inet_aton(address))


NAT_SIDES = {"src": 1, "dst": 2}
NAT_IPV4_MIN, NAT_IPV6_MIN = 1, 4


def _metered_controller(most: str, meter_id: str) -> bytes:
    """NXAST_CONTROLLER2 (ofp-actions.c): its copy passes a meter, and the packet goes on whether or not it did."""
    return _nicira(37, struct.pack("!6xHHHxxHHI", 0, 6, int(most), 5, 8, int(meter_id)))


def _clone(text: str) -> bytes:
    """struct nx_action_clone: actions on a copy of the packet, which what comes after does not see."""
    return _nicira(42, bytes(6) + b"".join(map(action_bytes, split_actions(text))))


def split_actions(text: str) -> list[str]:
    """The actions of a comma list; commas inside of brackets are an action's own."""
    parts, depth, start = [], 0, 0
    for at, character in enumerate(text):
        if character == "," and not depth:
            parts.append(text[start:at])
            start = at + 1
        depth += {"(": 1, ")": -1}.get(character, 0)
    return [*parts, text[start:]]


def _stack(subtype: int, name: str) -> bytes:
    return _nicira(subtype, struct.pack("!H", 0) + _nxm(name) + struct.pack("!H", MOVES[name][2]) + bytes(6))


_WRITERS: tuple[tuple[re.Pattern[str], Callable[..., bytes]], ...] = tuple(
    (re.compile(pattern), write)
    for pattern, write in (
        (r"output:(\d+)", lambda port: _output(int(port))),
        (
            r"ct\((commit,)?(?:table=(\d+),)?zone=(?:(\d+)|(NXM_NX_REG\d+)\[0\.\.15\])(?:,(nat|nat\((?:src|dst)=[\da-f.:]+\)))?\)",
            _conntrack,
        ),
        (r"conjunction\((\d+),(\d+)/(\d+)\)", _conjunction),
        (r"check_pkt_larger\((\d+)\)->(\w+)\[(\d+)\]", _check_larger),
        (r"ct_clear", lambda: _nicira(43, b"")),
        (r"dec_ttl", lambda: struct.pack("!HHxxxx", 24, 8)),
        (r"push_vlan:0x8100", lambda: struct.pack("!HHHxx", 17, 8, 0x8100)),
        (r"pop_vlan", lambda: struct.pack("!HHxxxx", 18, 8)),
        (r"push:(\w+)\[\]", lambda name: _stack(27, name)),
        (r"pop:(\w+)\[\]", lambda name: _stack(28, name)),
        (r"move:(\w+)\[\]->(\w+)\[\]", _move),
        (r"resubmit\(,(\d+)\)", lambda table: _nicira(14, struct.pack("!HBxxx", 0xFFF8, int(table)))),
        (r"output:(\w+)\[\]", _output_field),
        (r"load:(\w+)->(\w+)\[(\d+)\]", _load),
        (r"CONTROLLER:(\d+)", lambda length: struct.pack("!HHIHxxxxxx", 0, 16, PORT_CONTROLLER, int(length))),
        (r"controller\(max_len=(\d+),meter_id=(\d+)\)", _metered_controller),
        (r"IN_PORT", lambda: _output(PORT_IN_PORT)),
        (r"clone\((.+)\)", _clone),
        (
            r"output\(port=(\d+),max_len=(\d+)\)",
            lambda port, most: _nicira(39, struct.pack("!HI", int(port), int(most))),
        ),
    )
)


def _output(port: int) -> bytes:
    return struct.pack("!HHIHxxxxxx", 0, 16, port, 0)


def _nxm(name: str) -> bytes:
    class_, field, bits = MOVES[name]
    return struct.pack("!HBB", class_, field << 1, bits // 8)


def _nicira(subtype: int, body: bytes) -> bytes:
    length = (10 + len(body) + 7) // 8 * 8
    return struct.pack("!HHIH", 0xFFFF, length, NICIRA, subtype) + body + b"\0" * (length - 10 - len(body))


def _set_field(text: str, name: str) -> bytes:
    known = _NUMBERS_SET.get(name)
    if known is not None and text[:2] == "0x" and "/" not in text:  # nearly all: a register gets a number
        before, size, after = known
        try:
            return before + int(text, 16).to_bytes(size) + after
        except (ValueError, OverflowError) as problem:
            raise CodecError(f"{name}={text} is no value of its field: {problem}") from problem
    return _set_bytes(oxm.__wrapped__(SET_NAMES.get(name, name), text))  # the action is kept, so its field need not be


def _set_bytes(field: bytes) -> bytes:
    length = (len(field) + 11) // 8 * 8
    return _SET_FIELD.pack(25, length) + field + bytes(length - 4 - len(field))


def _around_number(name: str) -> tuple[bytes, int, bytes]:
    """What is before and after the number in an action that sets the field, and the number's bytes."""
    plain, _, size, _ = _HEADS[name]
    whole, start = _set_bytes(plain + bytes(size)), 4 + len(plain)
    return whole[:start], size, whole[start + size :]


_SET_FIELD = struct.Struct("!HH")
_NUMBERS_SET = {
    name: _around_number(name) for name, field in FIELDS.items() if field[3] == "int" and name not in SET_NAMES
}


def header(type_: int, length: int, xid: int) -> bytes:
    """An OpenFlow header; `length` counts the header's 8 bytes too."""
    return struct.pack("!BBHI", OFP_VERSION, type_, length, xid)


def bundle_add(flow: WireFlow, command: int, bundle: int, xid: int) -> bytes:
    """An OFPT_BUNDLE_ADD_MESSAGE with an OFPT_FLOW_MOD in it, that adds (or replaces) or strictly deletes the flow."""
    key, cookie, instructions, timeouts = flow
    if command != FLOW_ADD:
        instructions = b""
    table_id, priority = KEY_HEAD.unpack_from(key)
    match_length = 4 + len(key) - KEY_HEAD.size
    length = 48 + match_length + -match_length % 8 + len(instructions)
    head = _BUNDLED_FLOW.pack(
        OFP_VERSION, 34, 16 + length, xid, bundle, BUNDLE_FLAGS,
        OFP_VERSION, 14, length, xid, cookie, 0, table_id, command, timeouts >> 16, timeouts & 0xFFFF, priority,
        NO_BUFFER, PORT_ANY, PORT_ANY, 0, 0, 1, match_length,
    )  # fmt: skip
    return b"".join((head, key[KEY_HEAD.size :], _PADDING[-match_length % 8], instructions))


BUNDLE_FLAGS = 3  # atomic, ordered
_BUNDLED_FLOW = struct.Struct("!BBHIIxxHBBHIQQBBHHHIIIHHHH")
_PADDING = [bytes(size) for size in range(8)]


def packet_out(frame: bytes, actions: tuple[str, ...], in_port: int, xid: int) -> bytes:
    """An OFPT_PACKET_OUT of a whole frame."""
    encoded = b"".join(action_bytes(action) for action in actions)
    length = 24 + len(encoded) + len(frame)
    return header(13, length, xid) + struct.pack("!IIHxxxxxx", NO_BUFFER, in_port, len(encoded)) + encoded + frame
