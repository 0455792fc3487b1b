"""Hosts' topology history as its page and the API tell it: changes with their cause, and what is other between two instants."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext

from portal.config.told import told
from portal.config.units import with_units
from portal.hosts.models import Host
from portal.topology.flow_instants import JUST_BEFORE, InstantProblem, instant_given
from portal.topology.models import HostSeen, TopologyChange
from portal.topology.topology_objects import ObjectChange, diff_objects
from portal.topology.topology_rows import GAP, changes_after, objects_at
from portal.topology.topology_scope import ALL, Scope

MOST_LINES = 2_000
NOT_KEPT = (TopologyChange(),)  # what happened to an object that differs and of which no change is kept: nobody's
NO_WORDS = ("iface_id", "vm_id")  # told as the guest's name
SPOKEN = ("kind", "link", "state", "controller")  # fields whose values are words, and no names
CALLED = {
    "speed_bps": "speed",
    "fail_mode": "fail mode",
    "bond_mode": "bond mode",
    "remote_ip": "remote",
    "local_ip": "local",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """Which changes: of one host, of what one operation did, of one VM, with these words in them, until an instant."""

    host: str = ""
    operation: str = ""
    vm: str = ""
    q: str = ""
    until: str = ""


@dataclass(frozen=True, slots=True)
class HostDiff:
    """What is other on one host at the second instant, with the last change of each object between. `gaps` are the times
    between in which nobody could tell; `unknown` says why nothing can be said."""

    host: str
    changes: tuple[ObjectChange, ...]
    last: Mapping[str, TopologyChange]
    gaps: tuple[TopologyChange, ...]
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class TopologyDiff:
    since: datetime
    until: datetime
    hosts: tuple[HostDiff, ...]

    def count(self, sign: str) -> int:
        """How many objects have the sign: + came, - went, ~ changed."""
        return sum(change.sign == sign for host in self.hosts for change in host.changes)


def hosts_seen(host: str = "") -> QuerySet[HostSeen]:
    """What is kept of each host, or of the one. Raises InstantProblem for a host that is none."""
    rows = HostSeen.objects.filter(known_from__isnull=False).select_related("host").order_by("host__name")
    errors: dict[str, list[str]] = {}
    rows = rows.filter(host__name=_host(host, errors)) if host else rows
    if errors:
        raise InstantProblem(errors)
    return rows


def _host(name: str, errors: dict[str, list[str]]) -> str:
    if "\0" in name or not Host.objects.filter(name=name).exists():
        names = ", ".join(Host.objects.order_by("name").values_list("name", flat=True)[:20])
        errors["host"] = [
            gettext("“%(name)s” was given; there is %(names)s")
            % {"name": name[:40], "names": names or gettext("no host")}
        ]
        return ""
    return name


def changes_asked(asked: Asked) -> QuerySet[TopologyChange]:
    """The changes, to be ordered by who shows them. Raises InstantProblem with all that is wrong."""
    errors: dict[str, list[str]] = {}
    rows = TopologyChange.objects.select_related("seen__host")
    if asked.host:
        rows = rows.filter(seen__host__name=_host(asked.host, errors))
    for field, text in (("operation", asked.operation), ("vm", asked.vm)):
        if text:
            uuid = _uuid(text)
            if uuid is None:
                errors[field] = [gettext("“%(text)s” was given; a UUID is allowed") % {"text": text[:40]}]
            rows = rows.filter(**{field: uuid})
    if asked.q:
        words = asked.q.replace("\0", "")
        rows = rows.filter(Q(object__icontains=words) | Q(guest__icontains=words) | Q(cause__icontains=words))
    if asked.until:
        rows = rows.filter(at__lte=instant_given("until", asked.until, errors))
    if errors:
        raise InstantProblem(errors)
    return rows


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def topology_diff(host: str, since: str, until: str, scope: Scope = ALL) -> TopologyDiff:
    """What is other at the second instant ("": the oldest that is kept, and now), on one host or ("") all, of what is in
    the scope. Raises InstantProblem with all that is wrong."""
    rows = list(hosts_seen(host))
    errors: dict[str, list[str]] = {}
    oldest = min((row.known_from for row in rows if row.known_from), default=None)
    now = timezone.now().isoformat()
    given = (("from", since or (oldest.isoformat() if oldest else now)), ("to", until or now))
    first, last = sorted(instant_given(name, text, errors) for name, text in given)
    found = tuple(_diffs(rows, (first, last), scope, is_oldest=not since)) if not errors else ()
    if not errors and all(one.unknown for one in found):
        errors["from"] = [found[0].unknown if found else gettext("nothing is kept yet")]
    if errors:
        raise InstantProblem(errors)
    return TopologyDiff(first, last, found)


def _diffs(rows: Sequence[HostSeen], instants: tuple[datetime, datetime], scope: Scope, is_oldest: bool) -> Iterator[HostDiff]:  # fmt: skip
    """`is_oldest`: no first instant was given, so each host begins at its own."""
    first, last = instants
    later = changes_after(rows, first)
    gaps: dict[int, list[TopologyChange]] = defaultdict(list)
    for gap in TopologyChange.objects.filter(seen__in=rows, kind=GAP, at__lt=last, until__gt=first).order_by("id"):
        gaps[gap.seen_id].append(gap)
    for seen in rows:
        name, changes = seen.host.name, later.get(seen.pk, [])
        begin = max(first, seen.known_from) if is_oldest and seen.known_from else first
        before, after = objects_at(seen, begin, changes), objects_at(seen, last, changes)
        if before is None or after is None:
            oldest = seen.known_from.isoformat() if seen.known_from else "none"
            unknown = gettext("what was on %(name)s at that instant is not kept: the oldest kept is %(oldest)s") % {
                "name": name,
                "oldest": oldest,
            }
            yield HostDiff(name, (), {}, (), unknown)
            continue
        between: dict[str, list[TopologyChange]] = defaultdict(list)
        for row in reversed(changes):
            if row.at <= last:
                between[row.object].append(row)
        found = tuple(one for one in diff_objects(before, after) if scope.is_told(between.get(one.name, NOT_KEPT)))
        yield HostDiff(name, found, {one: happened[-1] for one, happened in between.items()}, tuple(gaps[seen.pk]))


def change_words(change: ObjectChange, guest: str = "") -> str:
    """The fields in words: what came or went as it was, what stays as before → after."""
    before, after = change.before or {}, change.after or {}
    names = [name for name in {**before, **after} if name not in NO_WORDS]
    if change.sign == "~":
        words = [
            f"{_called(name)} {_value(name, before.get(name))} → {_value(name, after.get(name))}" for name in names
        ]
    else:
        there = after or before
        words = [
            _value(name, there[name]) if name == "kind" else f"{_called(name)} {_value(name, there[name])}"
            for name in names
        ]
    return ", ".join([*words, told(f"for {guest}")] if guest else words)


def row_words(row: TopologyChange) -> str:
    """A row's change in words."""
    return change_words(ObjectChange(row.object, row.before, row.after), row.guest)


