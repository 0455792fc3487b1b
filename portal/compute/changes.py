"""Changes of a VM that are asked for with values: name, size, image, a clone, the bin. Checked and stored under the team's row lock.

`changes_of` says for each whether it is possible now, and why not; the page, the API and the requests read it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import gettext

from portal.accounts.audit import record
from portal.accounts.models import Team, User
from portal.compute.actions import OFF, host_refusal, unfinished_of
from portal.compute.models import VM, Flavor, Image, VMState
from portal.compute.requests import (
    Creation,
    Use,
    VMProblem,
    check_name,
    delete_vm,
    over_quota_by,
    over_quota_of,
    start_operation,
    use_of,
)
from portal.compute.size_cap import over_cap
from portal.hosts.models import Host
from portal.live.publishers import vm_changed
from portal.networks.intent import bump_generation
from portal.networks.ipam import AddressProblem, allocate_port
from portal.networks.models import Port
from portal.operations.models import Operation
from portal.operations.stages import TITLES

THERE = frozenset({VMState.RUNNING, VMState.PAUSED, VMState.STOPPED, VMState.CRASHED})


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `states` are those of a VM that takes it; one that meets no host is `is_local`."""

    name: str
    states: frozenset[str]
    is_local: bool = False


CHANGES: dict[str, Change] = {
    change.name: change
    for change in (
        Change("rename", THERE | {VMState.UNKNOWN}, is_local=True),
        Change("resize", THERE),
        Change("rebuild", THERE),
        Change("clone", OFF),
        Change("image", OFF),
        Change("bin", THERE),
        Change("nics", THERE),
        Change("volumes", THERE),
        Change("snapshots", THERE),
        Change("backups", THERE),
        Change("devices", THERE),
    )
}


def changes_of(vm: VM, unfinished: Mapping[UUID, str] | None = None) -> dict[str, str]:
    """Each change's name with the reason that forbids it now, or ""."""
    busy = (unfinished_of([vm.uuid]) if unfinished is None else unfinished).get(vm.uuid, "")
    return {change.name: _refusal(vm, change, busy) for change in CHANGES.values()}


def _refusal(vm: VM, change: Change, busy: str) -> str:
    if vm.adopted and not change.is_local:
        return vm.why_not_changed
    if busy:
        return gettext("“%(title)s” is under way") % {"title": gettext(TITLES.get(busy, busy))}
    if vm.state not in change.states:
        wanted = gettext(" or ").join(sorted(str(VMState(state).label).lower() for state in change.states))
        words = gettext("it is %(state)s; only a VM that is %(wanted)s takes this")
        return words % {"state": str(VMState(vm.state).label).lower(), "wanted": wanted}
    return "" if change.is_local else host_refusal(vm)


def locked_vm(vm: VM, name: str) -> VM:
    """The VM as it is now, its team's row locked. Raises VMProblem when the change is not possible now."""
    Team.objects.select_for_update(no_key=True).get(pk=vm.team_id)
    fresh = VM.objects.select_related("team", "host", "image", "flavor", "rescue_image").get(pk=vm.pk)
    reason = changes_of(fresh)[name]
    if reason:
        raise VMProblem(
            {
                "vm": [
                    gettext("%(fresh)s: %(name)s is not possible now: %(reason)s")
                    % {"fresh": fresh.name, "name": name, "reason": reason}
                ]
            }
        )
    return fresh


def rename_vm(vm: VM, user: User, name: str) -> VM:
    """The VM under its new name, by DNS too; its domain's title follows at its next start."""
    with transaction.atomic():
        bump_generation()
        fresh = locked_vm(vm, "rename")
        if name == fresh.name:
            return fresh
        if problem := check_name(fresh.team, name):
            raise VMProblem({"name": [problem]})
        before, fresh.name = fresh.name, name
        fresh.save(update_fields=["name"])
        Port.objects.filter(vm=fresh, name=before).update(name=name)
        what = ("vm", str(fresh.uuid), name)
        record("vm.rename", fresh.team, user, what, before={"name": before}, after={"name": name})
        vm_changed(fresh)
        return fresh


