"""Hosts as the events and the islands see them."""

from __future__ import annotations

from typing import Any

from portal.hosts.models import Host


def host_as_json(host: Host) -> dict[str, Any]:
    """What the hosts page shows of a host, ages aside: being seen again is no event, `/api/v1/status` tells it."""
    return {
        "name": host.name,
        "enabled": host.enabled,
        "in_maintenance": host.in_maintenance,
        "maintenance_note": host.maintenance_note,
        "plug": host.plug_english,
        "vcpus": host.vcpus,
        "ram_mib": host.ram_mib,
        "accelerator": host.accelerator,
        "accelerator_reason": host.accelerator_reason,
        "libvirt_version": host.libvirt_version,
        "ovs_version": host.ovs_version,
        "libvirt_error": host.libvirt_error,
        "ovs_error": host.ovs_error,
        "limits_words": host.limits_words,
    }
