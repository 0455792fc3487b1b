"""What people ask of backups: taken, deleted, and a plan that takes them. Under the team's row lock; restores: `restores.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from portal.accounts.audit import record
from portal.accounts.models import Team, User
from portal.backups.chain import Kept, superfluous, with_those_on
from portal.backups.models import Backup, BackupPlan, BackupStore
from portal.compute.changes import changes_of, locked_vm
from portal.compute.models import VM
from portal.compute.plans import plan_errors
from portal.compute.requests import VMProblem, start_operation
from portal.live.publishers import vm_changed
from portal.operations.models import UNFINISHED, Operation
from portal.operations.requests import Subject, begin_operation

MOST_KEPT, MOST_IN_CHAIN = 60, 60
State = Backup.State


@dataclass(frozen=True, slots=True)
class PlanAsked:
    """What a plan is asked to be."""

    every_hours: int
    full_every: int
    keep: int
    store: str = ""
    is_with_volumes: bool = True


def stores_for_teams() -> list[BackupStore]:
    """The stores that take backups, the first of them being the usual one."""
    return list(BackupStore.objects.filter(is_enabled=True))


def store_named(name: str) -> BackupStore:
    """The store of that name, or without a name the usual one. Raises VMProblem."""
    found = [one for one in stores_for_teams() if name in ("", one.name)]
    if found:
        return found[0]
    if name:
        raise VMProblem(
            {
                "store": [
                    gettext("“%(name)s” was given; %(store_names)s")
                    % {"name": name[:40], "store_names": _store_names()}
                ]
            }
        )
    raise VMProblem({"store": [gettext("there is no backup store: an operator sets one up")]})


def _store_names() -> str:
    names = ", ".join(one.name for one in stores_for_teams())
    return (
        gettext("stores that take backups are %(names)s") % {"names": names}
        if names
        else gettext("there is no backup store: an operator sets one up")
    )


def take_refusal(vm: VM) -> str:
    """Why no backup of the VM can be taken now."""
    if reason := changes_of(vm)["backups"]:
        return reason
    if vm.rescue_image_id:
        return gettext("it is in rescue: end the rescue first")
    return "" if stores_for_teams() else gettext("there is no backup store: an operator sets one up")


def take_backup(
    vm: VM,
    user: User | None,
    store: str = "",
    wants_full: bool = False,
    plan: BackupPlan | None = None,
    volumes: Sequence[str] | None = None,
) -> Operation:
    """The operation that copies the VM's disk to a store, and of its volumes those of these names (None: all that it then
    has); which kind it is is settled when its turn comes."""
    with transaction.atomic():
        fresh = locked_vm(vm, "backups")
        if reason := take_refusal(fresh):
            raise VMProblem({"backup": [f"{fresh.name}: {reason}"]})
        chosen, uuids = store_named(store), volumes_named(fresh, volumes)
        made = Backup.objects.create(
            team=fresh.team, vm=fresh, vm_uuid=fresh.uuid, vm_name=fresh.name, store=chosen, image=fresh.image,
            flavor=fresh.flavor, disk_gib=fresh.disk_gib, created_by=user, is_scheduled=plan is not None,
        )  # fmt: skip
        params = {
            "backup": str(made.uuid), "store": chosen.name, "full": wants_full,
            "full_every": plan.full_every if plan else 0, "chosen": uuids,
            "volumes": "all" if volumes is None else ", ".join(volumes) or "none",
        }  # fmt: skip
        return start_operation("vm.backup", fresh, user, params)


def volumes_named(vm: VM, names: Sequence[str] | None) -> list[str] | None:
    """The uuids of the VM's volumes of these names; None is all of them, whatever they then are. Raises VMProblem."""
    if names is None:
        return None
    known = {one.name: str(one.uuid) for one in vm.volumes.all()}
    unknown = [f"“{name[:63]}”" for name in names if name not in known]
    if unknown:
        words = gettext("%(names)s was given; %(vm)s has %(volumes)s")
        has = ", ".join(sorted(known)) or gettext("none")
        raise VMProblem({"volumes": [words % {"names": ", ".join(unknown[:8]), "vm": vm.name, "volumes": has}]})
    return [known[name] for name in dict.fromkeys(names)]


def kept_of(backups: list[Backup]) -> list[Kept]:
    """The rows as `chain` takes them."""
    return [
        Kept(
            one.pk, one.parent_id or 0, one.has_checkpoint, one.host, one.store_id, one.state == State.THERE,
            one.is_scheduled,
        )
        for one in backups
    ]  # fmt: skip


def those_on(backup: Backup) -> list[Backup]:
    """The backup and all that lie on it, none before one that lies on it."""
    rows = {one.pk: one for one in Backup.objects.filter(team_id=backup.team_id, vm_uuid=backup.vm_uuid)}
    return [rows[pk] for pk in with_those_on(kept_of(list(rows.values())), backup.pk) if pk in rows]