def _called(name: str) -> str:
    return gettext(CALLED.get(name, name))


def _value(name: str, value: object) -> str:
    if isinstance(value, list):
        return "[" + " ".join(map(str, value)) + "]"
    if name == "speed_bps" and isinstance(value, int):
        return with_units(f"{value // 10**6} Mbit/s")
    if value is None:
        return gettext("none")
    return gettext(str(value)) if name in SPOKEN and value else str(value)


def change_json(row: TopologyChange) -> dict[str, Any]:
    """One change, or gap, for the API."""
    sign = "" if row.kind == GAP else ObjectChange(row.object, row.before, row.after).sign
    return {
        "host": row.seen.host.name, "at": row.at, "until": row.until, "kind": row.kind, "why": row.why,
        "generation": row.generation, "object": row.object, "sign": sign, "before": row.before, "after": row.after,
        "by": row.by if sign else "", "cause": row.cause, "operation": row.operation, "vm": row.vm, "guest": row.guest,
    }  # fmt: skip


def seen_json(seen: HostSeen) -> dict[str, Any]:
    """What is known of a host's history."""
    return {"host": seen.host.name, "known_from": seen.known_from, "seen_at": seen.switch_seen_at, "away": seen.away}


def diff_json(diff: TopologyDiff) -> dict[str, Any]:
    """What the API, the page and the text give."""
    lines = [
        {
            "host": host.host, "sign": one.sign, "object": one.name, "before": one.before, "after": one.after,
            **_why(host.last.get(one.name), one),
        }
        for host in diff.hosts for one in host.changes
    ]  # fmt: skip
    gaps = [
        {"host": host.host, "at": gap.at, "until": gap.until, "why": gap.why}
        for host in diff.hosts
        for gap in host.gaps
    ]
    return {
        "from": diff.since.isoformat(), "to": diff.until.isoformat(),
        "added": diff.count("+"), "removed": diff.count("-"), "changed": diff.count("~"),
        "gaps": gaps, "unknown": [host.unknown for host in diff.hosts if host.unknown],
        "lines": lines[:MOST_LINES], "more": max(len(lines) - MOST_LINES, 0),
    }  # fmt: skip


def _why(last: TopologyChange | None, change: ObjectChange) -> dict[str, Any]:
    words = change_words(change, last.guest if last else "")
    text = f"{change.sign} {change.name}: {words}" if words else f"{change.sign} {change.name}"
    if last is None:
        return {"words": words, "text": text, "by": "", "cause": "", "operation": None}
    return {"words": words, "text": text, "by": last.by, "cause": last.cause, "operation": last.operation}


def instants(rows: Sequence[TopologyChange]) -> list[dict[str, Any]]:
    """Rows of one page, newest first, as the page shows them: those of one host and time together."""
    found: list[dict[str, Any]] = []
    for row in rows:
        together = found and row.kind != GAP and (found[-1]["seen"], found[-1]["change"].at) == (row.seen_id, row.at)
        if not together:
            times = {"before": (row.at - JUST_BEFORE).isoformat(), "at": row.at.isoformat()}
            found.append({"seen": row.seen_id if row.kind != GAP else None, "change": row, "lines": [], **times})
        sign = ObjectChange(row.object, row.before, row.after).sign
        found[-1]["lines"].append({"row": row, "sign": sign, "words": row_words(row)})
    return found
