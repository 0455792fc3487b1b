"""A host's events, on the topic that everybody logged in may read."""

from __future__ import annotations

from typing import Any

from portal.hosts.models import Host
from portal.live.events import publish


def host_as_json(host: Host) -> dict[str, Any]:
    """What the status line and the hosts page show of a host."""
    return {
        "name": host.name,
        "enabled": host.enabled,
        "accelerator": host.accelerator,
        "libvirt_error": host.libvirt_error,
        "ovs_error": host.ovs_error,
        "libvirt_seen_at": host.libvirt_seen_at and host.libvirt_seen_at.isoformat(),
        "ovs_seen_at": host.ovs_seen_at and host.ovs_seen_at.isoformat(),
    }


def host_changed(host: Host) -> None:
    """Tell everybody what a host is now; inside the transaction that changed it."""
    publish("hosts", "host.changed", f"host:{host.name}", host_as_json(host))
