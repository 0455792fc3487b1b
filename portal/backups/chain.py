"""Which kind the next backup is, and which ones may go: pure, of values.

A chain is a full backup with the incremental ones that lie on it, each on the one before. A checkpoint on the host notes
what is written since the last one; where that is lost (the VM moved, was rebuilt, went back to a snapshot, its host lost
power), the chain is at its end and the next one begins anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kept:
    """One backup that is there; `parent` 0 is a full one. Ids grow with time."""

    id: int
    parent: int
    has_checkpoint: bool = False
    host: str = ""
    store: int = 0
    is_whole: bool = True
    is_scheduled: bool = False


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for, and where the VM is now. `full_every` 0 sets no limit to a chain."""

    store: int
    host: str
    wants_full: bool = False
    full_every: int = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """An incremental backup on `parent`, or (0) a full one with the reason."""

    parent: int
    reason: str = ""


def choose(kept: Sequence[Kept], wish: Wish) -> Choice:
    """What the next backup of a VM is, after those that are kept of it."""
    if wish.wants_full:
        return Choice(0, "it was asked for")
    if not kept:
        return Choice(0, "it is the first one")
    last = max(kept, key=lambda one: one.id)
    chain = chain_of(kept, last.id)
    reasons = (
        (last.store != wish.store, "the last one is in another store"),
        (not all(one.is_whole for one in chain), "the last ones are damaged or being deleted"),
        (not last.has_checkpoint, "the host notes nothing since the last one, or the one after it was deleted"),
        (last.host != wish.host, f"the VM has moved from {last.host} since"),
        (0 < wish.full_every <= len(chain), f"the plan wants a full one every {wish.full_every}"),
    )
    words = next((words for is_so, words in reasons if is_so), "")
    return Choice(0, words) if words else Choice(last.id)


def chain_of(kept: Iterable[Kept], last: int) -> list[Kept]:
    """What a restore of that one reads: the full one first."""
    by_id = {one.id: one for one in kept}
    chain = []
    while last in by_id:
        chain.append(by_id[last])
        last = by_id[last].parent
    return chain[::-1]


def with_those_on(kept: Iterable[Kept], root: int) -> list[int]:
    """The ids of that one and of all that lie on it, in an order to delete them: none before one that lies on it."""
    below: dict[int, list[int]] = {}
    for one in kept:
        below.setdefault(one.parent, []).append(one.id)
    found, waiting = [], [root]
    while waiting:
        found.append(waiting.pop())
        waiting.extend(below.get(found[-1], ()))
    return found[::-1]


def superfluous(kept: Sequence[Kept], keep: int) -> list[int]:
    """The full ones of the plan's that may go with all that lie on them, oldest first: the last `keep` of its chains stay,
    and so does one that a person added to."""
    roots = [one for one in sorted(kept, key=lambda one: one.id) if not one.parent and one.is_scheduled]
    by_id = {one.id: one for one in kept}
    return [
        one.id
        for one in (roots[:-keep] if keep else roots)
        if all(by_id[other].is_scheduled for other in with_those_on(kept, one.id))
    ]
