"""Every saga unwinds from every stage, each stage runs twice unharmed, and a kill anywhere ends as the VM or nothing."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from portal.compute.models import VM, VMState
from portal.networks.models import FixedAddress, Port
from portal.operations.models import Operation, OperationState
from portal.operations.stages import STAGES
from tasks.sagas.engine import StageError, _machine, claim, due_operations, release_dead_workers, run_operation
from tasks.sagas.table import SAGAS

CREATE = [name for name, _ in STAGES["vm.create"]]
DELETE = [name for name, _ in STAGES["vm.delete"]]


class Killed(BaseException):
    """The worker's process ended here."""


def with_stage(kind, name, change):
    stages = tuple(replace(s, do=change(s.do)) if s.name == name else s for s in SAGAS[kind])
    return {**SAGAS, kind: stages}


def cut(kind, name, problem, when="after"):
    """The sagas, of which that stage ends in `problem`, before its work or after it."""

    def change(do):
        def end(context):
            if when == "after":
                do(context)
            raise problem

        return end

    return with_stage(kind, name, change)


def run(world, operation, sagas=SAGAS):
    run_operation(operation.pk, sagas, lambda _host: world.fake)
    operation.refresh_from_db()
    return operation


def expire_lease(operation):
    Operation.objects.filter(pk=operation.pk).update(lease_until=timezone.now() - timedelta(seconds=1))


def power_off(world, vm):
    """The guest has powered off by itself, and the row says so."""
    world.fake.destroy(vm.domain)
    VM.objects.filter(pk=vm.pk).update(state=VMState.STOPPED)


def fail_in(world, operation, name, when="after"):
    return run(world, operation, cut(operation.kind, name, StageError("the disk is full"), when))


def die(world, operation, sagas=SAGAS):
    """Its worker is killed under way, and its lease runs out."""
    with pytest.raises(Killed):
        run(world, operation, sagas)
    expire_lease(operation)


def die_after(world, operation, name):
    die(world, operation, cut(operation.kind, name, Killed()))


def assert_nothing_left(world):
    assert not VM.objects.exists() and not Port.objects.exists() and not FixedAddress.objects.exists()
    assert not world.fake.definitions and not world.fake.running
    assert list(world.folder.iterdir()) == []


@pytest.mark.parametrize("kind", list(STAGES))
def test_a_saga_has_the_stages_that_the_pages_list(kind):
    assert [stage.name for stage in SAGAS[kind]] == [name for name, _ in STAGES[kind]]


def test_a_create_ends_as_a_running_vm(world):
    vm = world.make_vm()
    operation = run(world, world.ask("vm.create", vm))
    vm.refresh_from_db()
    assert (operation.state, operation.error, vm.state) == (OperationState.DONE, "", VMState.RUNNING)
    assert vm.ports.get().tap == "vnet0" and vm.domain in world.fake.running
    assert {stage.state for stage in operation.stages.all()} == {"done"}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", CREATE)
def test_a_create_that_fails_in_a_stage_leaves_nothing(world, name, when):
    operation = fail_in(world, world.ask("vm.create", world.make_vm()), name, when)
    assert (operation.state, operation.error) == (OperationState.FAILED, "the disk is full")
    assert_nothing_left(world)


def test_what_a_stage_has_done_stands_though_it_took_long(world):
    late = tuple(replace(stage, deadline_s=-1) if stage.name == "wire" else stage for stage in SAGAS["vm.create"])
    sagas = {**SAGAS, "vm.create": late}
    assert run(world, world.ask("vm.create", world.make_vm()), sagas).state == OperationState.DONE


@pytest.mark.parametrize("name", CREATE)
def test_a_create_whose_worker_is_killed_is_taken_up_and_ends_as_the_vm(world, name):
    operation = world.ask("vm.create", world.make_vm())
    with pytest.raises(Killed):
        run(world, operation, cut("vm.create", name, Killed()))
    run(world, operation)
    assert operation.state == OperationState.RUNNING, "the dead worker's lease still stands"
    expire_lease(operation)
    assert run(world, operation).state == OperationState.DONE
    assert VM.objects.get().state == VMState.RUNNING


