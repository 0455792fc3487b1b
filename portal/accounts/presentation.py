"""Audit rows as people read them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from portal.accounts.audit import words_of
from portal.accounts.audit_words import field_words, value_words
from portal.accounts.models import AuditRow

LINKED = {"vm": "vm", "trace": "trace", "volume": "volume", "group": "security_group"}


@dataclass(frozen=True)
class Entry:
    at: datetime
    actor: str
    words: str
    name: str
    url_name: str
    object_id: str
    change: str
    source: str
    tint: str
    reason: str


def as_feed(rows: Iterable[AuditRow]) -> list[Entry]:
    """The rows as sentences, in their order."""
    return [
        Entry(
            row.at, row.actor, words_of(row.action), row.object_name, LINKED.get(row.object_type, ""), row.object_id,
            change_words(row.before, row.after), f"{row.address} {row.request_id}".strip(), tint_of(row.actor),
            row.reason,
        )
        for row in rows
    ]  # fmt: skip


def change_words(before: dict[str, Any] | None, after: dict[str, Any] | None) -> str:
    """`role member → owner`; values that did not change are left out."""
    old, new = before or {}, after or {}
    told = []
    for name in sorted({*old, *new}):
        if old.get(name) == new.get(name):
            continue
        sides = [value_words(name, side[name]) for side in (old, new) if name in side]
        told.append(f"{field_words(name)} {' → '.join(sides)}")
    return ", ".join(told)


def tint_of(name: str) -> str:
    """A person's colour: the same on every page."""
    return ("", "avatar--b", "avatar--c", "avatar--s")[sum(name.encode()) % 4]
