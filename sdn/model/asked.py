"""What a trace was asked: an answer carries its question, so that a file of it tells by itself what it is the answer to."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Asked:
    """A trace's question. The first part is as the API takes it: sent again, it asks the same.

    A packet that was given as a flow has `bridge`, `flow` and `ct_next` instead. Names are those of when it was asked.
    """

    source: str | None = None  # a port's uuid
    outside: str = ""
    router: str = ""
    nic: str = ""  # the MAC of an adopted VM's NIC that no port stands for
    source_address: str = ""
    target: str = ""  # a port's uuid, or the address that was asked for
    protocol: str = ""
    port_dst: int = 0
    moment: str = "as_is"
    size_bytes: int = 0
    header_fields: str = ""  # nw_ttl=1,tcp_flags=fin|ack
    deliver: bool = False
    at: str = ""  # ISO 8601: as of then; "" as of now
    bridge: str = ""
    flow: str = ""
    ct_next: tuple[str, ...] = ()
    source_name: str = ""
    target_name: str = ""
    family: int = 0  # 4 or 6; 0 where nobody has decided it
    asked_at: str = ""  # ISO 8601


_NAMES = frozenset(one.name for one in fields(Asked))


def asked_from_json(value: object) -> Asked | None:
    """The question of a stored trace; None where it has none, as one of an older version."""
    if not isinstance(value, dict):
        return None
    known: dict[str, Any] = {name: item for name, item in value.items() if name in _NAMES}
    return Asked(**{**known, "ct_next": tuple(known.get("ct_next", ()))})
