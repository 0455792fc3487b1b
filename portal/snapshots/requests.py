"""What people ask of snapshots: taken, gone back to, deleted, and a plan that takes them. Under the team's row lock."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from portal.accounts.audit import record
from portal.accounts.models import User
from portal.compute.changes import changes_of, locked_vm
from portal.compute.models import VM, VMState
from portal.compute.requests import NAME, Use, VMProblem, over_quota_by, start_operation, use_of
from portal.live.publishers import vm_changed
from portal.operations.models import Operation
from portal.snapshots.models import Snapshot, SnapshotPlan

MOST = 16  # of one VM: each is one more file to look through for every block that is read
MOST_HOURS = 24 * 31
ON = (VMState.RUNNING, VMState.PAUSED)


def take_refusal(vm: VM, memory: bool = False) -> str:
    """Why no snapshot of the VM can be taken now."""
    if reason := busy_words(vm):
        return reason
    if vm.snapshots.count() >= MOST:
        return gettext("it has %(most)s snapshots; that is the most: delete one first") % {"most": MOST}
    if memory and vm.state != VMState.RUNNING:
        return gettext("it is %(state)s; only a running VM has a memory to keep") % {
            "state": str(VMState(vm.state).label).lower()
        }
    if memory and vm.volumes.exists():
        return gettext(
            "it has volumes, which a snapshot does not hold: its memory would not fit them when it is gone back to"
        )
    return ""


def busy_words(vm: VM) -> str:
    """Why no snapshot of the VM can be changed now, or ""."""
    return changes_of(vm)["snapshots"] or (
        gettext("it is in rescue: end the rescue first") if vm.rescue_image_id else ""
    )


def refusals_of(snapshot: Snapshot, busy: str | None = None) -> dict[str, str]:
    """Why the snapshot cannot be gone back to or deleted now, or ""; `busy` are its VM's `busy_words`, if they are known."""
    busy = busy_words(snapshot.vm) if busy is None else busy
    return {"revert": busy or _revert_refusal(snapshot), "delete": busy or _delete_refusal(snapshot)}


def _revert_refusal(snapshot: Snapshot) -> str:
    if snapshot.state == Snapshot.State.DELETING:
        return gettext("its deletion has begun: it can only be deleted")
    if snapshot.has_memory and snapshot.vm.volumes.exists():
        return gettext("it keeps a memory, and the VM has volumes now: detach them first")
    return ""


def _delete_refusal(snapshot: Snapshot) -> str:
    lines = [child.name for child in snapshot.children.all()] + [gettext("the VM's disk")] * snapshot.is_current
    return (
        (gettext("%(lines)s lie on it: delete all but one of them first") % {"lines": gettext(" and ").join(lines)})
        if len(lines) > 1
        else ""
    )


def take_snapshot(vm: VM, user: User | None, name: str, memory: bool = False, is_scheduled: bool = False) -> Operation:
    """The operation that freezes the VM's disk as it is, with its memory if asked for; it may hold as much as the disk."""
    with transaction.atomic():
        fresh = locked_vm(vm, "snapshots")
        errors: dict[str, list[str]] = {}
        if not NAME.fullmatch(name):
            errors["name"] = [
                gettext("“%(name)s” was given; allowed are 1 to 63 of a-z, 0-9 and -, not at either end")
                % {"name": name[:40]}
            ]
        elif fresh.snapshots.filter(name=name).exists():
            errors["name"] = [
                gettext("%(fresh)s has a snapshot %(name)s already: choose another name")
                % {"fresh": fresh.name, "name": name}
            ]
        if over := over_quota_by(fresh.team, use_of(fresh.team), Use(0, 0, fresh.disk_gib, 0)):
            errors["snapshot"] = over
        if reason := take_refusal(fresh, memory):
            errors["memory" if memory and not take_refusal(fresh) else "snapshot"] = [f"{fresh.name}: {reason}"]
        if errors:
            raise VMProblem(errors)
        made = Snapshot.objects.create(
            vm=fresh, name=name, has_memory=memory, disk_gib=fresh.disk_gib, created_by=user, is_scheduled=is_scheduled
        )
        params = {"snapshot": str(made.uuid), "name": name, "memory": memory}
        return start_operation("vm.snapshot", fresh, user, params)