def resize_vm(vm: VM, user: User, flavor: Flavor | None) -> Operation:
    """The operation that gives the VM another size; what it grows by is reserved here. A disk never shrinks."""
    with transaction.atomic():
        fresh = locked_vm(vm, "resize")
        if flavor is None:
            raise VMProblem({"flavor": [gettext("no size of that name: choose one of the list")]})
        before = {
            "vcpus": fresh.vcpus,
            "ram_mib": fresh.ram_mib,
            "disk_gib": fresh.disk_gib,
            "flavor_id": fresh.flavor_id,
        }
        if fresh.host_id is not None:
            fresh.host = Host.objects.select_for_update(no_key=True).get(pk=fresh.host_id)
        if problems := resize_problems(fresh, flavor, room_of(fresh)):
            raise VMProblem({"flavor": problems})
        fresh.flavor, fresh.vcpus, fresh.ram_mib = flavor, flavor.vcpus, flavor.ram_mib
        fresh.disk_gib = max(fresh.disk_gib, flavor.disk_gib)
        fresh.save(update_fields=["flavor", "vcpus", "ram_mib", "disk_gib"])
        operation = start_operation("vm.resize", fresh, user, {"before": before, "size": flavor.name})
        vm_changed(fresh)
        return operation


@dataclass(frozen=True, slots=True)
class Room:
    """What limits a VM's size beside its image: its team's use, and the memory that its host has left (None: no host)."""

    use: Use
    host: str = ""
    ram_left_mib: int | None = None


def room_of(vm: VM) -> Room:
    """The room as it is now."""
    if vm.host is None:
        return Room(use_of(vm.team))
    used = VM.objects.filter(host=vm.host).aggregate(used=Sum("ram_mib"))["used"] or 0
    return Room(use_of(vm.team), vm.host.name, max(0, vm.host.ram_mib - used))


def growth_to(vm: VM, flavor: Flavor) -> Use:
    """What the VM has more with that size; less is negative, but a disk never shrinks."""
    disk_gib = max(0, flavor.disk_gib - vm.disk_gib)
    return Use(flavor.vcpus - vm.vcpus, flavor.ram_mib - vm.ram_mib, disk_gib, 0)


def resize_problems(vm: VM, flavor: Flavor, room: Room) -> list[str]:
    """Why the VM cannot have that size: its team's quota, its host's memory, its image."""
    more = growth_to(vm, flavor)
    found = over_quota_by(vm.team, room.use, more) + _over_cap_with(vm, flavor, more)
    if flavor.pk == vm.flavor_id and more == Use(0, 0, 0, 0):
        found.append(gettext("it has this size already"))
    if flavor.ram_mib < vm.image.min_ram_mib:
        found.append(
            gettext("%(ram_mib)s MiB asked; %(image)s needs %(min_ram_mib)s MiB")
            % {"ram_mib": flavor.ram_mib, "image": vm.image.name, "min_ram_mib": vm.image.min_ram_mib}
        )
    if room.ram_left_mib is not None and 0 < more.ram_mib > room.ram_left_mib:
        found.append(
            gettext("%(ram_mib)s MiB more asked; %(host)s has %(ram_left_mib)s MiB left")
            % {"ram_mib": more.ram_mib, "host": room.host, "ram_left_mib": room.ram_left_mib}
        )
    return found


def _over_cap_with(vm: VM, flavor: Flavor, more: Use) -> list[str]:
    """What grows beyond the largest VM of its team; a VM that is larger already may stay so, or shrink."""
    vcpus, ram_mib = flavor.vcpus * (more.vcpus > 0), flavor.ram_mib * (more.ram_mib > 0)
    return over_cap(vm.team, vcpus, ram_mib, flavor.disk_gib * (more.disk_gib > 0))


