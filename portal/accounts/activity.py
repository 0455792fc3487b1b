"""What is asked of the activity, a team's or that of no team: by whom, in which area, of which object, and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from portal.accounts.models import AuditRow, Team

SHOWN_CHARS = 40
DAY_CHARS = len("2026-11-26")


class ActivityProblem(Exception):
    """Something asked for cannot be: field → sentences."""

    def __init__(self, errors: dict[str, list[str]]) -> None:
        super().__init__(str(errors))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Area:
    """What acts that belong to no team are about; an act is of the area whose word its name begins with."""

    name: str
    title: str
    words: tuple[str, ...]


AREAS: tuple[Area, ...] = (
    Area("hosts", _("Hosts and their switches"), ("host", "flow", "flows")),
    Area("storage", _("Storage pools and backup stores"), ("pool", "backup_store", "store", "backup")),
    Area("images", _("Images"), ("image",)),
    Area("networks", _("External and provider networks"), ("external", "provider", "network")),
    Area("bundles", _("Support bundles"), ("bundle",)),
    Area("people", _("Log-ins and people"), ("session", "factor", "identity", "password", "person", "key", "token", "device", "operator")),
    Area("settings", _("Settings and prices"), ("policy", "price", "team")),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ActivityAsked:
    """Nothing asks for everything. `since` and `until` are ISO times, or days: until one of them is to its end."""

    who: str = ""
    area: str = ""
    object_id: str = ""
    since: str = ""
    until: str = ""

    def unplain(self) -> list[str]:
        """The fields with what no database holds: PostgreSQL takes no NUL, and no lone surrogate is UTF-8."""
        wrong = {
            name for name in self.__slots__ for one in getattr(self, name) if one == "\0" or "\ud800" <= one <= "\udfff"
        }
        return sorted(wrong)


def activity_of(team: Team | None, asked: ActivityAsked) -> QuerySet[AuditRow]:
    """The rows of a team, or those of no team, newest first. Raises ActivityProblem with every wrong field."""
    rows = AuditRow.objects.filter(team_id=team.pk if team is not None else None)
    errors = {name: [gettext("a NUL or a lone surrogate was given; plain text is allowed")] for name in asked.unplain()}
    if errors:
        raise ActivityProblem(errors)
    if asked.who:
        rows = rows.filter(actor__iexact=asked.who)
    if asked.object_id:
        rows = rows.filter(object_id=_canonical(asked.object_id))
    if asked.area:
        rows = rows.filter(_in_area(asked.area, errors))
    if (since := _instant("since", asked.since, errors)) is not None:
        rows = rows.filter(at__gte=since)
    if (until := _instant("until", asked.until, errors)) is not None:
        rows = rows.filter(at__lt=until)
    if errors:
        raise ActivityProblem(errors)
    return rows


def asked_by(given: Mapping[str, str]) -> ActivityAsked:
    """What a page's address asks for."""
    text = {name: given.get(name, "").strip()[:SHOWN_CHARS] for name in ("who", "area", "object", "since", "until")}
    return ActivityAsked(text["who"], text["area"], text["object"], text["since"], text["until"])


def _in_area(name: str, errors: dict[str, list[str]]) -> Q:
    area = next((area for area in AREAS if area.name == name), None)
    if area is None:
        allowed = ", ".join(area.name for area in AREAS)
        words = gettext("“%(given)s” was given; %(allowed)s are allowed")
        errors["area"] = [words % {"given": name[:SHOWN_CHARS], "allowed": allowed}]
        return Q()
    of = Q()
    for word in area.words:
        of |= Q(action__startswith=f"{word}.")
    return of


def _instant(name: str, text: str, errors: dict[str, list[str]]) -> datetime | None:
    """The instant that was typed, in the zone that the page shows where it names none; None for "" and for what is none."""
    if not text:
        return None
    try:
        found = parse_datetime(text)
        if found is not None:
            found = found if timezone.is_aware(found) else timezone.make_aware(found)
            found = found.astimezone(UTC) + timedelta(days=name == "until" and len(text) == DAY_CHARS)
    except (ValueError, OverflowError):
        found = None
    if found is None:
        words = gettext("“%(given)s” was given; a day or an ISO time is allowed, as %(example)s")
        errors[name] = [words % {"given": text[:SHOWN_CHARS], "example": timezone.localtime().date()}]
    return found


def _canonical(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        return text
