"""NICs of a VM as they are asked for: added, removed, moved to another network, of another model."""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext

from portal.accounts.models import Team, User
from portal.compute.actions import OFF, host_refusal
from portal.compute.changes import locked_vm
from portal.compute.hardware import hot_nic_refusal, switch_refusal
from portal.compute.models import VM
from portal.compute.requests import VMProblem, start_operation
from portal.live.publishers import vm_changed
from portal.networks.intent import bump_generation, only_ports
from portal.networks.ipam import AddressProblem, allocate_port, new_mac
from portal.networks.models import FixedAddress, FloatingAddress, Network, NicModel, Port, PortKind
from portal.operations.models import Operation

MOST_NICS = 8  # what PCI slots and people can bear


def nic_refusals(vm: VM, ports: list[Port], reason: str) -> dict[int, str]:
    """Each port's id with why its NIC cannot be removed or moved now, or ""."""
    rows = FloatingAddress.objects.filter(fixed__port__in=ports).order_by("-id")
    held = {
        pk: gettext("floating address %(address)s stands for it: take that back first") % {"address": address}
        for pk, address in rows.values_list("fixed__port_id", "address__address")
    }
    return {port.pk: reason or held.get(port.pk, "") for port in ports}


def add_nic(
    vm: VM, user: User, network: Network | None, *, model: str = NicModel.VIRTIO, address: str | None = None
) -> Operation:
    """The operation that gives the VM one more NIC, in the groups that its first one is in."""
    with transaction.atomic():
        bump_generation()
        fresh = locked_vm(vm, "nics")
        errors = _check(fresh, network, model)
        first = fresh.ports.first()
        if fresh.ports.count() >= MOST_NICS:
            errors["network"] = [gettext("it has %(most_nics)s NICs; that is the most") % {"most_nics": MOST_NICS}]
        if errors or network is None:
            raise VMProblem(errors)
        try:
            port = allocate_port(network, name=_free_port_name(fresh), vm=fresh, address=address)
        except AddressProblem as problem:
            raise VMProblem({"address" if address else "network": [str(problem)]}) from None
        port.host, port.model, port.tap, port.ofport, port.wired_at = fresh.host, model, "", None, None
        port.save()
        if first is not None:
            port.groups.set(first.groups.all())
        params = {"port": str(port.uuid), "network": network.name, "model": model, "address": address}
        operation = start_operation("vm.nic_add", fresh, user, params)
        vm_changed(fresh)
        return operation


def remove_nic(vm: VM, user: User, port: Port) -> Operation:
    """The operation that takes the NIC away; its addresses become free when the guest has let go of it."""
    with transaction.atomic():
        fresh = locked_vm(vm, "nics")
        if reason := nic_refusals(fresh, [port], "")[port.pk]:
            raise VMProblem({"port": [reason]})
        return start_operation("vm.nic_remove", fresh, user, {"port": str(port.uuid), "network": port.network.name})


def set_nic_model(vm: VM, user: User, port: Port, model: str) -> Operation:
    """The operation that replaces the device; MAC and addresses stay."""
    with transaction.atomic():
        fresh = locked_vm(vm, "nics")
        errors = _check(fresh, port.network, model)
        if model == port.model:
            errors["model"] = [gettext("it is %(model)s already") % {"model": model}]
        if errors:
            raise VMProblem(errors)
        before = {"model": port.model}
        Port.objects.filter(pk=port.pk).update(model=model)
        return start_operation("vm.nic_model", fresh, user, {"port": str(port.uuid), "before": before, "model": model})


def move_nic(vm: VM, user: User | None, port: Port, network: Network | None, address: str | None = None) -> Operation:
    """The NIC is on the other network from now on, with addresses of it and its own MAC; the operation tells the guest."""
    with transaction.atomic():
        bump_generation()
        fresh = locked_vm(vm, "nics")
        errors = _check(fresh, network)
        if network is not None and network.pk == port.network_id:
            errors["network"] = [gettext("it is on %(network)s already") % {"network": network.name}]
        if reason := nic_refusals(fresh, [port], "")[port.pk]:
            errors["port"] = [reason]
        if errors or network is None:
            raise VMProblem(errors)
        before = {
            "network": port.network.name, "network_id": port.network_id,
            "addresses": [row.address for row in port.addresses.all()],
        }  # fmt: skip
        held = _hold(port)
        try:
            readdress(port, network, address)
        except AddressProblem as problem:
            raise VMProblem({"address" if address else "network": [str(problem)]}) from None
        params = {
            "port": str(port.uuid), "before": before, "network": network.name, "address": address, "held": str(held.uuid),
        }  # fmt: skip
        operation = start_operation("vm.nic_network", fresh, user, params)
        vm_changed(fresh)
        return operation


def _hold(port: Port) -> Port:
    """A reserved port that keeps the NIC's addresses from everybody until its move has ended."""
    held = Port.objects.create(
        network=port.network, kind=PortKind.RESERVED, name=f"moving-{port.name}"[:63].rstrip("-"), mac=new_mac()
    )
    FixedAddress.objects.filter(port=port).update(port=held)
    return held


def release_held(uuid: str) -> bool:
    """Whether addresses were held under that uuid; they are free now."""
    held = Port.objects.filter(uuid=uuid, kind=PortKind.RESERVED).first() if uuid else None
    if held is None:
        return False
    bump_generation(only_ports([held.pk]))
    FixedAddress.objects.filter(port=held).delete()
    held.delete()
    return True


def readdress(port: Port, network: Network, address: str | None) -> None:
    """The port has the new network's addresses: those of a port made there, which then is gone."""
    made = allocate_port(network, name=port.name, address=address)
    FixedAddress.objects.filter(port=port).delete()
    FixedAddress.objects.filter(port=made).update(port=port)
    made.delete()
    Port.objects.filter(pk=port.pk).update(network=network, wired_at=None, wired_generation=None)


def _check(vm: VM, network: Network | None, model: str = NicModel.VIRTIO) -> dict[str, list[str]]:
    errors: dict[str, list[str]] = {}
    team: Team = vm.team
    if network is None or network.team_id != team.pk:
        errors["network"] = [
            gettext("no network of that name in team %(team)s: choose one of the list") % {"team": team.name}
        ]
    if model not in NicModel.values:
        errors["model"] = [
            gettext("“%(model)s” was given; %(values)s are allowed")
            % {"model": model[:20], "values": ", ".join(NicModel.values)}
        ]
    elif vm.state not in OFF and (hot := hot_nic_refusal(vm.machine, model)):
        errors["model"] = [hot]
    elif vm.host is not None and (none := switch_refusal(model, vm.host.name, vm.host.datapath_type)):
        errors["model"] = [none]
    if reason := host_refusal(vm):
        errors["vm"] = [reason]
    return errors


def _free_port_name(vm: VM) -> str:
    """`web-1` for the first NIC, `web-1-2` for the next: what each is called by DNS in its network."""
    taken = set(vm.ports.values_list("name", flat=True))
    names = [vm.name, *(f"{vm.name[:60]}-{number}" for number in range(2, MOST_NICS + 2))]
    return next(name for name in names if name not in taken)