def busy_backups(team: Team) -> dict[str, str]:
    """The uuids of the team's backups, and VMs, that an operation is at, with its words."""
    busy: dict[str, str] = {}
    kinds = ("vm.backup", "vm.restore", "backup.delete")
    for one in Operation.objects.filter(team=team, kind__in=kinds, state__in=UNFINISHED):
        if one.kind == "vm.backup":
            busy[str(one.object_uuid)] = gettext("a backup of its VM is under way, which may lie on it")
        else:
            deletes = one.kind == "backup.delete"
            busy[str(one.params["backup"])] = (
                gettext("it is being deleted") if deletes else gettext("a VM is being restored from it")
            )
    return busy


def delete_refusal(backup: Backup, doomed: list[Backup], busy: dict[str, str]) -> str:
    """Why the backup, with those that lie on it, cannot be deleted now, or ""."""
    ids = [str(backup.vm_uuid), *(str(one.uuid) for one in doomed)]
    return next((busy[one] for one in ids if one in busy), "")


def delete_backup(backup: Backup, user: User | None) -> Operation:
    """The operation that removes the backup and what lies on it, which would be nothing without it."""
    with transaction.atomic():
        team = Team.objects.select_for_update(no_key=True).get(pk=backup.team_id)
        fresh = Backup.objects.filter(pk=backup.pk).first()
        if fresh is None:
            raise VMProblem({"backup": [gettext("it is gone meanwhile")]})
        doomed = those_on(fresh)
        if reason := delete_refusal(fresh, doomed, busy_backups(team)):
            raise VMProblem(
                {
                    "backup": [
                        gettext("%(fresh)s cannot be deleted now: %(reason)s") % {"fresh": fresh, "reason": reason}
                    ]
                }
            )
        Backup.objects.filter(pk__in=[one.pk for one in doomed]).update(state=State.DELETING)
        subject = Subject("backup", fresh.uuid, str(fresh)[:63])
        params = {"backup": str(fresh.uuid), "vm": fresh.vm_name, "backups": len(doomed)}
        operation = begin_operation("backup.delete", team, user, subject, params)
        _tell(fresh.vm)
        return operation


def _tell(vm: VM | None) -> None:
    if vm is not None:
        vm_changed(vm)


def set_plan(vm: VM, user: User, asked: PlanAsked) -> BackupPlan | None:
    """The VM's plan; every 0 hours is none."""
    every_hours, full_every, keep = asked.every_hours, asked.full_every, asked.keep
    with transaction.atomic():
        Team.objects.select_for_update(no_key=True).get(pk=vm.team_id)
        fresh = VM.objects.select_related("team").get(pk=vm.pk)
        errors = plan_errors(every_hours, keep, MOST_KEPT)
        if not 1 <= full_every <= MOST_IN_CHAIN:
            errors["full_every"] = [
                gettext("%(full_every)s was given; 1 (each) to %(most_in_chain)s are allowed")
                % {"full_every": full_every, "most_in_chain": MOST_IN_CHAIN}
            ]
        if errors:
            raise VMProblem(errors)
        plan = None
        if every_hours:
            told = {
                "every_hours": every_hours, "full_every": full_every, "keep": keep, "store": store_named(asked.store),
                "is_with_volumes": asked.is_with_volumes,
                "next_at": timezone.now() + timedelta(hours=every_hours), "problem": "",
            }  # fmt: skip
            plan, _ = BackupPlan.objects.update_or_create(vm=fresh, defaults=told)
        else:
            BackupPlan.objects.filter(vm=fresh).delete()
        told_of = {"full_every": full_every, "keep": keep, "volumes": asked.is_with_volumes} if plan else {}
        after = {"every_hours": every_hours, **told_of}
        record("vm.backup_plan", fresh.team, user, ("vm", str(fresh.uuid), fresh.name), after=after)
        vm_changed(fresh)
        return plan


def keep_plans() -> int:
    """Take what is due, and delete what is more than a plan keeps, one at a time; how many operations were begun."""
    return sum(_keep(plan) for plan in BackupPlan.objects.select_related("vm__team", "vm__host", "store"))


def _keep(plan: BackupPlan) -> bool:
    now = timezone.now()
    rows = list(Backup.objects.filter(vm=plan.vm, state=State.THERE))
    by_id = {one.pk: one for one in rows}
    try:
        for pk in superfluous(kept_of(rows), plan.keep):
            delete_backup(by_id[pk], None)
            return True
        if plan.next_at > now:
            return False
        if reason := take_refusal(plan.vm):
            return _tell_plan(plan, reason)
        take_backup(plan.vm, None, plan.store.name, plan=plan, volumes=None if plan.is_with_volumes else ())
        plan.was_taken(now)
        return True
    except VMProblem as problem:  # somebody was faster, or its store takes none now: the next look tries again
        return _tell_plan(plan, str(problem))


def _tell_plan(plan: BackupPlan, reason: str) -> bool:
    """Keep why none was taken, for its page; nothing was begun."""
    with transaction.atomic():
        if plan.was_not_taken(reason):
            _tell(plan.vm)
    return False
