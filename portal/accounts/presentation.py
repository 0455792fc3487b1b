"""Audit rows as people read them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext

from portal.accounts.audit import words_of
from portal.accounts.audit_words import field_words, value_words
from portal.accounts.models import AuditRow

NAMED_BY_US = {"invitation", "session"}  # by its role; by where from, or "somewhere"
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
            row.at, row.actor, words_of(row.action), name_of(row), LINKED.get(row.object_type, ""), row.object_id,
            change_words(row.before, row.after), source_of(row), tint_of(row.actor),
            row.reason,
        )
        for row in rows
    ]  # fmt: skip


def name_of(row: AuditRow) -> str:
    """What the act was done to: a name, or a word of ours, in the page's language, where the object has no name."""
    return gettext(row.object_name) if row.object_type in NAMED_BY_US and row.object_name else row.object_name


def source_of(row: AuditRow) -> str:
    """From where, and in which request; a log-in's own sentence ends with the address already."""
    is_told = row.action.startswith("session.") and row.address == row.object_name
    address = "" if is_told else row.address
    return f"{address} {row.request_id}".strip()


def change_words(before: dict[str, Any] | None, after: dict[str, Any] | None) -> str:
    """`role member → owner`; values that did not change are left out."""
    old, new = before or {}, after or {}
    told = []
    for name in sorted({*old, *new}):
        if old.get(name) == new.get(name):
            continue
        told.append(f"{field_words(name)} {_sides(name, old, new)}")
    return ", ".join(told)


def _sides(name: str, old: dict[str, Any], new: dict[str, Any]) -> str:
    """`member → owner`; of two lists that share something, what was taken out and what came: `− vms 12 + note 4`."""
    before, after = old.get(name), new.get(name)
    if isinstance(before, list) and isinstance(after, list) and any(one in after for one in before):
        signed = [("−", one) for one in _less(before, after)] + [("+", one) for one in _less(after, before)]
        words = [f"{sign} {value_words(name, one)}" for sign, one in signed]
        return " ".join(words) if words else gettext("in another order")
    return " → ".join(value_words(name, side[name]) for side in (old, new) if name in side)


def _less(rows: list[Any], others: list[Any]) -> list[Any]:
    """The rows without as many of the others as there are."""
    left = list(rows)
    for one in others:
        if one in left:
            left.remove(one)
    return left


def tint_of(name: str) -> str:
    """A person's colour: the same on every page."""
    return ("", "avatar--b", "avatar--c", "avatar--s")[sum(name.encode()) % 4]