def test_a_dead_workers_operation_is_due_at_once_and_a_living_ones_is_not(world):
    living, dead = (world.ask("vm.create", world.make_vm(name)) for name in ("web-1", "web-2"))
    ended = subprocess.Popen(["true"])
    ended.wait()
    mine = f"{_machine()}{os.getpid()}:00"
    for operation, worker in ((living, mine), (dead, f"{_machine()}{ended.pid}:00")):
        claim(operation.pk, worker)
    assert due_operations() == []
    release_dead_workers()
    assert due_operations() == [dead.pk]


@pytest.mark.parametrize("name", CREATE[:-1])
def test_an_undo_that_is_killed_is_taken_up_and_ends_as_nothing(world, name):
    def kill(undo):
        def act(context):
            undo(context)
            raise Killed

        return act

    def fail(_context):
        raise StageError("no flows")

    stages = tuple(
        replace(s, do=fail) if s.name == "wire" else replace(s, undo=kill(s.undo)) if s.name == name else s
        for s in SAGAS["vm.create"]
    )
    operation = world.ask("vm.create", world.make_vm())
    with pytest.raises(Killed):
        run(world, operation, {"vm.create": stages})
    expire_lease(operation)
    assert run(world, operation).state == OperationState.FAILED
    assert_nothing_left(world)


@pytest.mark.parametrize(("kind", "name"), [*(("vm.create", n) for n in CREATE), *(("vm.delete", n) for n in DELETE)])
def test_each_stage_runs_twice_unharmed(world, kind, name):
    vm = world.make_vm()
    if kind == "vm.delete":
        run(world, world.ask("vm.create", vm))

    def change(do):
        return lambda context: (do(context), do(context))[1]

    operation = run(world, world.ask(kind, vm), with_stage(kind, name, change))
    assert operation.state == OperationState.DONE, operation.error


def test_a_delete_leaves_nothing(world):
    vm = world.make_vm()
    run(world, world.ask("vm.create", vm))
    assert run(world, world.ask("vm.delete", vm)).state == OperationState.DONE
    assert_nothing_left(world)


def test_a_delete_works_when_the_host_lost_the_domain(world):
    vm = world.make_vm()
    run(world, world.ask("vm.create", vm))
    world.fake.definitions.clear()
    world.fake.running.clear()
    assert run(world, world.ask("vm.delete", vm)).state == OperationState.DONE
    assert_nothing_left(world)


def test_a_delete_from_a_host_that_is_down_says_so_and_can_be_asked_again(world):
    vm = world.make_vm()
    run(world, world.ask("vm.create", vm))
    world.fake.is_down = True
    operation = run(world, world.ask("vm.delete", vm))
    vm.refresh_from_db()
    assert operation.state == OperationState.FAILED and "does not answer" in operation.error
    assert vm.state == VMState.UNKNOWN and "Delete it again" in vm.state_reason
    world.fake.is_down = False
    assert run(world, world.ask("vm.delete", vm)).state == OperationState.DONE


def test_an_operation_that_is_held_cannot_be_claimed_again(world):
    operation = world.ask("vm.create", world.make_vm())
    assert claim(operation.pk, "one") is not None
    assert claim(operation.pk, "two") is None


def test_a_delete_waits_for_the_create_before_it(world):
    vm = world.make_vm()
    world.ask("vm.create", vm)
    assert run(world, world.ask("vm.delete", vm)).state == OperationState.QUEUED


def test_a_create_without_a_fitting_host_names_each_host_and_its_reason(world):
    world.host.ram_mib = 100
    world.host.save()
    operation = run(world, world.ask("vm.create", world.make_vm()))
    assert "hv1 has 100 MiB memory left of 100, 128 MiB are needed" in operation.error
    assert_nothing_left(world)
