"""Backups' operations asked for again, with the values that they were asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from django.utils.translation import gettext

from portal.accounts.models import User
from portal.backups.models import Backup
from portal.backups.requests import delete_backup, take_backup
from portal.backups.restores import RestoreSpec, restore_backup
from portal.compute.models import VM
from portal.compute.requests import VMProblem
from portal.operations.models import Operation
from portal.volumes.lookup import offered_pools


def _take(operation: Operation, user: User) -> Operation:
    vm = VM.objects.select_related("team").filter(team=operation.team, uuid=operation.object_uuid).first()
    if vm is None:
        raise VMProblem(
            {"vm": [gettext("%(object_name)s is no longer there") % {"object_name": operation.object_name}]}
        )
    told = operation.params
    names = None
    if told.get("chosen") is not None:
        names = list(vm.volumes.filter(uuid__in=told["chosen"]).values_list("name", flat=True))
    return take_backup(vm, user, told["store"], told["full"], volumes=names)


def _backup(operation: Operation) -> Backup:
    found = Backup.objects.filter(team=operation.team, uuid=operation.params["backup"]).first()
    if found is None:
        raise VMProblem({"backup": [gettext("the backup is no longer there")]})
    return found


def _restore(operation: Operation, user: User) -> Operation:
    told = operation.params
    pool = offered_pools().filter(uuid=told["volume_pool"]).first() if "volume_pool" in told else None
    spec = RestoreSpec(told["name"], told["network"], told["address"], volumes=tuple(told.get("chosen", ())), pool=pool)
    return restore_backup(_backup(operation), user, spec).operation


AGAIN: Mapping[str, Callable[[Operation, User], Operation]] = {
    "vm.backup": _take,
    "vm.restore": _restore,
    "backup.delete": lambda operation, user: delete_backup(_backup(operation), user),
}
