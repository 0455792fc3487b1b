"""The life of a VM after its creation: power, pause, autostart. Each is short, may run twice, and needs no undo but a start's.

What the domain then is, is written down here as libvirt tells it, so that the page is right at once; the collector writes
the same from libvirt's events, and what is done behind our back.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from django.db import transaction
from django.utils import timezone

from portal.compute.models import VM, VMState
from portal.networks.intent import bump_generation, only_ports
from portal.operations.models import Operation, OperationState
from tasks.hypervisor.driver import DomainState, Hypervisor
from tasks.sagas.engine import Context, Saga, Stage, StageError, stop_if_cancelled
from tasks.sagas.rows import placed, placed_or_none, update_vm
from tasks.sagas.vm_create import WIRE_DEADLINE_S, wire
from tasks.sagas.vm_create import start as power_on
from tasks.sagas.vm_devices import define_anew

SHUTDOWN_DEADLINE_S = 45.0
LOOK_EVERY_S, ASKED_AGAIN_EVERY_S = 0.2, 5.0


def start(context: Context) -> str:
    vm, hypervisor, _ = placed(context)
    if hypervisor.state(vm.domain) is DomainState.STOPPED:
        with transaction.atomic():  # the old tap's wiring must not pass for the new one's
            bump_generation(only_ports(vm.ports.values_list("id", flat=True)))
            vm.ports.update(tap="", ofport=None, wired_at=None, wired_generation=None)
    return power_on(context)


def unstart(context: Context) -> None:
    """A VM that can't be reached is not left running; its disk and address stay."""
    if found := placed_or_none(context):
        vm, hypervisor, _ = found
        hypervisor.destroy(vm.domain)
        record_state(vm, hypervisor)


def shutdown(context: Context) -> str:
    """The power button, pressed again every 5 s: a guest that boots may have missed it."""
    vm, hypervisor, _ = placed(context)
    began = time.monotonic()
    pressed = -ASKED_AGAIN_EVERY_S
    while hypervisor.state(vm.domain) not in (DomainState.STOPPED, DomainState.CRASHED):
        stop_if_cancelled(context)
        now = time.monotonic() - began
        if now > SHUTDOWN_DEADLINE_S or time.monotonic() > context.deadline - 1:
            raise StageError(
                f"the guest did not shut down within {now:.0f} s. It may ignore the power button: force it off, "
                "or shut it down from inside."
            )
        if now - pressed >= ASKED_AGAIN_EVERY_S:
            pressed = now
            if _is_overtaken(context.operation):
                return "left to the force-off that was asked for meanwhile"
            hypervisor.shutdown(vm.domain)
        time.sleep(LOOK_EVERY_S)
    record_state(vm, hypervisor)
    return f"after {time.monotonic() - began:.1f} s"


def _is_overtaken(operation: Operation) -> bool:
    later = Operation.objects.filter(object_uuid=operation.object_uuid, pk__gt=operation.pk)
    return later.filter(kind__in=("vm.force_off", "vm.delete"), state=OperationState.QUEUED).exists()


def record_state(vm: VM, hypervisor: Hypervisor) -> None:
    """The VM's state is what its domain is now."""
    observed = hypervisor.state(vm.domain)
    if observed is DomainState.ABSENT:
        raise StageError(f"{vm.host} has no domain {vm.domain}: was it removed behind our back?")
    update_vm(vm, state=VMState(observed.value), state_reason="", observed_at=timezone.now())


def _power(act: Callable[[Hypervisor, str], None]) -> Saga:
    def do(context: Context) -> None:
        vm, hypervisor, _ = placed(context)
        act(hypervisor, vm.domain)
        record_state(vm, hypervisor)

    return (Stage("power", do),)


def tell_autostart(context: Context) -> str:
    vm, hypervisor, _ = placed(context)
    hypervisor.set_autostart(vm.domain, vm.is_autostarted)
    return "on" if vm.is_autostarted else "off"


# The end of every saga that leaves a VM running.
RUN: Saga = (Stage("start", start, unstart), Stage("wire", wire, deadline_s=WIRE_DEADLINE_S))
SAGAS: dict[str, Saga] = {
    "vm.start": (Stage("define", define_anew), *RUN),
    "vm.stop": (Stage("shutdown", shutdown),),
    "vm.force_off": _power(lambda hypervisor, domain: hypervisor.destroy(domain)),
    "vm.reboot": _power(lambda hypervisor, domain: hypervisor.reboot(domain)),
    "vm.reset": _power(lambda hypervisor, domain: hypervisor.reset(domain)),
    "vm.suspend": _power(lambda hypervisor, domain: hypervisor.suspend(domain)),
    "vm.resume": _power(lambda hypervisor, domain: hypervisor.resume(domain)),
    "vm.autostart": (Stage("tell", tell_autostart),),
}
