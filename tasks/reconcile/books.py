"""What rows tell of uuids that were met on a host: what is there now, what an operation is at work on, and what once was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from portal.accounts.models import AuditRow
from portal.compute.models import VM
from portal.operations.models import UNFINISHED, Operation
from portal.volumes.models import Volume


@dataclass(frozen=True, slots=True)
class Books:
    """`busy` are the uuids that an unfinished operation names; `past` says what a uuid without a row was, in words."""

    vms: Mapping[UUID, VM]
    volumes: Mapping[UUID, Volume]
    busy: frozenset[UUID]
    past: Mapping[UUID, str]


def read_books(uuids: Iterable[UUID]) -> Books:
    """What the rows tell of these."""
    asked = list(dict.fromkeys(uuids))
    rows = VM.objects.filter(uuid__in=asked).select_related("host", "team").prefetch_related("snapshots")
    vms = {vm.uuid: vm for vm in rows}
    of_volumes = Volume.objects.filter(uuid__in=asked).select_related("team", "pool__host").prefetch_related("moments")
    volumes = {volume.uuid: volume for volume in of_volumes}
    gone = [uuid for uuid in asked if uuid not in vms and uuid not in volumes]
    return Books(vms, volumes, _busy(), _past(gone))


def _busy() -> frozenset[UUID]:
    named: set[UUID] = set()
    for uuid, params in Operation.objects.filter(state__in=UNFINISHED).values_list("object_uuid", "params"):
        named.update((uuid, *_uuids_in(params)))
    return frozenset(named)


def _uuids_in(value: Any) -> Iterator[UUID]:
    """Every uuid that an operation's parameters name, however deep."""
    if isinstance(value, dict):
        for one in value.values():
            yield from _uuids_in(one)
    elif isinstance(value, list):
        for one in value:
            yield from _uuids_in(one)
    elif isinstance(value, str) and len(value) == 36:
        try:
            yield UUID(value)
        except ValueError:
            return


def _past(uuids: list[UUID]) -> dict[UUID, str]:
    """The audit is never shortened, so it is asked first; a volume that was made for a VM is in that operation alone."""
    texts = [str(uuid) for uuid in uuids]
    found: dict[UUID, str] = {}
    audited = AuditRow.objects.filter(object_id__in=texts).order_by("id")
    for text, kind, name in audited.values_list("object_id", "object_type", "object_name"):
        found[UUID(text)] = f"{kind_words(kind)} {name}"
    rows = Operation.objects.filter(object_uuid__in=uuids).select_related("team").order_by("id")
    for row in rows:
        found[row.object_uuid] = f"{kind_words(row.object_type)} {row.object_name}{_whose(row)}"
    for row in Operation.objects.filter(params__volume__in=texts).select_related("team").order_by("id"):
        uuid = UUID(row.params["volume"])
        named = row.object_name if row.object_type == "volume" else f"of VM {row.object_name}"
        found[uuid] = f"volume {row.params.get('name', '') or named}{_whose(row)}"
    return found


def kind_words(object_type: str) -> str:
    """An operation's kind of object, as people say it."""
    return "VM" if object_type == "vm" else object_type


def _whose(row: Operation) -> str:
    return f" of team {row.team.name}" if row.team else ""