def rebuild_vm(vm: VM, user: User, image: Image | None, key_id: str = "") -> Operation:
    """The operation that gives the VM a fresh disk of an image, and another of the user's SSH keys if one is given; the rest stays."""
    with transaction.atomic():
        fresh = locked_vm(vm, "rebuild")
        errors = []
        if image is None or not Image.for_team(fresh.team).filter(pk=image.pk).exists():
            raise VMProblem({"image": [gettext("no image of that name: choose one of the list")]})
        key = next((one for one in user.keys.all() if str(one.pk) == key_id), None)
        if key_id and key is None:
            raise VMProblem({"key": [gettext("that key is not one of yours: choose one of the list")]})
        if fresh.is_protected:
            errors.append(
                gettext("%(fresh)s is protected, and a rebuild deletes its disk: take the protection off first")
                % {"fresh": fresh.name}
            )
        if fresh.snapshots.exists():
            errors.append(
                gettext("%(fresh)s has snapshots, which lie under its disk: delete them first") % {"fresh": fresh.name}
            )
        if fresh.ram_mib < image.min_ram_mib:
            errors.append(
                gettext("%(image)s needs %(min_ram_mib)s MiB; %(fresh)s has %(ram_mib)s: resize it first")
                % {"image": image.name, "min_ram_mib": image.min_ram_mib, "fresh": fresh.name, "ram_mib": fresh.ram_mib}
            )
        if fresh.disk_gib < image.min_disk_gib:
            errors.append(
                gettext("%(image)s needs %(min_disk_gib)s GiB; %(fresh)s has %(disk_gib)s: resize it first")
                % {
                    "image": image.name,
                    "min_disk_gib": image.min_disk_gib,
                    "fresh": fresh.name,
                    "disk_gib": fresh.disk_gib,
                }
            )
        if errors:
            raise VMProblem({"image": errors})
        before, wanted = {"image": fresh.image_id, **_key_of(fresh)}, {"image": image.pk, **_key_of(fresh)}
        if key is not None:
            wanted |= {"key": key.pk, "public_key": key.public_key}
        return start_operation("vm.rebuild", fresh, user, {"before": before, **wanted})


def _key_of(vm: VM) -> dict[str, object]:
    return {"key": vm.key_id, "public_key": vm.public_key}


def clone_vm(vm: VM, user: User, name: str, request_key: str = "") -> Creation:
    """A VM like this one, with a copy of its disk, on its host, its own name, MAC and addresses. The same key again is the same VM."""
    with transaction.atomic():
        bump_generation()
        key = request_key or secrets.token_hex(16)
        Team.objects.select_for_update(no_key=True).get(pk=vm.team_id)
        if known := VM.objects.filter(team=vm.team, request_key=key).first():
            return Creation(known, Operation.objects.filter(object_uuid=known.uuid).earliest("id"))
        source = locked_vm(vm, "clone")
        errors: dict[str, list[str]] = {}
        if problem := check_name(source.team, name):
            errors["name"] = [problem]
        size = Use(source.vcpus, source.ram_mib, source.disk_gib, 1)
        if over := over_quota_of(source.team, use_of(source.team), size):
            errors["vm"] = over
        port = source.ports.select_related("network").first()
        if port is None:
            errors.setdefault("vm", []).append(
                gettext("%(source)s has no NIC: add one first") % {"source": source.name}
            )
        if errors or port is None:
            raise VMProblem(errors)
        made = _copied(source, user, name, key)
        try:
            fresh_port = allocate_port(port.network, name=name, vm=made)
        except AddressProblem as full:
            raise VMProblem({"network": [str(full)]}) from None
        fresh_port.groups.set(port.groups.all())
        operation = start_operation("vm.clone", made, user, {"source": str(source.uuid)})
        vm_changed(made)
        return Creation(made, operation)


def _copied(source: VM, user: User, name: str, key: str) -> VM:
    return VM.objects.create(
        team=source.team, name=name, image=source.image, flavor=source.flavor, key=source.key,
        public_key=source.public_key, user_data=source.user_data, vcpus=source.vcpus, ram_mib=source.ram_mib,
        disk_gib=source.disk_gib, request_key=key, created_by=user, cpu_model=source.cpu_model, machine=source.machine,
        disk_bus=source.disk_bus, disk_cache=source.disk_cache, apart=source.apart,
    )  # fmt: skip


def bin_vm(vm: VM, user: User | None) -> Operation:
    """The operation that switches the VM off and keeps it for a while: until then it holds disk, addresses and quota."""
    with transaction.atomic():
        fresh = locked_vm(vm, "bin")
        if fresh.is_protected:
            raise VMProblem(
                {
                    "vm": [
                        gettext("%(fresh)s is protected from being deleted: take the protection off first")
                        % {"fresh": fresh.name}
                    ]
                }
            )
        fresh.state, fresh.state_reason = VMState.DELETING, ""
        fresh.purge_at = timezone.now() + timedelta(hours=settings.UNDELETE_HOURS)
        fresh.save(update_fields=["state", "state_reason", "purge_at"])
        operation = start_operation("vm.bin", fresh, user)
        vm_changed(fresh)
        return operation


def purge_deleted() -> int:
    """Ask to delete for good every VM whose time to be had back is over; how many."""
    due = VM.objects.filter(state=VMState.DELETED, purge_at__lt=timezone.now())[:100]
    for vm in due:
        delete_vm(vm, None)
    return len(due)
