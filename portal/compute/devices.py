"""What a VM's devices are: emulated, paravirtual or passed through; who is on emulated ones, and the way to virtio.

A change of devices is rows: a VM that is off has it at once, one that runs at its next start (`next_disk_bus`,
`next_nic_model`), so that rows never tell of a running guest what it has not.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext

from portal.accounts.models import User
from portal.compute.changes import locked_vm
from portal.compute.hardware import CHOICES, EMULATED, PARAVIRTUAL, switch_refusal
from portal.compute.models import VM
from portal.compute.requests import VMProblem, start_operation
from portal.console.access import has_screen
from portal.hosts.models import Accelerator
from portal.live.publishers import vm_changed
from portal.operations.models import Operation
from sdn.model.device import chain_from_json

PASSTHROUGH = "passthrough"
KINDS = {(field, choice.value): choice.note for field in ("disk_bus", "nic_model") for choice in CHOICES[field]}
HEADER = ("team", "vm", "state", "host", "image", "device", "model", "next_start", "kind")


@dataclass(frozen=True, slots=True)
class DeviceOf:
    """One device: what it is for, its model as the guest sees it, its kind. `coming` is the model after the next start."""

    name: str
    model: str
    kind: str
    note: str = ""
    coming: str = ""
    may_change: bool = True  # to virtio, by the one click

    @property
    def is_slow(self) -> bool:
        """Emulated where it need not be."""
        return self.kind == EMULATED and self.may_change


@dataclass(frozen=True, slots=True)
class Report:
    """A VM with its devices that are emulated and need not be, and with its NICs past Open vSwitch."""

    vm: VM
    devices: tuple[DeviceOf, ...]
    past: tuple[DeviceOf, ...] = ()


def devices_made_of(vm: VM) -> list[DeviceOf]:
    """Every device of the VM's machine."""
    kvm = vm.host is not None and vm.host.accelerator == Accelerator.KVM
    own = vm.cpu_model in ("", "host-passthrough")
    cpu = PASSTHROUGH if kvm and own else PARAVIRTUAL if kvm else EMULATED
    how = gettext("by the host's processor") if kvm else gettext("every instruction by QEMU (TCG): the host has no KVM")
    named = vm.cpu_model or ("host-passthrough" if kvm else gettext("QEMU's own"))
    found = [DeviceOf(gettext("Processor"), named, cpu, how, may_change=False)]
    found += _disks(vm)
    found += [
        DeviceOf(
            gettext("NIC %(name)s") % {"name": port.name},
            port.model,
            _kind("nic_model", port.model),
            coming=vm.next_nic_model,
        )
        for port in vm.ports.all()
        if chain_from_json(port.device_chain).bypass is None
    ]
    found += past_nics(vm)
    if has_screen(vm):
        found.append(
            DeviceOf(gettext("Screen"), "VGA", EMULATED, gettext("every guest has its driver"), may_change=False)
        )
    found.append(DeviceOf(gettext("Serial line"), "16550A", EMULATED, gettext("the console"), may_change=False))
    found.append(DeviceOf(gettext("Random source"), "virtio-rng", PARAVIRTUAL, may_change=False))
    return found


def past_nics(vm: VM) -> list[DeviceOf]:
    """The NICs that no port of Open vSwitch stands for: a device that is handed over, or one of the kernel's."""
    known = [(port.mac, chain_from_json(port.device_chain).bypass) for port in vm.ports.all()]
    known += [(nic.mac, nic.past) for nic in vm.foreign_nics]
    return [
        DeviceOf(
            (gettext("NIC %(name)s") % {"name": mac}).strip(), past.label, PASSTHROUGH if past.is_handed_over else PARAVIRTUAL, past.truth, may_change=False
        )
        for mac, past in known
        if past is not None
    ]  # fmt: skip


def _disks(vm: VM) -> list[DeviceOf]:
    bus = vm.disk_bus
    found = [DeviceOf(gettext("Disk"), bus, _kind("disk_bus", bus), coming=vm.next_disk_bus)]
    found += [
        DeviceOf(
            gettext("Volume %(name)s") % {"name": one.name},
            one.bus,
            _kind("disk_bus", one.bus),
            coming=vm.next_disk_bus if one.bus == "sata" else "",
        )
        for one in vm.volumes.all()
    ]
    return found


def _kind(field: str, model: str) -> str:
    return KINDS.get((field, model), EMULATED)