def revert_to(snapshot: Snapshot, user: User) -> Operation:
    """The operation that gives the VM the disk, and the memory, of that moment; what it has now is lost."""
    with transaction.atomic():
        fresh = _locked(snapshot, "revert")
        vm = fresh.vm
        current = vm.snapshots.filter(is_current=True).first()
        before = {"disk_name": vm.disk_name, "current": str(current.uuid) if current else ""}
        params = {"snapshot": str(fresh.uuid), "name": fresh.name, "before": before, "runs": vm.state in ON}
        return start_operation("vm.snapshot_revert", vm, user, params)


def delete_snapshot(snapshot: Snapshot, user: User | None) -> Operation:
    """The operation that forgets the moment: its layer is merged with the one above; the VM's disk stays as it is."""
    with transaction.atomic():
        fresh = _locked(snapshot, "delete")
        fresh.state = Snapshot.State.DELETING
        fresh.save(update_fields=["state"])
        return start_operation("vm.snapshot_delete", fresh.vm, user, {"snapshot": str(fresh.uuid), "name": fresh.name})


def set_plan(vm: VM, user: User, every_hours: int, keep: int) -> SnapshotPlan | None:
    """The VM's plan; every 0 hours is none."""
    with transaction.atomic():
        fresh = VM.objects.select_for_update().select_related("team").get(pk=vm.pk)
        errors: dict[str, list[str]] = {}
        if not 0 <= every_hours <= MOST_HOURS:
            errors["every_hours"] = [
                gettext("%(every_hours)s was given; 0 (none) to %(most_hours)s are allowed")
                % {"every_hours": every_hours, "most_hours": MOST_HOURS}
            ]
        if not 1 <= keep < MOST:
            errors["keep"] = [
                gettext("%(keep)s was given; 1 to %(most)s are allowed") % {"keep": keep, "most": MOST - 1}
            ]
        if errors:
            raise VMProblem(errors)
        plan = None
        if every_hours:
            told = {"every_hours": every_hours, "keep": keep, "next_at": timezone.now() + timedelta(hours=every_hours)}
            plan, _ = SnapshotPlan.objects.update_or_create(vm=fresh, defaults=told)
        else:
            SnapshotPlan.objects.filter(vm=fresh).delete()
        after = {"every_hours": every_hours, "keep": keep if every_hours else 0}
        record("vm.snapshot_plan", fresh.team, user, ("vm", str(fresh.uuid), fresh.name), after=after)
        vm_changed(fresh)
        return plan


def keep_plans() -> int:
    """Take what is due, and delete what is more than a plan keeps, one at a time; how many operations were begun."""
    begun = 0
    for plan in SnapshotPlan.objects.select_related("vm__team"):
        begun += _keep(plan)
    return begun


def _keep(plan: SnapshotPlan) -> bool:
    now = timezone.now()
    old = list(plan.vm.snapshots.filter(is_scheduled=True).order_by("-id")[plan.keep :])
    try:
        if old and not refusals_of(old[-1])["delete"]:
            delete_snapshot(old[-1], None)
            return True
        if plan.next_at > now or take_refusal(plan.vm):
            return False
        take_snapshot(plan.vm, None, f"auto-{now:%Y%m%d-%H%M%S}", is_scheduled=True)
        SnapshotPlan.objects.filter(pk=plan.pk).update(next_at=now + timedelta(hours=plan.every_hours))
        return True
    except VMProblem:  # no quota left, or somebody was faster: the next look tries again
        return False


def _locked(snapshot: Snapshot, change: str) -> Snapshot:
    vm = locked_vm(snapshot.vm, "snapshots")
    fresh = Snapshot.objects.filter(pk=snapshot.pk).first()
    if fresh is None:
        raise VMProblem({"snapshot": [gettext("%(snapshot)s is gone meanwhile") % {"snapshot": snapshot.name}]})
    fresh.vm = vm
    if reason := refusals_of(fresh)[change]:
        raise VMProblem(
            {
                "snapshot": [
                    gettext("%(fresh)s: %(change)s is not possible now: %(reason)s")
                    % {"fresh": fresh.name, "change": change, "reason": reason}
                ]
            }
        )
    return fresh
