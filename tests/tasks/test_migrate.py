"""A VM to another host as a saga: from every stage it ends there, or here as it was, running, with its ports bound where it is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.utils import timezone

from portal.compute.models import VM, VMState
from portal.compute.moves import move_problems, request_move
from portal.compute.requests import VMProblem
from portal.hosts.models import Host
from portal.networks.models import Network, Port
from portal.operations.cancel import request_cancel
from portal.operations.models import Operation, OperationState
from portal.operations.stages import STAGES
from portal.topology.models import HostSeen
from tasks.hypervisor.disks import files_of
from tasks.hypervisor.driver import DomainState
from tasks.hypervisor.fake import FakeHypervisor
from tasks.sagas.engine import StageError, claim, run_operation
from tasks.sagas.table import SAGAS
from tests.tasks.test_changes import has_mark, mark
from tests.tasks.test_sagas import Killed, expire_lease, with_stage

NAMES = [name for name, _ in STAGES["vm.migrate"]]
SEEN = {"ovs_version": "3.1", "bridges": [{"name": "br-int"}, {"name": "br-ex"}]}


@pytest.fixture
def pair(world, tmp_path, monkeypatch):
    """hv1 with a VM that runs, and hv2, each with a folder of its own; ports are wired as soon as they are bound."""
    from tasks.sagas import vm_create

    monkeypatch.setattr("portal.operations.cancel.enqueue_operation", lambda _id: None)
    seen = {"ovs_seen_at": timezone.now(), "underlay_mtu": 1500, "libvirt_seen_at": timezone.now()}
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    Host.objects.filter(name="hv1").update(disks_dir=str(folders[0]), **seen)
    there = Host.objects.create(
        name="hv2", libvirt_uri="fake:", ovsdb="", ovs_rundir="", controller_target="", datapath_type="netdev",
        disks_dir=str(folders[1]), underlay_ip="192.0.2.12", vcpus=4, ram_mib=4096, **seen,
    )  # fmt: skip
    for host in Host.objects.all():
        HostSeen.objects.create(host=host, switch=SEEN)
    fakes = {"hv1": world.fake, "hv2": FakeHypervisor(on_start=world.fake.on_start)}
    waited = vm_create.await_wired

    def wired(context):
        Port.objects.filter(vm__uuid=context.operation.object_uuid).update(wired_at=timezone.now())
        return waited(context)

    monkeypatch.setattr(vm_create, "await_wired", wired)
    vm = world.make_vm()
    create = world.ask("vm.create", vm)
    VM.objects.filter(pk=vm.pk).update(wanted_host=Host.objects.get(name="hv1"))
    assert move(fakes, create).state == OperationState.DONE, create.error
    vm.refresh_from_db()
    mark(disk_on(vm, "hv1"), "its word")
    return fakes, vm, there


def move(fakes, operation, sagas=SAGAS):
    run_operation(operation.pk, sagas, lambda host: fakes[host.name])
    operation.refresh_from_db()
    return operation


def disk_on(vm, name):
    return files_of(Host.objects.get(name=name).disks_dir, vm.uuid).disk


def assert_is_on(fakes, vm, name, state=DomainState.RUNNING):
    """Row, ports, domain and files are on that host alone."""
    vm.refresh_from_db()
    other = {"hv1": "hv2", "hv2": "hv1"}[name]
    assert (vm.host.name, set(vm.ports.values_list("host__name", flat=True))) == (name, {name})
    assert fakes[name].state(vm.domain) is state and fakes[other].state(vm.domain) is DomainState.ABSENT
    assert disk_on(vm, name).exists() and not disk_on(vm, other).exists()
    assert not files_of(Host.objects.get(name=other).disks_dir, vm.uuid).seed.exists()
    assert vm.domain in fakes[name].definitions and str(disk_on(vm, name)) in fakes[name].definitions[vm.domain]


def test_a_vm_that_runs_moves_live_and_is_let_run_when_its_flows_are_there(pair):
    fakes, vm, there = pair
    operation = move(fakes, request_move(vm, None, there))
    assert operation.state == OperationState.DONE, operation.error
    assert_is_on(fakes, vm, "hv2")
    calls = fakes["hv2"].calls
    assert "resume" in calls and vm.state == VMState.RUNNING
    assert operation.params["placement"]["host"] == "hv2" and "from hv1 to hv2" in operation.stages.first().detail


def test_without_a_target_the_best_host_is_taken(pair):
    fakes, vm, _ = pair
    assert move(fakes, request_move(vm, None)).params["to"] == "hv2"


def test_a_paused_vm_stays_paused(pair):
    fakes, vm, there = pair
    fakes["hv1"].suspend(vm.domain)
    VM.objects.update(state=VMState.PAUSED)
    assert move(fakes, request_move(vm, None, there)).state == OperationState.DONE
    assert_is_on(fakes, vm, "hv2", DomainState.PAUSED)


def test_a_vm_that_is_off_moves_with_its_disk(pair):
    fakes, vm, there = pair
    fakes["hv1"].destroy(vm.domain)
    VM.objects.update(state=VMState.STOPPED)
    operation = move(fakes, request_move(vm, None, there))
    assert operation.state == OperationState.DONE, operation.error
    assert_is_on(fakes, vm, "hv2", DomainState.STOPPED)
    assert has_mark(disk_on(vm, "hv2"), "its word")


def test_a_look_at_the_old_host_in_between_does_not_last(pair):
    fakes, vm, there = pair
    fakes["hv1"].destroy(vm.domain)
    VM.objects.update(state=VMState.STOPPED)

    def change(do):
        def looked_at(context):
            VM.objects.update(state=VMState.UNKNOWN, state_reason="hv1 no longer has its domain")
            return do(context)

        return looked_at

    move(fakes, request_move(vm, None, there), with_stage("vm.migrate", "run", change))
    vm.refresh_from_db()
    assert (vm.state, vm.state_reason) == (VMState.STOPPED, "")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", NAMES)
def test_a_move_that_fails_in_a_stage_leaves_the_vm_running_on_one_host(pair, name, when):
    fakes, vm, there = pair

    def change(do):
        def fail(context):
            if when == "after":
                do(context)
            raise StageError("the wire broke")

        return fail

    operation = move(fakes, request_move(vm, None, there), with_stage("vm.migrate", name, change))
    assert operation.state == OperationState.FAILED
    vm.refresh_from_db()
    has_moved = (name, when) == ("move", "after") or name in ("run", "tidy")
    assert vm.host.name == ("hv2" if has_moved else "hv1")
    assert fakes[vm.host.name].state(vm.domain) is DomainState.RUNNING
    if not has_moved:
        assert_is_on(fakes, vm, "hv1")


@pytest.mark.parametrize("name", NAMES)
def test_a_move_whose_worker_is_killed_is_taken_up_and_ends_there(pair, name):
    fakes, vm, there = pair

    def change(do):
        def kill(context):
            do(context)
            raise Killed

        return kill

    operation = request_move(vm, None, there)
    with pytest.raises(Killed):
        move(fakes, operation, with_stage("vm.migrate", name, change))
    expire_lease(operation)
    assert move(fakes, operation).state == OperationState.DONE, operation.error
    assert_is_on(fakes, vm, "hv2")


def test_a_migration_that_libvirt_gives_up_leaves_the_vm_here_with_its_ports(pair):
    fakes, vm, there = pair
    fakes["hv1"].moves_fail = "unable to connect to 192.0.2.12"
    operation = move(fakes, request_move(vm, None, there))
    assert operation.state == OperationState.FAILED and "unable to connect" in operation.error
    assert_is_on(fakes, vm, "hv1")


def test_a_migration_that_is_cancelled_ends_and_the_vm_runs_on_here(pair, world):
    fakes, vm, there = pair
    fakes["hv1"].looks_of_moves = 5
    operation = request_move(vm, None, there)

    def change(do):
        def act(context):
            request_cancel(operation, vm.created_by)
            return do(context)

        return act

    assert move(fakes, operation, with_stage("vm.migrate", "move", change)).state == OperationState.CANCELLED
    assert_is_on(fakes, vm, "hv1")


@pytest.mark.parametrize(("columns", "words"), [
    ({"in_maintenance": True}, "hv2 is in maintenance"), ({"accelerator": "kvm"}, "runs guests otherwise"),
    ({"datapath_type": "system"}, "datapath is system, here netdev"), ({"underlay_mtu": 1450}, "carries 1450 bytes; net needs 1500"),
    ({"libvirt_error": "refused"}, "hv2 is down: refused"), ({"ovs_error": "lost"}, "Open vSwitch is not connected: lost"),
    ({"enabled": False}, "takes no new VMs"),
])  # fmt: skip
def test_what_is_missing_is_named_before_anything_is_done(pair, columns, words):
    _, vm, there = pair
    Host.objects.filter(pk=there.pk).update(**columns)
    there.refresh_from_db()
    assert words in "; ".join(move_problems(vm, there, Network.objects.all()))
    with pytest.raises(VMProblem, match="web-1 cannot move"):
        request_move(vm, None, there)
    assert not Operation.objects.filter(kind="vm.migrate").exists()


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_a_vm_in_rescue_stays_for_its_rescue_disk_does_not_go_along(pair, state):
    _, vm, there = pair
    VM.objects.filter(pk=vm.pk).update(rescue_image=vm.image_id, state=state)
    vm.refresh_from_db()
    assert "it is in rescue: end that first" in move_problems(vm, there, Network.objects.all())


def test_a_bridge_that_is_missing_there_is_named(pair):
    _, vm, there = pair
    HostSeen.objects.filter(host=there).update(switch={"ovs_version": "3.1", "bridges": []})
    assert "hv2 has no bridge br-int" in "; ".join(move_problems(vm, there, []))


def test_only_so_many_leave_a_host_at_once(pair, world):
    fakes, vm, there = pair
    first = request_move(vm, None, there)
    others = []
    for number in range(2, 4):
        other = world.make_vm(f"web-{number}")
        assert move(fakes, world.ask("vm.create", other)).state == OperationState.DONE
        VM.objects.filter(pk=other.pk).update(host=Host.objects.get(name="hv1"))
        others.append(request_move(other, None, there))
    assert claim(first.pk, "one") is not None and claim(others[0].pk, "two") is not None
    assert claim(others[1].pk, "three") is None


def test_each_stage_runs_twice_unharmed(pair):
    fakes, vm, there = pair
    twice = tuple(replace(s, do=lambda c, do=s.do: (do(c), do(c))[1]) for s in SAGAS["vm.migrate"])
    operation = move(fakes, request_move(vm, None, there), {**SAGAS, "vm.migrate": twice})
    assert operation.state == OperationState.DONE, operation.error
    assert_is_on(fakes, vm, "hv2")
