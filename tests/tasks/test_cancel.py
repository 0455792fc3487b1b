"""Cancelling: whatever runs ends between two stages or in a wait, is undone whole, and says who asked."""

from __future__ import annotations

import threading

import pytest

from portal.compute.models import VM, VMState
from portal.operations.cancel import OperationProblem, request_cancel
from portal.operations.models import Operation, OperationState
from portal.operations.stages import STAGES
from tasks.sagas import vm_life
from tests.tasks.test_sagas import assert_nothing_left, run, with_stage

CREATE = [name for name, _ in STAGES["vm.create"]]


@pytest.fixture(autouse=True)
def no_broker(monkeypatch):
    monkeypatch.setattr("portal.operations.cancel.enqueue_operation", lambda _id: None)


def cancelling(operation, user):
    """A stage in which somebody asks to cancel."""

    def change(do):
        def act(context):
            if Operation.objects.get(pk=operation.pk).cancel_asked_at is None:
                request_cancel(operation, user)
            return do(context)

        return act

    return change


@pytest.mark.parametrize("name", CREATE)
def test_a_create_that_is_cancelled_in_a_stage_leaves_nothing_and_says_who_asked(world, name):
    vm = world.make_vm()
    operation = world.ask("vm.create", vm)
    user = operation.created_by
    run(world, operation, with_stage("vm.create", name, cancelling(operation, user)))
    if name == CREATE[-1] and operation.state == OperationState.DONE:
        return  # wired at once: it came too late, and the VM is whole
    assert (operation.state, operation.error) == (OperationState.CANCELLED, "Cancelled by alice.")
    assert_nothing_left(world)
    states = {stage.name: stage.state for stage in operation.stages.all()}
    assert list(states.values()).count("cancelled") == 1 and "failed" not in states.values()
    assert operation.log[-1][1] == "cancelled" and any(
        "cancelled (Cancelled by alice.)" in line[1] for line in operation.log
    )


def test_one_that_no_worker_has_begun_is_undone_by_the_first_that_takes_it(world):
    operation = world.ask("vm.create", world.make_vm())
    request_cancel(operation, operation.created_by)
    assert run(world, operation).state == OperationState.CANCELLED
    assert world.fake.calls.count("define") == 0
    assert_nothing_left(world)


def test_flows_that_never_come_are_waited_for_only_until_somebody_cancels(world):
    world.fake.on_start = None
    operation = world.ask("vm.create", world.make_vm())
    user = operation.created_by
    begun = with_stage("vm.create", "start", cancelling(operation, user))
    assert run(world, operation, begun).state == OperationState.CANCELLED
    assert_nothing_left(world)


def test_a_shutdown_that_the_guest_ignores_ends_when_it_is_cancelled_and_the_vm_runs_on(world):
    vm = world.make_vm()
    run(world, world.ask("vm.create", vm))
    world.fake.is_deaf = True
    operation = world.ask("vm.stop", vm)
    pressed = world.fake.shutdown

    def press(domain):
        pressed(domain)
        if Operation.objects.get(pk=operation.pk).cancel_asked_at is None:
            request_cancel(Operation.objects.get(pk=operation.pk), operation.created_by)

    world.fake.shutdown = press
    assert vm_life.SHUTDOWN_DEADLINE_S > 20
    assert run(world, operation).state == OperationState.CANCELLED
    vm.refresh_from_db()
    assert vm.state == VMState.RUNNING and threading.active_count() < 50


def test_a_delete_that_runs_can_not_be_cancelled_but_one_that_waits_can(world):
    vm = world.make_vm()
    run(world, world.ask("vm.create", vm))
    VM.objects.update(state=VMState.DELETING)
    operation = world.ask("vm.delete", vm)
    Operation.objects.filter(pk=operation.pk).update(state=OperationState.RUNNING)
    operation.refresh_from_db()
    with pytest.raises(OperationProblem, match="cannot be had back"):
        request_cancel(operation, operation.created_by)
    Operation.objects.filter(pk=operation.pk).update(state=OperationState.QUEUED)
    request_cancel(operation, operation.created_by)
    assert run(world, operation).state == OperationState.CANCELLED
    vm.refresh_from_db()
    assert vm.domain in world.fake.running and "Cancelled by alice" in vm.state_reason
    assert "Delete it again" not in vm.state_reason


def test_what_a_retry_needs_is_forgotten_when_the_operation_is_done(world):
    operation = world.ask("vm.create", world.make_vm())
    Operation.objects.filter(pk=operation.pk).update(params={"asked": {"user_data": "a secret"}, "more": 1})
    kept = run(world, operation).params
    assert "asked" not in kept and kept["more"] == 1