def reports_of(vms: QuerySet[VM], with_past: bool = False) -> list[Report]:
    """The VMs of these that have a disk, a volume or a NIC which is emulated, and `with_past` those with a NIC past Open vSwitch."""
    slow = (
        Q(disk_bus="sata")
        | Q(pk__in=_with("ports", "model", "nic_model"))
        | Q(pk__in=_with("volumes", "bus", "disk_bus"))
    )
    if with_past:
        slow |= ~Q(adopted={}) | Q(ports__device_chain__bypass_kind__gt="")
    rows = (
        vms.filter(pk__in=vms.filter(slow).values("pk"))
        .exclude(state="deleted")
        .select_related("team", "host", "image", "rescue_image")
    )
    rows = rows.prefetch_related("ports", "volumes").order_by("team__name", "name")
    found = [Report(vm, tuple(one for one in devices_made_of(vm) if one.is_slow), tuple(past_nics(vm))) for vm in rows]
    return [report for report in found if report.devices or report.past]


def _with(relation: str, column: str, field: str) -> QuerySet[VM, int]:
    paravirtual = [choice.value for choice in CHOICES[field] if choice.note == PARAVIRTUAL]
    has = Q(**{f"{relation}__isnull": False}) & ~Q(**{f"{relation}__{column}__in": paravirtual})
    return VM.objects.filter(has).values_list("pk", flat=True)


def warning_of(vm: VM) -> str:
    """What is to be known before the VM's devices are virtio's; nothing when its image brings the drivers."""
    if vm.image.family.has_virtio:
        return ""
    return gettext(
        "It is not known whether the guest of %(image)s has virtio drivers. Without them it does not find its disk and does not boot: install them first, or set the devices back here."
    ) % {"image": vm.image.name}


def report_as_json(report: Report) -> dict[str, Any]:
    """The VM and its emulated devices as the API shows them."""
    vm = report.vm
    return {
        "uuid": vm.uuid, "team": vm.team.slug, "name": vm.name, "state": vm.state, "host": vm.host.name if vm.host else None,
        "image": vm.image.slug, "warning": warning_of(vm),
        "devices": [{"name": one.name, "model": one.model, "kind": one.kind, "next_start": one.coming} for one in report.devices],
    }  # fmt: skip


def reports_as_csv(reports: Iterable[Report]) -> str:
    """A line per device, with a header."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(HEADER)
    for report in reports:
        vm = report.vm
        about = (vm.team.slug, vm.name, vm.state, vm.host.name if vm.host else "", vm.image.slug)
        told = (*report.devices, *report.past)
        writer.writerows((*about, one.name, one.model, one.coming, one.kind) for one in told)
    return out.getvalue()


def set_devices(vm: VM, user: User, disk_bus: str, nic_model: str) -> Operation:
    """The operation that gives the VM's disk that bus and its NICs that model; none: as they are. Raises VMProblem."""
    with transaction.atomic():
        fresh = locked_vm(vm, "devices")
        if errors := _errors(fresh, disk_bus, nic_model):
            raise VMProblem(errors)
        VM.objects.filter(pk=fresh.pk).update(next_disk_bus=disk_bus, next_nic_model=nic_model)
        before = {"next_disk_bus": fresh.next_disk_bus, "next_nic_model": fresh.next_nic_model}
        asked = {"disk_bus": disk_bus, "nic_model": nic_model, "before": before}
        operation = start_operation("vm.devices", fresh, user, asked)
        vm_changed(fresh)
        return operation


def _errors(vm: VM, disk_bus: str, nic_model: str) -> dict[str, list[str]]:
    errors: dict[str, list[str]] = {}
    for field, given in (("disk_bus", disk_bus), ("nic_model", nic_model)):
        allowed = [choice.value for choice in CHOICES[field]]
        if given and given not in allowed:
            errors[field] = [
                gettext("“%(given)s” was given; %(allowed)s are allowed")
                % {"given": given[:20], "allowed": ", ".join(allowed)}
            ]
    if not disk_bus and not nic_model:
        errors["disk_bus"] = [gettext("nothing was given: a bus, a NIC model or both are wanted")]
    if vm.machine == "pc" and nic_model == "e1000e":
        errors["nic_model"] = [gettext("e1000e is a PCI Express device, and machine pc has none: choose virtio")]
    elif vm.host and (none := switch_refusal(nic_model, vm.host.name, vm.host.datapath_type)):
        errors["nic_model"] = [none]
    if vm.snapshots.filter(has_memory=True).exists():
        errors["vm"] = [
            gettext("%(vm)s has snapshots of its memory, which know its present devices: delete them first")
            % {"vm": vm.name}
        ]
    return errors
