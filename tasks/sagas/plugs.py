"""What a VM's taps are put into: br-int itself or, where the host's flag says so, a Linux bridge that is cabled to it.

A running guest's NIC stays as it was plugged: a change of the flag reaches it at its next start.
"""

from __future__ import annotations

from collections.abc import Iterable

from portal.compute.models import VM
from portal.hosts.models import Plug
from portal.networks.models import Port
from tasks.hypervisor.driver import Hypervisor


def settle_plugs(vm: VM, hypervisor: Hypervisor) -> None:
    """Before a domain is defined: each port that is not plugged now is plugged as its host says from here on."""
    is_wanted = vm.host is not None and vm.host.plug == Plug.BRIDGE
    ports = list(vm.ports.all())
    if not is_wanted and not any(port.is_bridged for port in ports):
        return
    live = {nic.interface_id for nic in hypervisor.live_interfaces(vm.domain)}
    for port in ports:
        if str(port.uuid) in live:
            continue
        if is_wanted:
            _keep(port, True)  # first, so that what was begun is taken back when it fails
            hypervisor.ensure_bridge(str(port.uuid))
        elif port.is_bridged:
            hypervisor.remove_bridge(str(port.uuid))
            _keep(port, False)


def remove_bridges(ports: Iterable[Port], hypervisor: Hypervisor) -> None:
    """The Linux bridges of ports that go."""
    for port in ports:
        if port.is_bridged:
            hypervisor.remove_bridge(str(port.uuid))


def _keep(port: Port, is_bridged: bool) -> None:
    if port.is_bridged != is_bridged:
        Port.objects.filter(pk=port.pk).update(is_bridged=is_bridged)
