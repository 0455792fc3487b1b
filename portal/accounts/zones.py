"""The time zones that somebody may choose, and which one a request is shown in."""

from __future__ import annotations

from functools import cache
from zoneinfo import available_timezones

from django.http import HttpRequest

from portal.accounts.models import User

COOKIE = "time_zone"  # the browser's own zone; frontend/src/core/zone.ts sets it
UTC = "UTC"
NOT_PLACES = ("Etc/", "SystemV/", "posix/", "right/")


@cache
def zone_names() -> frozenset[str]:
    """UTC and the names by place (`Europe/Berlin`) of this machine's tz database."""
    return frozenset(
        {UTC, *(name for name in available_timezones() if "/" in name and not name.startswith(NOT_PLACES))}
    )


def zone_of(request: HttpRequest) -> str:
    """What the person chose, else what the browser told by a cookie, else UTC."""
    user = request.user
    chosen = user.time_zone if isinstance(user, User) else ""
    return next((name for name in (chosen, request.COOKIES.get(COOKIE, "")) if name in zone_names()), UTC)
