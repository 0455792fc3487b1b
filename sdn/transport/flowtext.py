"""Encoded flows in ovs-ofctl's words, exactly as `ovs-ofctl -O OpenFlow14 dump-flows --no-names --no-stats` prints ours.

Foreign flows may use what our tables do not have: such fields, actions and instructions are shown as hex, never refused,
and `is_known` says so; `sdn.transport.flowprint` has ovs-ofctl itself print those.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from sdn.compiler.build import format_value
from sdn.model.flow import Flow, FlowKey, canonical_match, format_flow
from sdn.reconcile import WireFlow
from sdn.transport.codec import (
    CT_BITS,
    FIELDS,
    FRAGMENTS,
    MOVES,
    NAT_IPV4_MIN,
    NAT_IPV6_MIN,
    NAT_SIDES,
    NICIRA,
    PROTOCOLS,
    SET_NAMES,
    TRANSPORTS,
    UNTAGGED,
    VLAN_PRESENT,
    VLAN_TCI,
)

_FIELD_NAMES = {(class_, field): name for name, (class_, field, _, _) in FIELDS.items()}
_SET_WORDS = {name: word for word, name in SET_NAMES.items()}
_NXM_NAMES = {(class_, field): name for name, (class_, field, _) in MOVES.items()}
_HEX = {"tun_id", "ct_mark", *(f"reg{number}" for number in range(16))}
_VLAN = (0x8000, 6 << 1)  # one field with three names: what a packet has, that it has none, and what an action sets
_NAT_WORDS = {0: "", **{number: word for word, number in NAT_SIDES.items()}}
_PLAIN_TEXTS = {18: "pop_vlan", 24: "dec_ttl"}
_HEXED = re.compile(r"\b(action|instruction|oxm)_\w*:?(0x)?")
_PORT_NAMES = {
    0xFFFFFFF8: "IN_PORT", 0xFFFFFFF9: "TABLE", 0xFFFFFFFA: "NORMAL", 0xFFFFFFFB: "FLOOD", 0xFFFFFFFC: "ALL",
    0xFFFFFFFE: "LOCAL",
}  # fmt: skip
_WORDS = {
    (f"0x{ethernet:04x}", None if protocol is None else str(protocol)): name
    for name, (ethernet, protocol) in PROTOCOLS.items()
}
_TRANSPORT_FIELDS = {
    f"{transport}_{side}": f"tp_{side}" for transport in set(TRANSPORTS.values()) for side in ("src", "dst")
} | {"icmpv6_type": "icmp_type", "icmpv6_code": "icmp_code"}


def decode_flow(flow: WireFlow) -> Flow:
    """The flow in words: the inverse of `encode_flow`. Timeouts are not part of it."""
    key = FlowKey(flow.table_id, flow.priority, match_text(flow.match))
    return Flow(key, flow.cookie, instruction_texts(flow.instructions))


def is_known(flow: Flow) -> bool:
    """Whether every field and action of a decoded flow has its word, and none is shown as hex."""
    return not any(name.startswith("oxm_") for name, _ in flow.key.match) and not any(map(_HEXED.search, flow.actions))


def format_wire_flow(flow: WireFlow) -> str:
    """The flow as the line that ovs-ofctl prints of it."""
    return format_flow(decode_flow(flow))


@lru_cache(maxsize=50_000)
def match_text(match: bytes) -> tuple[tuple[str, str], ...]:
    """The match's (field, value) pairs in canonical order."""
    fields: dict[str, str] = {}
    for header, payload in _oxm_fields(match):
        name, text = _field(header, payload)
        fields[name] = text
    ethernet, protocol = fields.get("dl_type"), fields.get("nw_proto")
    if word := _WORDS.get((ethernet or "", protocol)):
        fields.pop("nw_proto", None)
    elif word := _WORDS.get((ethernet or "", None)):
        pass
    if word:
        del fields["dl_type"]
        fields[word] = ""
    return canonical_match((_TRANSPORT_FIELDS.get(name, name), text) for name, text in fields.items())


@lru_cache(maxsize=50_000)
def instruction_texts(instructions: bytes) -> tuple[str, ...]:
    """The flow's actions, goto_table among them, in order."""
    texts: list[str] = []
    for type_, body in _sized(instructions, 4):
        if type_ == 1 and len(body) >= 1:
            texts.append(f"goto_table:{body[0]}")
        elif type_ == 4:
            texts += [action_text(kind, rest) for kind, rest in _sized(body[4:], 4)]
        elif type_ == 5:
            texts.append("clear_actions")
        elif type_ == 6 and len(body) == 4:
            texts.append(f"meter:{int.from_bytes(body)}")
        elif type_ == 3:
            texts.append(f"write_actions({','.join(action_text(kind, rest) for kind, rest in _sized(body[4:], 4))})")
        else:
            texts.append(f"instruction_{type_}:0x{body.hex()}")
    return tuple(texts)


