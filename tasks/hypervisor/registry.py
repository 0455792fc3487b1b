"""The process's hypervisors: one driver, and so one connection, per host and address."""

from __future__ import annotations

import threading

from portal.hosts.models import Host
from tasks.hypervisor.driver import CALL_DEADLINE_S, Hypervisor
from tasks.hypervisor.libvirt_driver import LibvirtHypervisor
from tasks.hypervisor.preview import PreviewHypervisor

_lock = threading.Lock()
_known: dict[tuple[str, str, str, float], Hypervisor] = {}


def hypervisor_of(host: Host, deadline_s: float = CALL_DEADLINE_S) -> Hypervisor:
    """The driver of a host's libvirt, whose calls wait that long. Opens nothing: the first call does."""
    key = (host.name, host.libvirt_uri, host.ovsdb, deadline_s)
    with _lock:
        if key not in _known:
            is_preview = host.libvirt_uri.startswith("test:")
            _known[key] = (
                PreviewHypervisor(host.name, host.libvirt_uri, host.ovsdb)
                if is_preview
                else LibvirtHypervisor(host.name, host.libvirt_uri, deadline_s)
            )
        return _known[key]
