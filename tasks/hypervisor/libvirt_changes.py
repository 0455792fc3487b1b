"""libvirt's calls that change a running domain's devices; part of LibvirtHypervisor. Each may be asked twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import libvirt

T = TypeVar("T")


class LibvirtChanges:
    """What a running guest can be given or lose."""

    def call(self, what: str, act: Callable[[Any], T], deadline_s: float | None = None) -> T:
        """What `act` gives for the connection; LibvirtHypervisor's."""
        raise NotImplementedError

    def plug_vcpus(self, domain: str, count: int) -> int:
        def act(connection: Any) -> int:
            found = connection.lookupByName(domain)
            now: int = found.vcpusFlags(libvirt.VIR_DOMAIN_AFFECT_LIVE)
            most: int = found.vcpusFlags(libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_VCPU_MAXIMUM)
            wanted = max(now, min(count, most))
            if wanted > now:
                found.setVcpusFlags(wanted, libvirt.VIR_DOMAIN_AFFECT_LIVE)
            return wanted

        return self.call("plug vCPUs", act)

    def grow_disk(self, domain: str, target: str, size_bytes: int) -> None:
        def act(connection: Any) -> None:
            found = connection.lookupByName(domain)
            if found.blockInfo(target)[0] < size_bytes:
                found.blockResize(target, size_bytes, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)

        self.call("grow its disk", act)
