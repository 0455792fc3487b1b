"""Other devices of a VM: taken by one that is off at once, by one that runs at its next start."""

from __future__ import annotations

from django.db import transaction

from portal.compute.models import VM
from portal.networks.intent import bump_generation, only_ports
from portal.volumes.quota import free_target
from tasks.hypervisor.driver import DomainState
from tasks.sagas import vm_create
from tasks.sagas.engine import Context, Saga, Stage
from tasks.sagas.rows import operation_params, placed, placed_or_none, update_vm, vm_of


def change(context: Context) -> str:
    vm, hypervisor, _ = placed(context)
    if hypervisor.state(vm.domain) in (DomainState.RUNNING, DomainState.PAUSED):
        return "it runs: from its next start on"
    words = take_devices(vm)
    vm_create.define(context)
    return words


def take_devices(vm: VM) -> str:
    """The VM's rows have the devices that were asked for; SATA volumes go along with the disk. In words what changed."""
    bus, model = vm.next_disk_bus, vm.next_nic_model
    if not bus and not model:
        return ""
    with transaction.atomic():
        bump_generation(only_ports(vm.ports.values_list("id", flat=True)))
        if model:
            vm.ports.update(model=model)
        for volume in vm.volumes.filter(bus="sata") if bus not in ("", "sata") else ():
            volume.bus, volume.target = bus, free_target(vm, bus)
            volume.save(update_fields=["bus", "target"])
        update_vm(vm, disk_bus=bus or vm.disk_bus, next_disk_bus="", next_nic_model="")
    return ", ".join(filter(None, (f"disk on {bus}" if bus else "", f"NICs {model}" if model else "")))


def forget(context: Context) -> None:
    """A change that came to nothing is asked for no more; one that the rows have already stays, as a whole."""
    if placed_or_none(context):
        vm = vm_of(context)
        if vm.next_disk_bus or vm.next_nic_model:
            update_vm(vm, **operation_params(context)["before"])


def define_anew(context: Context) -> str:
    """A start's: with the devices that wait for it, unless the domain runs already."""
    vm, hypervisor, _ = placed(context)
    words = "" if hypervisor.state(vm.domain) in (DomainState.RUNNING, DomainState.PAUSED) else take_devices(vm)
    vm_create.define(context)
    return words or vm.domain


SAGAS: dict[str, Saga] = {"vm.devices": (Stage("define", change, forget),)}
