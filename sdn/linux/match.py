"""Does a statement of a rule match a frame? True, False, or None: it cannot be told. Total over any JSON."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any

from sdn.linux.frame import FLAG_KINDS, UNICAST, Frame, Key, Value, canon, ct_key, meta_key, payload_key
from sdn.linux.ruleset import ChainKey, Ruleset

Maybe = bool | None
_ORDERS: dict[str, Callable[[int, int], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
GROUPS = (1, 2)  # pkttype's broadcast and multicast
DEEPEST = 8  # of sets in sets: nft nests two


def is_match(value: object, frame: Frame, chain: ChainKey, ruleset: Ruleset) -> Maybe:
    """A `match` statement."""
    if not isinstance(value, dict):
        return None
    left, right, op = value.get("left"), value.get("right"), value.get("op", "==")
    keys = keys_of(left, frame, chain)
    if keys is None:
        return None
    if any(key.is_there is False for key in keys):
        return False  # the header is not there: nft's own test for it comes first
    found = _compare(op, keys, right, chain, ruleset)
    return None if found and any(key.is_there is None for key in keys) else found


def keys_of(left: object, frame: Frame, chain: ChainKey) -> tuple[Key, ...] | None:
    """What the left side looks at, several for a concatenation; None where that is nothing that is known here."""
    if not isinstance(left, dict) or len(left) != 1:
        return None
    kind, told = next(iter(left.items()))
    if kind == "concat" and isinstance(told, list):
        parts = [keys_of(one, frame, chain) for one in told if not (isinstance(one, dict) and "concat" in one)]
        if len(parts) != len(told) or not parts or any(part is None or len(part) != 1 for part in parts):
            return None
        return tuple(part[0] for part in parts if part)
    if kind == "&" and isinstance(told, list) and len(told) == 2:
        return _masked(told, frame, chain)
    if not isinstance(told, dict):
        return None
    is_bridge = chain[0] in ("bridge", "netdev")
    if kind == "payload" and "protocol" in told:
        return (payload_key(frame, str(told["protocol"]), str(told.get("field", ""))),)
    if kind == "meta":
        return (meta_key(frame, str(told.get("key", "")), is_bridge),)
    return (ct_key(frame, str(told.get("key", ""))),) if kind == "ct" else None


def _masked(told: list[Any], frame: Frame, chain: ChainKey) -> tuple[Key, ...] | None:
    if isinstance(told[0], dict) and "&" in told[0]:
        return None
    keys, mask = keys_of(told[0], frame, chain), None
    if keys is None or len(keys) != 1:
        return None
    mask = _flags(keys[0].kind, told[1])
    value = keys[0].value
    known = value & mask if isinstance(value, int) and mask is not None else None
    return (Key(keys[0].kind, known, keys[0].is_there),)


def _flags(kind: str, value: object) -> int | None:
    """An operand of bits: a word, a number, or a list of them."""
    parts = [canon(kind, one) for one in (value if isinstance(value, list) else [value])]
    found = 0
    for part in parts:
        if not isinstance(part, int):
            return None
        found |= part
    return found


def _compare(op: object, keys: tuple[Key, ...], right: object, chain: ChainKey, ruleset: Ruleset) -> Maybe:
    if len(keys) > 1:
        found = any_of(_is_tuple(keys, one) for one in elements_of(right, chain, ruleset) or (None,))
        return found if op in ("==", "in") else _not(found) if op == "!=" else None
    key = keys[0]
    if key.value is None:
        return None
    if key.kind == "pkttype" and key.value == UNICAST:
        found = False if canon(key.kind, right) in GROUPS else None
        return found if op == "==" else _not(found) if op == "!=" else None
    if op == "in" and key.kind in FLAG_KINDS:
        mask = _flags(key.kind, right)
        return None if mask is None or not isinstance(key.value, int) else bool(key.value & mask)
    if op in ("==", "in"):
        return is_in(key.kind, key.value, right, chain, ruleset)
    if op == "!=":
        is_none = (
            key.kind == "name" and not key.value
        )  # a hook without such a device: kernels differ in what that is unequal to
        return None if is_none else _not(is_in(key.kind, key.value, right, chain, ruleset))
    order, other = _ORDERS.get(str(op)), canon(key.kind, right)
    if order is None or not isinstance(key.value, int) or not isinstance(other, int):
        return None
    return order(key.value, other)


def elements_of(right: object, chain: ChainKey, ruleset: Ruleset) -> tuple[Any, ...] | None:
    """The members of a set, named or not; None where it is none that is known."""
    if isinstance(right, str) and right.startswith("@"):
        return ruleset.sets.get((chain[0], chain[1], right[1:]))
    if isinstance(right, dict) and isinstance(right.get("set"), list):
        return tuple(right["set"])
    return (right,) if isinstance(right, dict) and "concat" in right else None


def is_in(kind: str, value: Value, right: object, chain: ChainKey, ruleset: Ruleset, depth: int = 0) -> Maybe:
    """Is the value the operand, or in it?"""
    if depth > DEEPEST:
        return None
    if (isinstance(right, str) and right.startswith("@")) or (isinstance(right, dict) and "set" in right):
        members = elements_of(right, chain, ruleset)
        if members is None:
            return None
        return any_of(is_in(kind, value, one, chain, ruleset, depth + 1) for one in members)
    if isinstance(right, list):
        mask = _flags(kind, right) if kind in FLAG_KINDS else None
        return None if mask is None else value == mask
    if isinstance(right, dict):
        return _is_in_block(kind, value, right, chain, ruleset, depth)
    if kind == "name" and isinstance(right, str) and right.endswith("*"):
        return str(value).startswith(right[:-1])
    other = canon(kind, right)
    return None if other is None or type(other) is not type(value) else other == value


def _is_in_block(kind: str, value: Value, right: dict[str, Any], chain: ChainKey, ruleset: Ruleset, depth: int) -> Maybe:  # fmt: skip
    if "elem" in right and isinstance(right["elem"], dict):
        return is_in(kind, value, right["elem"].get("val"), chain, ruleset, depth + 1)
    ends = right.get("range")
    if isinstance(ends, list) and len(ends) == 2:
        low, high = (canon(kind, end) for end in ends)
        if not (isinstance(low, int) and isinstance(high, int) and isinstance(value, int)):
            return None
        return low <= value <= high
    block = right.get("prefix")
    if isinstance(block, dict) and isinstance(value, int):
        return _is_in_prefix(kind, value, block)
    return None


def _is_in_prefix(kind: str, value: int, block: dict[str, Any]) -> Maybe:
    address, length = canon(kind, block.get("addr")), block.get("len")
    bits = 48 if kind == "mac" else 128 if ":" in str(block.get("addr")) else 32
    if kind not in ("ip", "mac") or not isinstance(address, int) or not isinstance(length, int) or not 0 <= length <= bits:  # fmt: skip
        return None
    return value >> (bits - length) == address >> (bits - length)


def _is_tuple(keys: tuple[Key, ...], element: object) -> Maybe:
    """Is every part of a concatenation the frame's? Its parts are values, ranges or prefixes."""
    if isinstance(element, dict) and isinstance(element.get("elem"), dict):
        element = element["elem"].get("val")
    parts = element.get("concat") if isinstance(element, dict) else None
    if not isinstance(parts, list) or len(parts) != len(keys):
        return None
    found: Maybe = True
    for key, part in zip(keys, parts, strict=True):
        one = None if key.value is None else is_in(key.kind, key.value, part, ("", "", ""), Ruleset())
        if one is False:
            return False
        found = found and one
    return found


def any_of(found: Iterable[Maybe]) -> Maybe:
    """True when one is, None when one may be."""
    maybe: Maybe = False
    for one in found:
        if one:
            return True
        maybe = None if one is None else maybe
    return maybe


def _not(found: Maybe) -> Maybe:
    return None if found is None else not found
