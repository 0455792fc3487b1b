"""NICs of a VM that is there: added, removed, changed; in a running guest at once, in one that is off by its definition.

The operation's `params` name the port. A NIC that the guest does not let go of stays, with its port and its flows.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress

from django.db import transaction

from portal.compute.models import VM
from portal.compute.nics import readdress, release_held
from portal.live.publishers import vm_changed
from portal.networks.intent import bump_generation, lock_intent, only_ports
from portal.networks.ipam import AddressProblem
from portal.networks.models import FixedAddress, Network, Port
from tasks.hypervisor.domain_xml import format_nic
from tasks.hypervisor.driver import DomainState, Hypervisor, HypervisorError
from tasks.sagas import vm_create
from tasks.sagas.engine import Context, Saga, Stage, StageError, stop_if_cancelled
from tasks.sagas.plugs import remove_bridges
from tasks.sagas.rows import operation_params, placed, placed_or_none

log = logging.getLogger("hopsight.saga")
LET_GO_S, ASKED_AGAIN_EVERY_S, LOOK_EVERY_S = 20.0, 5.0, 0.1
LIVE = (DomainState.RUNNING, DomainState.PAUSED)


def _port_of(context: Context) -> Port | None:
    params = operation_params(context)
    return Port.objects.select_related("network").filter(uuid=params["port"]).first()


def _runs(hypervisor: Hypervisor, vm: VM) -> bool:
    return hypervisor.state(vm.domain) in LIVE


def define(context: Context) -> None:
    vm_create.define(context)


def forget(context: Context) -> None:
    """The port is gone, and with it its addresses and its Linux bridge; the definition has it no more."""
    unbridge(context)
    release_port(context)
    if placed_or_none(context):
        vm_create.define(context)


def unbridge(context: Context) -> None:
    port, found = _port_of(context), placed_or_none(context)
    if port is not None and found:
        remove_bridges([port], found[1])


def release_port(context: Context) -> None:
    port = _port_of(context)
    if port is None:
        return
    with transaction.atomic():
        bump_generation(only_ports([port.id]))
        FixedAddress.objects.filter(port=port).delete()
        vm = port.vm
        port.delete()
        if vm is not None:
            vm_changed(VM.objects.select_related("team", "host", "image", "flavor").get(pk=vm.pk))


def plug(context: Context) -> str:
    vm, hypervisor, _ = placed(context)
    port = _port_of(context)
    assert vm.host is not None and port is not None
    if not _runs(hypervisor, vm):
        return "it is off: the NIC is there at its next start"
    hypervisor.plug_nic(vm.domain, str(port.uuid), format_nic(vm_create.nic_spec(port, vm.host)))
    vm_create.record_interfaces(vm, hypervisor.live_interfaces(vm.domain))
    port.refresh_from_db()
    return f"tap {port.tap}"


def unplug(context: Context, is_undo: bool = False) -> str:
    """Asked again every 5 s: a guest that boots does not hear the first time."""
    vm, hypervisor, _ = placed(context)
    port = _port_of(context)
    if port is None or not _runs(hypervisor, vm):
        return "it is off"
    began, asked = time.monotonic(), -ASKED_AGAIN_EVERY_S
    while str(port.uuid) in {nic.interface_id for nic in hypervisor.live_interfaces(vm.domain)}:
        if not is_undo:
            stop_if_cancelled(context)
        now = time.monotonic() - began
        if now > LET_GO_S:
            raise StageError(
                f"the guest did not let go of the NIC within {now:.0f} s: it may still boot, or not know hot-plugging. "
                "Try again, or shut the VM down first."
            )
        if now - asked >= ASKED_AGAIN_EVERY_S:
            asked = now
            hypervisor.unplug_nic(vm.domain, str(port.uuid))
        time.sleep(LOOK_EVERY_S)
    Port.objects.filter(pk=port.pk).update(tap="", ofport=None, wired_at=None, wired_generation=None)
    return f"after {time.monotonic() - began:.1f} s"


def plug_again(context: Context) -> None:
    found = placed_or_none(context)
    if found and _port_of(context) and _runs(found[1], found[0]):
        plug(context)


def undo_plug(context: Context) -> None:
    found = placed_or_none(context)
    if found and _port_of(context):
        unplug(context, is_undo=True)


def release(context: Context) -> None:
    unbridge(context)
    release_port(context)
    vm_create.define(context)


def old_model(context: Context) -> None:
    """The row has the model that it had, and the definition too."""
    params = operation_params(context)
    Port.objects.filter(uuid=params["port"]).update(model=params["before"]["model"])
    vm_create.define(context)


def replug(context: Context, is_undo: bool = False) -> str:
    vm, hypervisor, _ = placed(context)
    port = _port_of(context)
    assert port is not None
    live = {nic.interface_id: nic for nic in hypervisor.live_interfaces(vm.domain)} if _runs(hypervisor, vm) else {}
    if not _runs(hypervisor, vm):
        return "it is off: the new model is there at its next start"
    if str(port.uuid) in live and live[str(port.uuid)].model != port.model:
        unplug(context, is_undo)
    return plug(context)


def replug_old(context: Context) -> None:
    old_model(context)
    replug(context, is_undo=True)


def move_back(context: Context) -> None:
    """The NIC is on the network that it was on, with the addresses that were held for it; should one be somebody's after
    all, with free ones."""
    port, params = _port_of(context), operation_params(context)
    old = Network.objects.filter(pk=params["before"]["network_id"]).first()
    if port is None or old is None or port.network_id == old.pk:
        return
    with transaction.atomic():
        bump_generation()
        try:
            readdress(port, old, ", ".join(params["before"]["addresses"]))
        except AddressProblem as problem:
            log.warning("moved back to other addresses port=%s problem=%s", port.name, problem)
            try:
                readdress(port, old, None)
            except AddressProblem as full:
                raise StageError(str(full)) from None
        release_held(params.get("held", ""))
        if port.vm is not None:
            vm_changed(VM.objects.select_related("team", "host", "image", "flavor").get(pk=port.vm.pk))
    if placed_or_none(context):
        with suppress(HypervisorError):  # a guest that is not told asks when it renews
            flap(context)


def release_old(context: Context) -> str:
    with transaction.atomic():
        lock_intent()
        return "they are free now" if release_held(operation_params(context).get("held", "")) else "none were held"


def wire(context: Context) -> str:
    vm, hypervisor, _ = placed(context)
    if not _runs(hypervisor, vm):
        return "it is off: they are installed when it starts"
    return vm_create.await_wired(context)


def flap(context: Context) -> str:
    vm, hypervisor, _ = placed(context)
    port = _port_of(context)
    if port is None or not _runs(hypervisor, vm):
        return "it is off"
    for is_up in (False, True):
        hypervisor.set_link(vm.domain, str(port.uuid), is_up)
    return "a guest that watches its link asks at once, another when it renews"


WIRE = Stage("wire", wire, deadline_s=vm_create.WIRE_DEADLINE_S)
SAGAS: dict[str, Saga] = {
    "vm.nic_add": (Stage("define", define, forget), Stage("plug", plug, undo_plug), WIRE),
    "vm.nic_remove": (Stage("unplug", unplug, plug_again), Stage("release", release)),
    "vm.nic_model": (Stage("define", define, old_model), Stage("replug", replug, replug_old), WIRE),
    "vm.nic_network": (
        Stage("wire", wire, move_back, deadline_s=vm_create.WIRE_DEADLINE_S),
        Stage("link", flap),
        Stage("release", release_old),
    ),
}
