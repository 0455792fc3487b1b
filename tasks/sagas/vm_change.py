"""Changes of a VM that meet its host: resize, rebuild, clone, rescue, the bin. What each was before is in `operation.params`.

A change that fails leaves the VM as it was before it, or off with its own disk and words; never without a disk.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from portal.compute.hardware import disk_target
from portal.compute.models import VM, Image, KeyPair, VMState
from portal.live.publishers import vm_changed
from portal.networks.intent import bump_generation
from tasks.hypervisor.disks import (
    backing_of,
    copy_disk,
    disk_size_gib,
    ensure_overlay,
    files_of,
    grow_file,
    remove_file,
)
from tasks.hypervisor.driver import DomainState, HypervisorError
from tasks.sagas import vm_create
from tasks.sagas.engine import Context, Saga, Stage, StageError
from tasks.sagas.rows import keep_params, not_deleted_words, operation_params, placed, placed_or_none, update_vm, vm_of
from tasks.sagas.vm_life import RUN, record_state

COPY_DEADLINE_S = 3600.0
TAKEN_BACK_FOR = timedelta(days=1)
LIVE = (DomainState.RUNNING, DomainState.PAUSED)


# Resize. The row has the new size since the request, which reserved it; an undo gives back what was not used.


def resize_definition(context: Context) -> str:
    vm_create.define(context)
    vm, hypervisor, _ = placed(context)
    runs = hypervisor.state(vm.domain) in LIVE
    return f"{vm.vcpus} vCPU, {vm.ram_mib} MiB" + (", memory at its next start" if runs else "")


def unresize(context: Context) -> None:
    """The row has its old size again, but for a disk that has grown: a disk is never cut."""
    found = placed_or_none(context)
    if found is None:
        return
    vm, _, files = found
    before = dict(operation_params(context)["before"])
    if files.disk.exists():
        before["disk_gib"] = max(int(before["disk_gib"]), disk_size_gib(files.disk))
    update_vm(vm, **before)
    vm_create.define(context)


def plug_vcpus(context: Context) -> str:
    vm, hypervisor, _ = placed(context)
    if hypervisor.state(vm.domain) not in LIVE:
        return "it is off: nothing to plug"
    has = hypervisor.plug_vcpus(vm.domain, vm.vcpus)
    update_vm(vm, live_vcpus=has)
    return f"the guest has {has} now" + (", the rest at its next start" if has != vm.vcpus else "")


def grow_disk(context: Context) -> str:
    vm, hypervisor, files = placed(context)
    if hypervisor.state(vm.domain) in LIVE:
        target = disk_target(vm.disk_bus, 1 if vm.rescue_image else 0)
        hypervisor.grow_disk(vm.domain, target, vm.disk_gib * 1024**3)
    elif files.disk.exists():
        grow_file(files.disk, vm.disk_gib)
    return f"{vm.disk_gib} GiB"


# Rebuild. The old disk is set aside and comes back when any stage fails.


def set_disk_aside(context: Context) -> str:
    vm, _, files = placed(context)
    params = operation_params(context)
    image = Image.objects.get(pk=params["image"])
    if not files.old_disk.exists() and files.disk.exists():
        os.replace(files.disk, files.old_disk)
    update_vm(vm, image=image, rescue_image=None, **_key_in(params))
    base = vm_create.base_on(context, image, vm.host)
    ensure_overlay(files.disk, base.path, image.disk_format, vm.disk_gib)
    return f"{vm.disk_gib} GiB over " + (base.words or image.name)


def take_disk_back(context: Context) -> None:
    found = placed_or_none(context)
    params = operation_params(context)
    if found is None or params.get("is_dropped"):
        return
    vm, _, files = found
    if files.old_disk.exists():
        os.replace(files.old_disk, files.disk)
    update_vm(vm, image=Image.objects.get(pk=params["before"]["image"]), **_key_in(params["before"]))
    vm_create.write_seed(context)
    vm_create.define(context)


def _key_in(params: Mapping[str, Any]) -> dict[str, object]:
    """The columns of the key that the params name, if they do; one that was deleted meanwhile is known by its text alone."""
    if "public_key" not in params:
        return {}
    return {"key": KeyPair.objects.filter(pk=params["key"]).first(), "public_key": params["public_key"]}


def cut_power(context: Context) -> None:
    vm, hypervisor, _ = placed(context)
    hypervisor.destroy(vm.domain)
    record_state(vm, hypervisor)


def is_off(context: Context) -> None:
    """Undone, a VM whose power was cut stays off, and its row says so."""
    if found := placed_or_none(context):
        vm, hypervisor, _ = found
        if not operation_params(context).get("is_dropped"):
            record_state(vm, hypervisor)


def unstart_rebuilt(context: Context) -> None:
    if not operation_params(context).get("is_dropped"):
        vm_create.stop(context)


def drop_old_disk(context: Context) -> None:
    """From here on there is no way back, which is written down before the file goes."""
    _, _, files = placed(context)
    keep_params(context, is_dropped=True)
    remove_file(files.old_disk)
    remove_file(files.rescue)


# Clone: a create on the source's host, with a copy of its disk.


def place_beside(context: Context) -> str:
    source = _source_of(context)
    assert source.host is not None
    with transaction.atomic():
        bump_generation()
        vm = vm_of(context)
        if vm.host is None:
            vm.host = source.host
            vm.save(update_fields=["host"])
            vm.ports.update(host=source.host, tap="", ofport=None, wired_at=None, wired_generation=None)
            vm_changed(vm)
    return f"{source.host.name}, where the disk of {source.name} is"


def copy_its_disk(context: Context) -> str:
    source = _source_of(context)
    vm, hypervisor, files = placed(context)
    if hypervisor.state(source.domain) in LIVE:
        raise StageError(
            f"{source.name} was started meanwhile: a disk in use can't be copied, shut it down and clone again"
        )
    assert source.host is not None
    from_path = files_of(source.host.disks_dir, source.uuid, source.disk_name).disk
    # with snapshots its disk is of several layers, and a copy over the image would have the uppermost one alone
    base = "" if source.snapshots.exists() or not from_path.is_file() else backing_of(from_path)
    copy_disk(from_path, files.disk, base, vm.image.disk_format)
    grow_file(files.disk, vm.disk_gib)
    return f"of {source.name}"


def _source_of(context: Context) -> VM:
    source = VM.objects.select_related("host", "image").filter(uuid=operation_params(context)["source"]).first()
    if source is None or source.host is None:
        raise StageError("the VM to clone is no longer there")
    return source


# Rescue: another image's disk before its own.


def prepare_rescue(context: Context) -> str:
    vm, _, files = placed(context)
    image = Image.objects.get(pk=operation_params(context)["image"])
    base = vm_create.base_on(context, image, vm.host)
    ensure_overlay(files.rescue, base.path, image.disk_format, image.min_disk_gib)
    update_vm(vm, rescue_image=image)
    return f"of {image.name}"


def unprepare_rescue(context: Context) -> None:
    if found := placed_or_none(context):
        vm, _, files = found
        update_vm(vm, rescue_image=None)
        vm_create.define(context)
        remove_file(files.rescue)


def boot_own_disk(context: Context) -> None:
    vm, _, files = placed(context)
    update_vm(vm, rescue_image=None)
    vm_create.define(context)
    remove_file(files.rescue)


# The bin.


def switch_off(context: Context) -> None:
    """As a delete's: the row's state says deleting meanwhile."""
    vm, hypervisor, _ = placed(context)
    hypervisor.destroy(vm.domain)


def keep(context: Context) -> str:
    vm, hypervisor, _ = placed(context)
    hypervisor.set_autostart(vm.domain, False)
    update_vm(vm, state=VMState.DELETED, state_reason="", observed_at=timezone.now())
    return f"until {vm.purge_at:%d %b %H:%M} UTC" if vm.purge_at else ""


def unkeep(context: Context) -> None:
    """Autostart as it was; a host that is away never heard that it was switched off."""
    if found := placed_or_none(context):
        vm, hypervisor, _ = found
        with suppress(HypervisorError):
            hypervisor.set_autostart(vm.domain, vm.is_autostarted)


def unbin(context: Context) -> None:
    """The VM is there again; what its domain is, the collector writes when the host answers."""
    update_vm(vm_of(context), purge_at=None, state=VMState.UNKNOWN, state_reason=not_deleted_words(context))


def restore(context: Context) -> None:
    vm, hypervisor, _ = placed(context)
    hypervisor.set_autostart(vm.domain, vm.is_autostarted)
    over = vm.lease_until is not None and vm.lease_until < timezone.now()
    lease_until = timezone.now() + TAKEN_BACK_FOR if over else vm.lease_until  # or it would be deleted again at once
    update_vm(vm, purge_at=None, lease_until=lease_until)
    record_state(vm, hypervisor)


CREATED: Saga = (
    Stage("define", vm_create.define, vm_create.undefine),
    Stage("start", vm_create.start, vm_create.stop),
    Stage("wire", vm_create.wire, deadline_s=vm_create.WIRE_DEADLINE_S),
)
SAGAS: dict[str, Saga] = {
    "vm.resize": (
        Stage("define", resize_definition, unresize),
        Stage("vcpus", plug_vcpus),
        Stage("disk", grow_disk),
    ),
    "vm.rebuild": (
        Stage("stop", cut_power, is_off),
        Stage("disk", set_disk_aside, take_disk_back),
        Stage("seed", vm_create.write_seed),
        Stage("define", vm_create.define),
        Stage("start", RUN[0].do, unstart_rebuilt),
        RUN[1],
        Stage("drop", drop_old_disk),
    ),
    "vm.clone": (
        Stage("place", place_beside, vm_create.unplace),
        Stage("disk", copy_its_disk, vm_create.unmake_disk, deadline_s=COPY_DEADLINE_S),
        Stage("seed", vm_create.write_seed, vm_create.unwrite_seed),
        *CREATED,
    ),
    "vm.rescue": (Stage("prepare", prepare_rescue, unprepare_rescue), Stage("define", vm_create.define), *RUN),
    "vm.unrescue": (Stage("stop", cut_power, is_off), Stage("define", boot_own_disk), *RUN),
    "vm.bin": (Stage("stop", switch_off, unbin), Stage("keep", keep, unkeep)),
    "vm.undelete": (Stage("restore", restore),),
}
