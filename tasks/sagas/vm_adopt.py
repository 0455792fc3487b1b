"""Taking over a domain that somebody else defined, and letting go of one. Neither changes the domain: an undo forgets rows alone."""

from __future__ import annotations

from portal.compute.models import VM, VMState
from portal.hosts.models import ForeignDomain
from tasks.hypervisor.driver import DomainState
from tasks.reconcile.foreign import digest_of
from tasks.sagas.engine import Context, Saga, Stage, StageError
from tasks.sagas.rows import operation_params, placed, release, update_vm
from tasks.sagas.vm_create import WIRE_DEADLINE_S, await_wired, record_interfaces, record_taps

LIVE = (DomainState.RUNNING, DomainState.PAUSED)


def read(context: Context) -> str:
    """What the plan was made of must still be so: a definition that was changed meanwhile is planned anew."""
    vm, hypervisor, _ = placed(context)
    definition = hypervisor.definition(vm.domain)
    if not definition:
        raise StageError(f"{vm.host} has no domain {vm.domain} any more")
    if digest_of(definition) != operation_params(context)["digest"]:
        raise StageError(f"the definition of {vm.domain} was changed meanwhile: look at it again, then adopt it")
    return f"{vm.domain}, as it was planned"


def forget(context: Context) -> None:
    release(context.operation.object_uuid)


def take(context: Context) -> str:
    vm, hypervisor, _ = placed(context)
    state = hypervisor.state(vm.domain)
    if state in LIVE:
        record_interfaces(vm, hypervisor.live_interfaces(vm.domain))
    ForeignDomain.objects.filter(host=vm.host, name=vm.domain).delete()
    return f"it is {state.value}"


def wire(context: Context) -> str:
    """The VM is there for its team from now on, in whatever state its domain is."""
    vm, hypervisor, _ = placed(context)
    state = hypervisor.state(vm.domain)
    words = "it is off: its NICs are wired at its next start"
    if state in LIVE:
        words = await_wired(context) if vm.ports.exists() else "it has no port"
        record_taps(vm, hypervisor)
    _there(vm, state)
    return words


def _there(vm: VM, state: DomainState) -> None:
    if state is DomainState.ABSENT:
        raise StageError(f"{vm.host} has no domain {vm.domain} any more")
    live = {"live_vcpus": vm.vcpus, "live_ram_mib": vm.ram_mib} if state in LIVE else {}
    update_vm(vm, state=VMState(state.value), state_reason="", **live)


def let_go(context: Context) -> str:
    forget(context)
    return "the domain is as it was"


SAGAS: dict[str, Saga] = {
    "vm.adopt": (Stage("read", read, forget), Stage("take", take), Stage("wire", wire, deadline_s=WIRE_DEADLINE_S)),
    "vm.let_go": (Stage("release", let_go),),
}