def action_text(type_: int, body: bytes) -> str:
    """One action in words; hex for one that we do not know."""
    try:
        if type_ == 0:
            return _output_text(*struct.unpack_from("!IH", body))
        if type_ in _PLAIN_TEXTS:
            return _PLAIN_TEXTS[type_]
        if type_ == 17 and body[:2] == b"\x81\x00":
            return "push_vlan:0x8100"
        if type_ == 22:
            return f"group:{struct.unpack_from('!I', body)[0]}"
        if type_ == 25:
            header, payload = next(_oxm_fields(body))
            if struct.unpack_from("!HB", header) == _VLAN:
                return f"set_field:{int.from_bytes(payload)}->vlan_vid"
            name, text = _field(header, payload)
            return f"set_field:{text}->{_SET_WORDS.get(name, name)}"
        if type_ == 0xFFFF and struct.unpack_from("!I", body)[0] == NICIRA:
            subtype = struct.unpack_from("!H", body, 4)[0]
            if words := _NICIRA_TEXTS.get(subtype):
                return words(body[6:])
    except (struct.error, KeyError, IndexError, StopIteration, ValueError):
        pass
    return f"action_{type_}:0x{body.hex()}"


def _output_text(port: int, length: int) -> str:
    if port == 0xFFFFFFFD:
        return f"CONTROLLER:{length}"
    return _PORT_NAMES.get(port, f"output:{port}")


def _nxm_name(header: bytes) -> str:
    class_, field = struct.unpack_from("!HB", header)
    return _NXM_NAMES[class_, field >> 1]


def _part(name: str, first: int, bits: int) -> str:
    whole = next(size for known, (_, _, size) in MOVES.items() if known == name)
    if first == 0 and bits == whole:
        return f"{name}[]"
    return f"{name}[{first}]" if bits == 1 else f"{name}[{first}..{first + bits - 1}]"


def _move_text(body: bytes) -> str:
    bits, source, target = struct.unpack_from("!HHH", body)
    return f"move:{_part(_nxm_name(body[6:]), source, bits)}->{_part(_nxm_name(body[10:]), target, bits)}"


def _load_text(body: bytes) -> str:
    place, value = struct.unpack_from("!H", body)[0], int.from_bytes(body[6:14])
    return f"load:{format_value(value)}->{_part(_nxm_name(body[2:]), place >> 6, (place & 63) + 1)}"


def _resubmit_text(body: bytes) -> str:
    port, table = struct.unpack_from("!HB", body)
    return f"resubmit({'' if port == 0xFFF8 else port},{table})"


def _output_field_text(body: bytes) -> str:
    place = struct.unpack_from("!H", body)[0]
    return f"output:{_part(_nxm_name(body[2:]), place >> 6, (place & 63) + 1)}"


def _check_larger_text(body: bytes) -> str:
    size, bit = struct.unpack_from("!HH", body)
    return f"check_pkt_larger({size})->{_part(_nxm_name(body[4:]), bit, 1)}"


def _conntrack_text(body: bytes) -> str:
    flags, source, zone, table, alg = struct.unpack_from("!H4sHBxxxH", body)
    if flags & ~1 or alg:
        raise ValueError("a ct that our compiler does not make")
    words = ["commit"] if flags & 1 else []
    words += [f"table={table}"] if table != 0xFF else []
    words.append(f"zone={_part(_nxm_name(source), zone >> 6, (zone & 63) + 1) if any(source) else zone}")
    nested = [action_text(kind, rest) for kind, rest in _sized(body[14:], 4) if kind != 0 or rest.strip(b"\0")]
    words += [action for action in nested if action.startswith("nat")]
    if inside := [action for action in nested if not action.startswith("nat")]:
        words.append(f"exec({','.join(inside)})")
    return f"ct({','.join(words)})"


def _conjunction_text(body: bytes) -> str:
    clause, clauses, conj_id = struct.unpack_from("!BBI", body)
    return f"conjunction({conj_id},{clause + 1}/{clauses})"


def _nat_text(body: bytes) -> str:
    sides, ranges = struct.unpack_from("!xxHH", body)
    if sides not in _NAT_WORDS or ranges not in (0, NAT_IPV4_MIN, NAT_IPV6_MIN):
        raise ValueError("a nat that our compiler does not make")
    if not sides:
        return "nat"
    address = IPv6Address(body[6:22]) if ranges == NAT_IPV6_MIN else IPv4Address(body[6:10])
    return f"nat({_NAT_WORDS[sides]}={address})"


def _clone_text(body: bytes) -> str:
    return f"clone({','.join(action_text(kind, rest) for kind, rest in _sized(body[6:], 4))})"


def _cut_output_text(body: bytes) -> str:
    port, most = struct.unpack_from("!HI", body)
    return f"output(port={port},max_len={most})"


