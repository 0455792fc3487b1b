"""NICs added, removed and changed as sagas: from every stage they end as asked or as it was; a deaf guest keeps its NIC."""

from __future__ import annotations

import pytest
from django.utils import timezone

from portal.compute.models import VMState
from portal.compute.nics import move_nic
from portal.networks.ipam import allocate_port
from portal.networks.models import FixedAddress, Network, Port, Subnet
from portal.operations.models import Operation, OperationState
from portal.operations.stages import STAGES
from tasks.sagas import vm_nics
from tests.tasks.test_sagas import die_after, fail_in, power_off, run

KINDS = ("vm.nic_add", "vm.nic_remove", "vm.nic_model", "vm.nic_network")
STAGES_OF_ALL = [(kind, name) for kind in KINDS for name, _ in STAGES[kind]]


def ready(world, vm, kind):
    """The operation and its port, the rows being as the request leaves them."""
    first = vm.ports.get()
    port, before = first, {}
    if kind in ("vm.nic_add", "vm.nic_remove"):
        port = allocate_port(Network.objects.get(), name="web-1-2", vm=vm)
        Port.objects.filter(pk=port.pk).update(host=vm.host)
    if kind == "vm.nic_remove":
        asked = world.ask("vm.nic_add", vm)
        Operation.objects.filter(pk=asked.pk).update(params={"port": str(port.uuid)})
        assert run(world, asked).state == OperationState.DONE
    if kind == "vm.nic_model":
        before = {"model": "virtio"}
        Port.objects.filter(pk=port.pk).update(model="e1000e")
    if kind == "vm.nic_network":
        asked = move_nic(vm, None, port, back_of(world))
        Port.objects.filter(pk=port.pk).update(wired_at=timezone.now())
        return asked, port
    operation = world.ask(kind, vm)
    Operation.objects.filter(pk=operation.pk).update(params={"port": str(port.uuid), "before": before})
    return operation, port


def back_of(world):
    """Another network of the team."""
    network = Network.objects.create(team=world.team, name="back", vni=4098, router_mac="02:00:00:00:00:02")
    Subnet.objects.create(
        network=network, cidr="10.1.0.0/24", gateway="10.1.0.1", pool_start="10.1.0.10", pool_end="10.1.0.99"
    )
    return network


def plugged(world, vm):
    return {nic.interface_id: nic.model for nic in world.fake.running[vm.domain]}


def defined(world, vm):
    return {
        str(port.uuid): port.model for port in vm.ports.all() if str(port.uuid) in world.fake.definitions[vm.domain]
    }


def on_network(port):
    """The NIC's network; "net" for one that is gone."""
    return Port.objects.filter(pk=port.pk).values_list("network__name", flat=True).first() or "net"


def assert_true(world, vm):
    """What is plugged, defined and in the rows is the same."""
    rows = {str(port.uuid): port.model for port in vm.ports.all()}
    assert plugged(world, vm) == defined(world, vm) == rows
    assert world.fake.definitions[vm.domain].count("<interface ") == len(rows)
    assert FixedAddress.objects.count() == len(rows)
    return rows


@pytest.mark.parametrize(("kind", "name"), STAGES_OF_ALL)
def test_a_change_whose_worker_is_killed_runs_that_stage_again_and_ends_as_asked(world, vm, kind, name):
    operation, port = ready(world, vm, kind)
    die_after(world, operation, name)
    assert run(world, operation).state == OperationState.DONE, operation.error
    rows = assert_true(world, vm)
    assert len(rows) == (2 if kind == "vm.nic_add" else 1)
    assert rows.get(str(port.uuid)) == {"vm.nic_remove": None, "vm.nic_model": "e1000e"}.get(kind, "virtio")
    assert on_network(port) == ("back" if kind == "vm.nic_network" else "net")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("kind", "name"), STAGES_OF_ALL)
def test_a_change_that_fails_in_a_stage_leaves_the_nics_as_they_were(world, vm, kind, name, when):
    operation, port = ready(world, vm, kind)
    assert fail_in(world, operation, name, when).state == OperationState.FAILED
    rows = assert_true(world, vm)
    gone = (kind, name, when) == ("vm.nic_remove", "release", "after")
    assert len(rows) == (2 if kind == "vm.nic_remove" and not gone else 1)
    assert rows.get(str(port.uuid)) == (None if kind == "vm.nic_add" or gone else "virtio")
    vm.refresh_from_db()
    assert vm.state == VMState.RUNNING
    first = vm.ports.first()
    assert [row.address for row in first.addresses.all()] == ["10.0.0.10"]
    assert on_network(first) == "net" and (kind != "vm.nic_network" or first.mac == port.mac)
    assert not Port.objects.filter(vm=None).exists()


def test_a_guest_that_does_not_let_go_keeps_its_nic_and_the_words_say_what_to_do(world, vm, monkeypatch):
    monkeypatch.setattr(vm_nics, "LET_GO_S", 0.3)
    operation, port = ready(world, vm, "vm.nic_remove")
    world.fake.is_deaf = True
    assert run(world, operation).state == OperationState.FAILED and "shut the VM down first" in operation.error
    assert str(port.uuid) in assert_true(world, vm)


@pytest.mark.parametrize("kind", KINDS)
def test_a_vm_that_is_off_has_it_in_its_definition(world, vm, kind):
    operation, port = ready(world, vm, kind)
    power_off(world, vm)
    assert run(world, operation).state == OperationState.DONE, operation.error
    assert (str(port.uuid) in defined(world, vm)) is (kind != "vm.nic_remove")
