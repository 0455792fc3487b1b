"""Whether a host's guests run on KVM: a kernel is booted on it. `/dev/kvm` may be there, and be offered by libvirt, and
guests still hang in their firmware, so only a guest that got through its kernel proves anything.

The guest has a kernel and nothing else: at the end of its boot it finds no root file system and says so on its serial
port, into a file beside the host's disks. It is transient and goes with our connection, so that nothing of it is left.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import libvirt
from lxml import etree

from tasks.hypervisor.disks import remove_file
from tasks.hypervisor.driver import CallFailed, Hypervisor, HypervisorError
from tasks.hypervisor.libvirt_driver import LibvirtHypervisor

BOOT_DEADLINE_S = 6.0  # a working KVM needs about one
CMDLINE = "console=ttyS0 panic=0 nokaslr"
PROOF = "Kernel panic - not syncing: VFS"
LOOK_EVERY_S = 0.05
_one_at_a_time = threading.Lock()  # hosts of a lab are one machine: the second finds the first one's answer


@dataclass(frozen=True, slots=True)
class Acceleration:
    accelerator: str  # "kvm" or "tcg"
    reason: str


def probe_accelerator(hypervisor: Hypervisor, folder: str, kernel: str, cache: Path) -> Acceleration:
    """KVM when a guest booted `kernel` on it, else TCG; with the reason. `folder` and `kernel` are paths on the host.
    The answer for this very machine is kept in `cache` until it is booted again."""
    if not isinstance(hypervisor, LibvirtHypervisor):
        return Acceleration("tcg", "this driver has no accelerator")
    try:
        if not _is_offered(hypervisor):
            return Acceleration("tcg", "libvirt offers no KVM on this host")
        if not kernel:
            return Acceleration("tcg", "libvirt offers KVM, but there is no image with a kernel to prove it with")
        with _one_at_a_time:
            return _remembered(hypervisor, folder, kernel, cache)
    except HypervisorError as problem:
        return Acceleration("tcg", str(problem))


def _is_offered(hypervisor: LibvirtHypervisor) -> bool:
    xml = hypervisor.call("read its capabilities", lambda connection: str(connection.getCapabilities()))
    return "kvm" in {str(node.get("type")) for node in etree.fromstring(xml).iterfind("guest/arch/domain")}


def _remembered(hypervisor: LibvirtHypervisor, folder: str, kernel: str, cache: Path) -> Acceleration:
    if "socket=" not in hypervisor.uri:
        return _boot(hypervisor, folder, kernel)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    path = cache / f"accelerator-{hashlib.sha256(f'{boot} {kernel}'.encode()).hexdigest()[:12]}.json"
    if path.exists():
        return Acceleration(**json.loads(path.read_text()))
    found = _boot(hypervisor, folder, kernel)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(f".{os.getpid()}")
    scratch.write_text(json.dumps(asdict(found)))
    scratch.replace(path)
    return found


def _boot(hypervisor: LibvirtHypervisor, folder: str, kernel: str) -> Acceleration:
    name = f"hopsight-probe-{secrets.token_hex(4)}"
    console = Path(folder) / f"{name}.log"
    console.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    try:
        with _guest(hypervisor, name, format_probe(name, kernel, str(console))):
            while PROOF not in (told := _text(console)):
                if not hypervisor.call("look at the probe guest", lambda connection: _is_running(connection, name)):
                    return Acceleration("tcg", "a guest on KVM ended before its kernel was up")
                if time.monotonic() - began > BOOT_DEADLINE_S:
                    got = "hung in its kernel" if told else "never left its firmware"
                    return Acceleration(
                        "tcg", f"KVM is offered, but a guest on it {got} within {BOOT_DEADLINE_S:.0f} s"
                    )
                time.sleep(LOOK_EVERY_S)
        return Acceleration("kvm", f"a guest booted its kernel on KVM in {time.monotonic() - began:.1f} s")
    except CallFailed as problem:  # QEMU's own words come last
        words = str(problem).strip().splitlines()[0].rpartition("qemu-system-x86_64: ")[2]
        return Acceleration("tcg", f"KVM is offered, but QEMU does not run on it: {words}")
    finally:
        remove_file(console)


@contextmanager
def _guest(hypervisor: LibvirtHypervisor, name: str, xml: str) -> Iterator[None]:
    flags = libvirt.VIR_DOMAIN_START_AUTODESTROY
    hypervisor.call("start a guest on KVM", lambda connection: connection.createXML(xml, flags))
    try:
        yield
    finally:
        hypervisor.destroy(name)


def _is_running(connection: Any, name: str) -> bool:
    try:
        return bool(connection.lookupByName(name).isActive())
    except libvirt.libvirtError as problem:
        if problem.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return False
        raise


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def format_probe(name: str, kernel: str, console: str, kind: str = "kvm") -> str:
    """The probe guest's domain XML."""
    root = etree.Element("domain", type=kind)
    for tag, text in (("name", name), ("memory", "131072"), ("vcpu", "1")):
        etree.SubElement(root, tag).text = text
    system = etree.SubElement(root, "os")
    etree.SubElement(system, "type", arch="x86_64", machine="q35").text = "hvm"
    etree.SubElement(system, "kernel").text = kernel
    etree.SubElement(system, "cmdline").text = CMDLINE
    features = etree.SubElement(root, "features")
    etree.SubElement(features, "acpi")
    etree.SubElement(features, "apic")
    if kind == "kvm":
        etree.SubElement(root, "cpu", mode="host-passthrough")  # as every guest on KVM has it
    etree.SubElement(root, "on_reboot").text = "destroy"
    devices = etree.SubElement(root, "devices")
    serial = etree.SubElement(devices, "serial", type="file")
    etree.SubElement(serial, "source", path=console)
    etree.SubElement(serial, "target", port="0")
    for tag, attributes in (("controller", {"type": "usb"}), ("memballoon", {})):
        etree.SubElement(devices, tag, {**attributes, "model": "none"})
    video = etree.SubElement(devices, "video")
    etree.SubElement(video, "model", type="none")
    return etree.tostring(root, encoding="unicode")