def _stack_text(word: str, body: bytes) -> str:
    bit, bits = struct.unpack_from("!H4xH", body)
    return f"{word}:{_part(_nxm_name(body[2:]), bit, bits)}"


_NICIRA_TEXTS: dict[int, Callable[[bytes], str]] = {
    6: _move_text, 7: _load_text, 14: _resubmit_text, 15: _output_field_text, 34: _conjunction_text,
    35: _conntrack_text, 27: lambda body: _stack_text("push", body), 28: lambda body: _stack_text("pop", body),
    36: _nat_text, 39: _cut_output_text, 42: _clone_text, 49: _check_larger_text, 43: lambda body: "ct_clear",
}  # fmt: skip


def _field(header: bytes, payload: bytes) -> tuple[str, str]:
    class_, field, _ = struct.unpack("!HBB", header)
    name = _FIELD_NAMES.get((class_, field >> 1))
    has_mask = bool(field & 1)
    half = len(payload) // 2 if has_mask else len(payload)
    value, mask = payload[:half], payload[half:] if has_mask else b""
    if (class_, field & ~1) == _VLAN and len(value) == 2 and (not mask or (value, mask) in VLAN_TCI.values()):
        number = int.from_bytes(value)
        tci = next((text for text, bits in VLAN_TCI.items() if bits == (value, mask or None)), UNTAGGED)
        return ("dl_vlan", str(number & 0xFFF)) if number & VLAN_PRESENT and tci == UNTAGGED else ("vlan_tci", tci)
    words = _VALUE_TEXTS.get(FIELDS[name][3]) if name else None
    strange = name == "nw_frag" and (bool(mask) or not value or value[0] not in FRAGMENTS.values())
    if name is None or words is None or half != FIELDS[name][2] or strange:
        return f"oxm_{class_:#06x}_{field >> 1}", f"0x{value.hex()}" + (f"/0x{mask.hex()}" if mask else "")
    return name, words(name, value, mask)


def _ct_text(name: str, value: bytes, mask: bytes) -> str:
    bits, cared = int.from_bytes(value), int.from_bytes(mask or b"\xff\xff\xff\xff")
    return "".join(f"{'+' if bits & bit else '-'}{word}" for word, bit in CT_BITS.items() if cared & bit)


def _ip_text(name: str, value: bytes, mask: bytes) -> str:
    address = str(IPv4Address(value))
    if not mask:
        return address
    inverse = int.from_bytes(mask) ^ 0xFFFFFFFF
    if inverse & (inverse + 1):
        return f"{address}/{IPv4Address(mask)}"
    return f"{address}/{32 - inverse.bit_length()}"


def _ip6_text(name: str, value: bytes, mask: bytes) -> str:
    address = str(IPv6Address(value))
    if not mask:
        return address
    inverse = int.from_bytes(mask) ^ ((1 << 128) - 1)
    if inverse & (inverse + 1):
        return f"{address}/{IPv6Address(mask)}"
    return f"{address}/{128 - inverse.bit_length()}"


def _mac_text(name: str, value: bytes, mask: bytes) -> str:
    return value.hex(":") + (f"/{mask.hex(':')}" if mask else "")


def _int_text(name: str, value: bytes, mask: bytes) -> str:
    number = int.from_bytes(value)
    if name == "dl_type":
        return f"0x{number:04x}"
    if name == "in_port" and number in _PORT_NAMES:
        return _PORT_NAMES[number]
    if mask and name in _TRANSPORT_FIELDS:  # ovs-ofctl prints their zero as 0x0
        return f"{number:#x}/{int.from_bytes(mask):#x}"
    text = format_value(number) if name in _HEX or mask else str(number)
    return f"{text}/{format_value(int.from_bytes(mask))}" if mask else text


def _frag_text(name: str, value: bytes, mask: bytes) -> str:
    return next(word for word, number in FRAGMENTS.items() if number == value[0])


_VALUE_TEXTS: dict[str, Callable[[str, bytes, bytes], str]] = {
    "ct": _ct_text, "ip": _ip_text, "ip6": _ip6_text, "mac": _mac_text, "int": _int_text, "frag": _frag_text,
}  # fmt: skip


def _oxm_fields(match: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 4 <= len(match) and match[at : at + 4] != b"\0\0\0\0":
        end = at + 4 + match[at + 3]
        yield match[at : at + 4], match[at + 4 : end]
        at = end


def _sized(body: bytes, smallest: int) -> Iterator[tuple[int, bytes]]:
    """(type, rest) of each length-prefixed item; stops at one that is cut short."""
    at = 0
    while at + smallest <= len(body):
        type_, length = struct.unpack_from("!HH", body, at)
        if length < smallest or at + length > len(body):
            return
        yield type_, body[at + 4 : at + length]
        at += length
