"""Power actions as sagas over a fake hypervisor: they end as asked, twice is once, and what can't be done says so."""

from __future__ import annotations

import pytest

from portal.compute.actions import ACTIONS
from portal.compute.models import VM, VMState
from portal.networks.models import Port
from portal.operations.models import Operation, OperationState
from portal.operations.stages import STAGES
from tasks.collector import record_states
from tasks.hypervisor.driver import DomainState
from tasks.sagas import vm_life
from tasks.sagas.engine import StageError, run_operation
from tasks.sagas.table import SAGAS
from tests.tasks.test_sagas import run, with_stage

ENDS = {
    "start": (VMState.STOPPED, VMState.RUNNING),
    "stop": (VMState.RUNNING, VMState.STOPPED),
    "force_off": (VMState.RUNNING, VMState.STOPPED),
    "reboot": (VMState.RUNNING, VMState.RUNNING),
    "reset": (VMState.RUNNING, VMState.RUNNING),
    "suspend": (VMState.RUNNING, VMState.PAUSED),
    "resume": (VMState.PAUSED, VMState.RUNNING),
}


def bring_to(world, vm, state):
    if state == VMState.STOPPED:
        world.fake.destroy(vm.domain)
    if state == VMState.PAUSED:
        world.fake.suspend(vm.domain)
    VM.objects.filter(pk=vm.pk).update(state=state)


def test_every_action_is_tested_here_or_among_the_changes():
    assert set(ACTIONS) == {*ENDS, "rescue", "unrescue", "undelete"}


@pytest.mark.parametrize("name", list(ENDS))
def test_an_action_ends_as_asked_and_its_stages_run_twice_unharmed(world, vm, name):
    begin, end = ENDS[name]
    bring_to(world, vm, begin)
    operation = world.ask(f"vm.{name}", vm)
    stage = STAGES[f"vm.{name}"][0][0]
    twice = with_stage(f"vm.{name}", stage, lambda do: lambda context: (do(context), do(context))[1])
    assert run(world, operation, twice).state == OperationState.DONE, operation.error
    vm.refresh_from_db()
    assert (vm.state, world.fake.state(vm.domain).value) == (end, end)


def test_a_start_whose_flows_do_not_come_leaves_the_vm_off_with_its_disk(world, vm):
    bring_to(world, vm, VMState.STOPPED)
    world.fake.on_start = None
    waits_less = with_stage("vm.start", "wire", lambda _do: _no_flows)
    assert run(world, world.ask("vm.start", vm), waits_less).state == OperationState.FAILED
    vm.refresh_from_db()
    assert vm.state == VMState.STOPPED and vm.domain in world.fake.definitions
    assert Port.objects.filter(vm=vm).exists()


def _no_flows(_context):
    raise StageError("no flows")


def test_the_old_taps_wiring_does_not_pass_for_the_new_ones(world, vm):
    bring_to(world, vm, VMState.STOPPED)
    seen = []
    world.fake.on_start = lambda _taps: seen.append(Port.objects.get(vm=vm).wired_at)
    run(world, world.ask("vm.start", vm), with_stage("vm.start", "wire", lambda _do: lambda _context: None))
    assert seen == [None]


def test_a_guest_that_ignores_the_power_button_is_left_running_and_forcing_is_offered(world, vm, monkeypatch):
    monkeypatch.setattr(vm_life, "SHUTDOWN_DEADLINE_S", 0.3)
    world.fake.is_deaf = True
    operation = run(world, world.ask("vm.stop", vm))
    assert operation.state == OperationState.FAILED and "force it off" in operation.error
    vm.refresh_from_db()
    assert vm.state == VMState.RUNNING and vm.domain in world.fake.running


def test_a_force_off_does_not_wait_for_the_shutdown_it_overtakes(world, vm):
    world.fake.is_deaf = True
    stopping, forcing = world.ask("vm.stop", vm), world.ask("vm.force_off", vm)
    assert run(world, stopping).state == OperationState.DONE
    assert run(world, forcing).state == OperationState.DONE
    vm.refresh_from_db()
    assert vm.state == VMState.STOPPED


def test_autostart_is_told_to_libvirt(world, vm):
    VM.objects.update(is_autostarted=True)
    run(world, world.ask("vm.autostart", vm))
    assert world.fake.autostarted == {vm.domain}


def test_a_domain_that_is_gone_fails_in_words_and_nothing_else(world, vm):
    world.fake.running.clear()
    world.fake.definitions.clear()
    operation = run(world, world.ask("vm.force_off", vm))
    assert operation.state == OperationState.FAILED and "behind our back" in operation.error
    assert VM.objects.filter(pk=vm.pk).exists()


def test_a_host_that_is_down_fails_the_action_in_words(world, vm):
    world.fake.is_down = True
    operation = Operation.objects.get(pk=world.ask("vm.suspend", vm).pk)
    run_operation(operation.pk, SAGAS, lambda _host: world.fake)
    operation.refresh_from_db()
    assert operation.state == OperationState.FAILED and "does not answer" in operation.error


def test_what_a_saga_saw_later_is_not_overwritten_by_an_older_look(world, vm):
    looked_at = vm.observed_at
    assert looked_at is not None
    record_states(world.host, {vm.domain: DomainState.STOPPED}, looked_at)
    vm.refresh_from_db()
    assert vm.state == VMState.RUNNING
