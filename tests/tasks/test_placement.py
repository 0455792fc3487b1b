"""Where a VM is put, and why: memory, vCPUs, its group's others, what the host offers, maintenance; told whole."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from portal.compute.models import VM, VMState
from portal.hosts.models import Host
from portal.operations.models import Operation, OperationState
from tasks.sagas.engine import StageError
from tasks.sagas.placement import Wish, choose_host
from tests.tasks.test_sagas import run


@pytest.fixture
def hosts(world):
    for number in (2, 3):
        Host.objects.create(
            name=f"hv{number}", libvirt_uri="fake:", ovsdb="", ovs_rundir="", controller_target="",
            disks_dir=str(world.folder), underlay_ip=f"192.0.2.{10 + number}", vcpus=4, ram_mib=4096,
            libvirt_seen_at=timezone.now(),
        )  # fmt: skip
    return {host.name: host for host in Host.objects.all()}


def choose(**wish):
    with transaction.atomic():
        return choose_host(Wish(**({"ram_mib": 128} | wish)))


def put(world, name, host, **columns):
    vm = world.make_vm(name)
    VM.objects.filter(pk=vm.pk).update(host=host, **({"state": VMState.RUNNING} | columns))
    return vm


def test_the_host_with_most_memory_free_is_taken_and_told_why(world, hosts):
    put(world, "a", hosts["hv1"]), put(world, "b", hosts["hv2"], ram_mib=64)
    choice = choose()
    assert choice.host == hosts["hv3"] and "most memory free (4096 MiB) of 3 that fit" in choice.words
    assert [seat.ram_left_mib for seat in choice.seats] == [3968, 4032, 4096]


def test_vms_of_a_group_lie_apart_as_long_as_there_are_hosts(world, hosts):
    put(world, "a", hosts["hv3"], apart="web"), put(world, "b", hosts["hv1"], ram_mib=2048)
    put(world, "c", hosts["hv2"], ram_mib=1024)
    asked = {"apart": "web", "team_id": world.team.pk}
    assert choose(**asked).host == hosts["hv2"]
    assert "no VM of group web on it" in choose(**asked).because
    for name in ("hv1", "hv2"):
        put(world, f"d-{name}", hosts[name], apart="web")
    assert choose(**asked).because.startswith("fewest VMs of group web (1)")
    with pytest.raises(StageError, match="hv1 has a VM of group web, and they must be apart; hv2 has"):
        choose(apart_must=True, **asked)
    VM.objects.filter(name="a").update(state=VMState.DELETED)
    assert choose(apart_must=True, **asked).host == hosts["hv3"]


@pytest.mark.parametrize(("columns", "words"), [
    ({"in_maintenance": True, "maintenance_note": "new disks"}, "is in maintenance (new disks)"),
    ({"enabled": False}, "takes no new VMs"),
    ({"libvirt_seen_at": timezone.now() - timedelta(minutes=5)}, "is down"),
    ({"ram_mib": 100}, "has 100 MiB memory left of 100, 128 MiB are needed"),
    ({"capabilities": {"cpu_models": ["qemu64"]}}, "offers no CPU model Nehalem"),
    ({"capabilities": {"disk_buses": ["virtio"]}}, "offers no disk bus sata"),
    ({"datapath_type": "netdev"}, "has a switch in user space, which makes no checksums for a NIC of model vmxnet3"),
])  # fmt: skip
def test_a_host_that_does_not_fit_is_passed_over_with_the_reason(world, hosts, columns, words):
    Host.objects.exclude(name="hv1").update(enabled=False)
    Host.objects.filter(name="hv1").update(**columns)
    with pytest.raises(StageError) as refused:
        choose(cpu_model="Nehalem", disk_bus="sata", nic_models=frozenset({"virtio", "vmxnet3"}))
    assert f"hv1 {words}" in str(refused.value)


def test_vcpus_are_given_so_many_times_and_no_more(world, hosts, settings):
    settings.VCPUS_PER_CPU = 2
    Host.objects.exclude(name="hv1").update(enabled=False)
    put(world, "a", hosts["hv1"], vcpus=7)
    assert choose(vcpus=1).host == hosts["hv1"]
    with pytest.raises(StageError, match="has given 7 of 8 vCPUs"):
        choose(vcpus=2)


def test_a_host_that_was_asked_for_by_name_is_taken_or_the_reason_told(world, hosts):
    assert choose(host="hv2").because == "asked for by name"
    Host.objects.filter(name="hv2").update(ram_mib=1)
    with pytest.raises(StageError, match="hv1 is not hv2"):
        choose(host="hv2")


def test_the_operation_keeps_the_reason_with_each_host(world, hosts):
    operation = run(world, world.ask("vm.create", world.make_vm()))
    assert operation.state == OperationState.DONE
    kept = Operation.objects.get(pk=operation.pk).params["placement"]
    assert kept["host"] == "hv1" and [one["name"] for one in kept["hosts"]] == ["hv1", "hv2", "hv3"]
    assert operation.stages.get(name="place").detail == f"hv1: {kept['because']}"
