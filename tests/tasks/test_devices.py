"""Other devices reach a VM that is off at once, and one that runs at its next start, its SATA volumes with its disk."""

from __future__ import annotations

from typing import Any

import pytest
from lxml import etree

from portal.compute.devices import set_devices
from portal.compute.models import VM
from portal.operations.models import OperationState
from portal.volumes.models import Volume, VolumeState
from tasks.pools import look_at_pools
from tasks.sagas.engine import StageError
from tests.tasks.test_sagas import Killed, expire_lease, power_off, run, with_stage


@pytest.fixture
def vm(world: Any) -> VM:
    """A running VM with a SATA disk, a SATA volume and an emulated NIC."""
    look_at_pools(lambda _host: world.fake)
    vm = world.make_vm()
    VM.objects.update(disk_bus="sata")
    vm.ports.update(model="e1000e")
    assert run(world, world.ask("vm.create", vm)).state == OperationState.DONE
    Volume.objects.create(
        team=world.team, name="data", size_gib=1, bus="sata", target="sdd", path="/d", vm=vm, state=VolumeState.ATTACHED,
        pool=world.host.pools.first(),
    )  # fmt: skip
    vm.refresh_from_db()
    return vm


def ask(vm: VM) -> Any:
    return set_devices(vm, vm.created_by, "virtio", "virtio")


def of_domain(world: Any, vm: VM) -> tuple[list[str], list[str]]:
    """The disks' targets with their buses, and the NICs' models, as the definition has them."""
    root = etree.fromstring(world.fake.definitions[vm.domain])
    targets = [f"{one.get('dev')} {one.get('bus')}" for one in root.iterfind("devices/disk/target")]
    return targets, [str(one.get("model") or one.get("type")) for one in root.iterfind("devices/interface/model")]


ALL_VIRTIO = (["vda virtio", "vdb virtio", "vdd virtio"], ["virtio"])


def test_a_running_vm_keeps_its_devices_until_it_is_started_anew(world, vm) -> None:
    operation = run(world, ask(vm))
    assert operation.state == OperationState.DONE
    assert operation.stages.get().detail == "it runs: from its next start on"
    vm.refresh_from_db()
    assert (vm.disk_bus, vm.next_disk_bus) == ("sata", "virtio")
    power_off(world, vm)
    started = run(world, world.ask("vm.start", vm))
    assert started.state == OperationState.DONE, started.error
    vm.refresh_from_db()
    assert (vm.disk_bus, vm.next_disk_bus, vm.next_nic_model, vm.ports.get().model) == ("virtio", "", "", "virtio")
    assert of_domain(world, vm) == ALL_VIRTIO and vm.pending == ""


def test_a_vm_that_is_off_has_them_at_once(world, vm) -> None:
    power_off(world, vm)
    operation = run(world, ask(vm))
    assert (operation.state, operation.stages.get().detail) == (OperationState.DONE, "disk on virtio, NICs virtio")
    assert of_domain(world, vm) == ALL_VIRTIO


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_change_that_fails_leaves_old_devices_or_new_ones_and_no_wish(world, vm, when) -> None:
    def change(do: Any) -> Any:
        def fail(context: Any) -> None:
            if when == "after":
                do(context)
            raise StageError("the disk is full")

        return fail

    power_off(world, vm)
    operation = run(world, ask(vm), with_stage("vm.devices", "define", change))
    assert operation.state == OperationState.FAILED
    vm.refresh_from_db()
    assert (vm.next_disk_bus, vm.next_nic_model) == ("", "")
    assert vm.disk_bus == ("virtio" if when == "after" else "sata")
    if when == "after":
        assert of_domain(world, vm) == ALL_VIRTIO


def test_a_change_whose_worker_is_killed_runs_again_and_ends_as_asked(world, vm) -> None:
    def change(do: Any) -> Any:
        def kill(context: Any) -> None:
            do(context)
            raise Killed

        return kill

    power_off(world, vm)
    operation = ask(vm)
    with pytest.raises(Killed):
        run(world, operation, with_stage("vm.devices", "define", change))
    expire_lease(operation)
    assert run(world, operation).state == OperationState.DONE
    assert of_domain(world, vm) == ALL_VIRTIO
