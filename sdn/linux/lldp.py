"""Neighbours as `lldpcli -f json0 show neighbors details` tells them. What a neighbour says of itself is a stranger's word: it is
cut to size and stripped of what is no text, and junk is left out, never an exception."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

MOST_NEIGHBOURS = 200
MOST_WORDS = 16  # VLANs, and addresses, of one neighbour
LONGEST = 120


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Who is at the other end of a NIC's cable. `port` is the neighbour's name for its own end; `vlan` its untagged one (0: not
    told), `vlans` all that it names."""

    nic: str
    protocol: str
    system: str
    chassis: str
    port: str
    description: str = ""
    vlan: int = 0
    vlans: tuple[int, ...] = ()
    addresses: tuple[str, ...] = ()


def parse_neighbours(text: str) -> tuple[Neighbour, ...] | None:
    """The neighbours, by NIC; None where it is nothing that lldpcli prints."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or "lldp" not in found:
        return None
    heard = {
        neighbour
        for top in _each(found["lldp"])
        for one in _each(top.get("interface"))
        if (neighbour := _neighbour(one)) is not None
    }
    return tuple(
        sorted(heard, key=lambda one: (one.nic, one.system, one.chassis, one.port, repr(one)))[:MOST_NEIGHBOURS]
    )


def _neighbour(one: dict[str, Any]) -> Neighbour | None:
    nic = _word(one.get("name"))
    chassis, port = (next(_each(one.get(key)), {}) for key in ("chassis", "port"))
    system, chassis_id, port_id = _first(chassis, "name"), _first(chassis, "id"), _first(port, "id")
    if not nic or not (system or chassis_id):
        return None
    vlans = [(vlan, own.get("pvid") is True) for own in _each(one.get("vlan")) if (vlan := _vlan(own.get("vlan-id")))]
    description = _first(port, "descr")
    return Neighbour(
        nic, _word(one.get("via")), system, chassis_id, port_id or description, description,
        next((vlan for vlan, is_untagged in vlans if is_untagged), 0),
        tuple(sorted({vlan for vlan, _ in vlans}))[:MOST_WORDS], _addresses(chassis),
    )  # fmt: skip


def _addresses(chassis: dict[str, Any]) -> tuple[str, ...]:
    """Those that one can go to: a link-local one leads nowhere from here."""
    found: dict[str, None] = {}
    for one in _each(chassis.get("mgmt-ip")):
        with suppress(ValueError):
            address = ipaddress.ip_address(_word(one.get("value")))
            if not address.is_link_local:
                found[str(address)] = None
    return tuple(found)[:MOST_WORDS]


def _vlan(value: Any) -> int:
    word = _word(value)
    number = int(word) if word.isascii() and word.isdecimal() and len(word) <= 4 else 0
    return number if number < 4095 else 0


def _first(of: dict[str, Any], key: str) -> str:
    return next((word for one in _each(of.get(key)) if (word := _word(one.get("value")))), "")


def _each(value: Any) -> Iterator[dict[str, Any]]:
    """The objects of what is a list of them, or one, as other forms of lldpcli's JSON have it."""
    yield from (one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict))


def _word(value: Any) -> str:
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        return ""
    try:
        text = str(value)
    except ValueError:  # a number of thousands of digits
        return ""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text[: LONGEST * 2]).split())[
        :LONGEST
    ]
