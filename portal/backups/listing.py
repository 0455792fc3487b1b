"""Backups as pages and API show them: each with what it lies on, and why it cannot be restored or deleted now."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from portal.accounts.models import Team
from portal.backups.chain import chain_of, with_those_on
from portal.backups.models import Backup, BackupStore, BackupVolume
from portal.backups.requests import busy_backups, delete_refusal, kept_of
from portal.backups.restores import restore_refusal


@dataclass(frozen=True, slots=True)
class Line:
    """One backup of a list. `chain` is its number of links, `doomed` how many are deleted with it."""

    backup: Backup
    chain: int
    doomed: int
    no_restore: str
    no_delete: str


def backups_of(team: Team) -> QuerySet[Backup]:
    """The team's backups, newest last."""
    rows = Backup.objects.filter(team=team).order_by("id")
    rows = rows.select_related("store", "parent", "created_by", "vm", "team").prefetch_related("volumes")
    return rows.defer("manifest", "vm__user_data")


def lines_of(team: Team, rows: Iterable[Backup]) -> list[Line]:
    """A line for each; `rows` are all of their VMs'."""
    by_vm: dict[Any, list[Backup]] = {}
    for row in rows:
        by_vm.setdefault(row.vm_uuid, []).append(row)
    busy = busy_backups(team) if by_vm else {}
    return [line for group in by_vm.values() for line in _lines(group, busy)]


def _lines(group: list[Backup], busy: dict[str, str]) -> list[Line]:
    by_id, kept = {one.pk: one for one in group}, kept_of(group)
    lines = []
    for row in group:
        links = [by_id[one.id] for one in chain_of(kept, row.pk)]
        doomed = [by_id[pk] for pk in with_those_on(kept, row.pk)]
        lines.append(
            Line(row, len(links), len(doomed), restore_refusal(row, links, busy), delete_refusal(row, doomed, busy))
        )
    return lines


def line_as_json(line: Line) -> dict[str, Any]:
    """The whole backup, without its VM's user-data."""
    row = line.backup
    return {
        "uuid": str(row.uuid),
        "vm": row.vm_name,
        "vm_uuid": str(row.vm_uuid),
        "vm_is_there": row.vm_id is not None,
        "kind": row.kind,
        "reason": row.reason,
        "state": row.state,
        "problem": row.problem,
        "parent": str(row.parent.uuid) if row.parent else None,
        "links": line.chain,
        "store": row.store.name,
        "disk_gib": row.disk_gib,
        "size_bytes": row.total_bytes,
        "sha256": row.sha256,
        "volumes": [_volume_as_json(one) for one in row.volumes.all()],
        "is_scheduled": row.is_scheduled,
        "created_at": row.created_at.isoformat(),
        "no_restore": line.no_restore,
        "no_delete": line.no_delete,
    }


def _volume_as_json(one: BackupVolume) -> dict[str, Any]:
    return {
        "name": one.name, "uuid": str(one.volume_uuid), "size_gib": one.size_gib, "kind": one.kind,
        "size_bytes": one.size_bytes, "sha256": one.sha256,
    }  # fmt: skip


def store_as_json(row: BackupStore, is_operator: bool) -> dict[str, Any]:
    """A store; where it is, and what is wrong with it, operators alone read."""
    told: dict[str, Any] = {
        "uuid": str(row.uuid),
        "name": row.name,
        "kind": row.kind,
        "is_enabled": row.is_enabled,
        "is_usable": not row.problem,
    }
    return told | {
        "place": row.place if is_operator else "",
        "problem": row.problem if is_operator else "",
        "access_key": row.access_key if is_operator else "",
        "free_bytes": row.free_bytes if is_operator else None,
        "tried": (row.tried or None) if is_operator else None,
        "strays": row.strays if is_operator else [],
        "seen_at": row.seen_at.isoformat() if row.seen_at else None,
    }
