"""Snapshots' operations asked for again, with the values that they were asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from django.utils.translation import gettext

from portal.accounts.models import User
from portal.compute.models import VM
from portal.compute.requests import VMProblem
from portal.operations.models import Operation
from portal.snapshots.models import Snapshot
from portal.snapshots.requests import SnapshotSpec, delete_snapshot, revert_to, take_snapshot


def _take(operation: Operation, user: User) -> Operation:
    vm = VM.objects.select_related("team").filter(team=operation.team, uuid=operation.object_uuid).first()
    if vm is None:
        raise VMProblem(
            {"vm": [gettext("%(object_name)s is no longer there") % {"object_name": operation.object_name}]}
        )
    told = operation.params
    return take_snapshot(vm, user, SnapshotSpec(told["name"], told["memory"], told.get("chosen")))


def _snapshot(operation: Operation) -> Snapshot:
    rows = Snapshot.objects.select_related("vm__team").filter(vm__team=operation.team)
    found = rows.filter(uuid=operation.params["snapshot"]).first()
    if found is None:
        raise VMProblem({"snapshot": [gettext("the snapshot is no longer there")]})
    return found


AGAIN: Mapping[str, Callable[[Operation, User], Operation]] = {
    "vm.snapshot": _take,
    "vm.snapshot_revert": lambda operation, user: revert_to(_snapshot(operation), user),
    "vm.snapshot_delete": lambda operation, user: delete_snapshot(_snapshot(operation), user),
}
