"""What each check's last answer was decided by, so that a change asks only those again that it may touch (sdn/reach/touched.py).

It is this worker's own: of a check that it never asked, or that another one has told of since, it knows nothing, and asks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from portal.checks.models import PathCheck
from sdn.model.trace import Trace
from sdn.reach import Asked, Changes, Footprint, SwitchState
from sdn.trace import Question

States = Mapping[str, SwitchState]


@dataclass(frozen=True, slots=True)
class Known:
    """An answer, what decided it, the switches over which it holds, and when it was last seen to."""

    verdict: str
    reason: str
    asked: Asked
    footprint: Footprint
    states: States
    at: datetime


class CheckMemory:
    """Only for who holds the desk."""

    def __init__(self) -> None:
        self._known: dict[int, Known] = {}

    def keep(self, check: PathCheck, question: Question, trace: Trace, footprint: Footprint, states: States, now: datetime) -> None:  # fmt: skip
        """The check was asked now."""
        asked = Asked.of(question, footprint)
        self._known[check.pk] = Known(trace.verdict, trace.reason, asked, footprint, states, now)

    def seen_at(self, check: PathCheck) -> datetime | None:
        """When the check's answer was last known to hold."""
        known = self._known.get(check.pk)
        return known.at if known and known.verdict == check.verdict else check.checked_at

    def standing(self, checks: Collection[tuple[PathCheck, Question]], states: States, now: datetime) -> set[int]:
        """The checks whose answers still hold over the switches as they are now: nothing that decided them is another."""
        changes: dict[int, Changes] = {}
        stand: set[int] = set()
        for check, question in checks:
            known = self._known.get(check.pk)
            if known is None or (known.verdict, known.reason) != (check.verdict, check.reason):
                continue
            before = id(known.states)
            if before not in changes:
                changes[before] = Changes(known.states, states)
            if Asked.of(question, known.footprint) == known.asked and not changes[before].touch(known.footprint):
                stand.add(check.pk)
        for pk in stand:
            self._known[pk] = replace(self._known[pk], states=states, at=now)
        return stand

    def forget_others(self, pks: Collection[int]) -> None:
        """Checks that are gone hold no old flows."""
        self._known = {pk: known for pk, known in self._known.items() if pk in pks}
