"""Whether a host's guests run on KVM. `/dev/kvm` may be there and guests still hang, so the device alone proves nothing."""

from __future__ import annotations

from dataclasses import dataclass

from lxml import etree

from tasks.hypervisor.driver import Hypervisor, HypervisorError
from tasks.hypervisor.libvirt_driver import LibvirtHypervisor


@dataclass(frozen=True, slots=True)
class Acceleration:
    accelerator: str  # "kvm" or "tcg"
    reason: str


def probe_accelerator(hypervisor: Hypervisor) -> Acceleration:
    """TCG with the reason. A KVM that is offered is not believed before a guest booted on it, which is not tried yet."""
    if not isinstance(hypervisor, LibvirtHypervisor):
        return Acceleration("tcg", "this driver has no accelerator")
    try:
        xml = hypervisor.call("read its capabilities", lambda connection: str(connection.getCapabilities()))
    except HypervisorError as problem:
        return Acceleration("tcg", str(problem))
    kinds = {str(node.get("type")) for node in etree.fromstring(xml).iterfind("guest/arch/domain")}
    if "kvm" not in kinds:
        return Acceleration("tcg", "libvirt offers no KVM on this host")
    return Acceleration("tcg", "libvirt offers KVM, but no guest was booted on it to prove that it works")
