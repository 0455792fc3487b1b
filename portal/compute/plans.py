"""Plans: something of a VM or a volume is taken every so many hours, and the last so many are kept."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from django.db import models
from django.utils.translation import gettext

MOST_HOURS = 24 * 31
REASON_LENGTH = 300


class Plan(models.Model):
    """What snapshots' and backups' plans share. One that cannot take what is due says why, and tries again at each look."""

    every_hours = models.PositiveIntegerField()
    next_at = models.DateTimeField()
    problem = models.CharField(
        max_length=REASON_LENGTH, default="", blank=True, help_text="why one that is due is not taken"
    )

    class Meta:
        abstract = True

    def was_taken(self, now: datetime) -> None:
        """The next one is due so many hours from now."""
        rows = type(self)._default_manager.filter(pk=self.pk)
        rows.update(next_at=now + timedelta(hours=self.every_hours), problem="")

    def was_not_taken(self, reason: str) -> bool:
        """Keep why, for its page; whether it is another reason than the one that stood there."""
        told = reason[:REASON_LENGTH]
        if told == self.problem:
            return False
        type(self)._default_manager.filter(pk=self.pk).update(problem=told)
        return True


def plan_errors(every_hours: int, keep: int, most_kept: int) -> dict[str, list[str]]:
    """Field → what is wrong with it; every 0 hours is no plan."""
    errors: dict[str, list[str]] = {}
    if not 0 <= every_hours <= MOST_HOURS:
        words = gettext("%(every_hours)s was given; 0 (none) to %(most_hours)s are allowed")
        errors["every_hours"] = [words % {"every_hours": every_hours, "most_hours": MOST_HOURS}]
    if not 1 <= keep <= most_kept:
        words = gettext("%(keep)s was given; 1 to %(most)s are allowed")
        errors["keep"] = [words % {"keep": keep, "most": most_kept}]
    return errors


def plan_form(planned: Mapping[str, object], given: Mapping[str, str] | None) -> dict[str, object]:
    """What a plan's form shows: what was typed, where that was refused, else what is planned."""
    return dict(planned) if given is None else {name: given.get(name, "") for name in planned}
