"""The instant that a trace is asked as of: how it is written, and how far back flows are kept."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext

from portal.topology.models import FlowCheckpoint

SHOWN_CHARS = 40


def read_instant(text: str) -> tuple[datetime | None, str]:
    """(instant, problem) of what was typed: nothing is now; without an offset it is of the time zone that the page shows, UTC in the API."""
    given = text.strip()
    if not given or given == "now":
        return None, ""
    try:
        found = parse_datetime(given)
    except (ValueError, OverflowError):
        found = None
    if found is None:
        example = timezone.localtime().strftime("%Y-%m-%d %H:%M")
        return None, gettext("%(given)s was given; a time such as %(example)s is allowed, or nothing for now") % {
            "given": f"{given[:SHOWN_CHARS]!r}",
            "example": example,
        }
    return (found if timezone.is_aware(found) else timezone.make_aware(found)), ""


def instant_problem(at: datetime) -> str:
    """Why nothing can be told of that instant; "" where something is kept of it."""
    if at > timezone.now():
        return gettext("%(at)s is yet to come: a time that is over is allowed") % {"at": _told(at)}
    oldest = FlowCheckpoint.objects.order_by("at").values_list("at", flat=True).first()
    if oldest is None:
        return gettext("no flows are recorded yet: that begins when the controller has read a host's")
    if at < oldest:
        return gettext("%(at)s is longer ago than flows are kept: the oldest are of %(oldest)s") % {
            "at": _told(at),
            "oldest": _told(oldest),
        }
    return ""


def _told(at: datetime) -> str:
    """The instant in the time zone that is shown, which is named."""
    try:
        return f"{timezone.localtime(at):%Y-%m-%d %H:%M:%S} {timezone.get_current_timezone()}"
    except OverflowError:  # the calendar's first and last day are not told in each zone
        return f"{at:%Y-%m-%d %H:%M:%S %Z}"
