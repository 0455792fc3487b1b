"""VMs as the API, the events and the islands see them."""

from __future__ import annotations

from typing import Any

from portal.compute.models import VM
from portal.compute.presentation import ssh_line
from portal.networks.models import Port


def port_as_json(port: Port) -> dict[str, Any]:
    """A VM's port as its VM lists it."""
    return {
        "uuid": str(port.uuid),
        "name": port.name,
        "mac": port.mac,
        "network": port.network.name,
        "model": port.model,
        "tap": port.tap,
        "ofport": port.ofport,
        "addresses": [row.address for row in port.addresses.all()],
        "groups": [group.name for group in port.groups.all()],
        "is_secured": port.is_secured,
        "conflicts": [row["address"] for row in port.conflicts],
    }


def vm_as_json(vm: VM) -> dict[str, Any]:
    """The whole VM with its ports and addresses."""
    ports = [port_as_json(port) for port in vm.ports.all()]
    address = next((one for port in ports for one in port["addresses"]), None)
    return {
        "uuid": str(vm.uuid),
        "name": vm.name,
        "state": vm.state,
        "state_reason": vm.state_reason,
        "is_autostarted": vm.is_autostarted,
        "is_protected": vm.is_protected,
        "pending": vm.pending,
        "tags": [tag.name for tag in vm.tags.all()],
        "rescue_image": vm.rescue_image.slug if vm.rescue_image else None,
        "purge_at": _moment(vm.purge_at),
        "lease_until": _moment(vm.lease_until),
        "cpu_model": vm.cpu_model,
        "machine": vm.machine,
        "disk_bus": vm.disk_bus,
        "disk_cache": vm.disk_cache,
        "apart": vm.apart,
        "host": vm.host.name if vm.host else None,
        "image": vm.image.slug,
        "flavor": vm.flavor.name,
        "vcpus": vm.vcpus,
        "ram_mib": vm.ram_mib,
        "disk_gib": vm.disk_gib,
        "address": address,
        "login_user": vm.image.login_user,
        "ssh": ssh_line(vm, address) or None,
        "ports": ports,
        "created_at": _moment(vm.created_at),
        "started_at": _moment(vm.started_at),
        "ssh_at": _moment(vm.ssh_at),
        "observed_at": _moment(vm.observed_at),
    }


def _moment(value: Any) -> str | None:
    return value.isoformat() if value else None
