"""A guest made by hand: the domain an engineer would write, without Hopsight. The reference that the benchmark compares
with, and the lab's own proof that its hypervisors run guests.

Against a guest left to libvirt's defaults it boots faster under TCG: a virtio RNG (the SSH host key waits for entropy
otherwise: 1.3 s), no option ROM of the NIC, no USB, balloon, or video.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lxml import etree

from lab.commands import run
from lab.errors import CommandFailed
from lab.images.seed import write_seed
from lab.images.tiny import TinyImage
from lab.paths import HypervisorPaths

# On a bridge of the userspace datapath TCP needs these off: it reads the tap as a packet socket and would pass half-made
# checksums on (libvirt's formatdomain, "driver-specific options").
HOST_OFFLOADS = ("csum", "gso", "tso4", "tso6", "ecn", "ufo")
GUEST_OFFLOADS = ("csum", "tso4", "tso6", "ecn", "ufo")


@dataclass(frozen=True, slots=True)
class HandmadeGuest:
    """What the reference guest is: `address` (ADDRESS/LENGTH) is set from its seed, so that no DHCP is needed; without
    one it asks by DHCP."""

    name: str
    mac: str
    public_key: str
    address: str = ""
    gateway: str = ""
    mtu: int = 1450
    bridge: str = "br-int"
    iface_id: str = ""
    memory_mib: int = 128


def seed_files(guest: HandmadeGuest) -> dict[str, str]:
    """The files of its NoCloud seed."""
    files = {
        "meta-data": f"instance-id: {guest.name}\nlocal-hostname: {guest.name}\n",
        "user-data": f"#cloud-config\nssh_authorized_keys:\n  - {guest.public_key.strip()}\n",
    }
    if guest.address:
        gateway = f"    gateway4: {guest.gateway}\n" if guest.gateway else ""
        nic = f"    dhcp4: false\n    mtu: {guest.mtu}\n    addresses:\n      - {guest.address}\n{gateway}"
        files["network-config"] = f"version: 2\nethernets:\n  eth0:\n{nic}"
    return files


def domain_xml(guest: HandmadeGuest, image: TinyImage, disk: Path, seed: Path) -> str:
    """Its libvirt domain."""
    domain = etree.Element("domain", type="qemu")
    _text(domain, "name", guest.name)
    _text(domain, "memory", str(guest.memory_mib), unit="MiB")
    _text(domain, "vcpu", "1")
    system = etree.SubElement(domain, "os")
    _text(system, "type", "hvm", arch="x86_64", machine="q35")
    for tag, value in (("kernel", image.kernel), ("initrd", image.initrd), ("cmdline", image.cmdline)):
        _text(system, tag, str(value))
    features = etree.SubElement(domain, "features")
    etree.SubElement(features, "acpi")
    etree.SubElement(features, "apic")
    devices = etree.SubElement(domain, "devices")
    _disk(devices, disk, "vda", "qcow2")
    _disk(devices, seed, "vdb", "raw")
    _nic(devices, guest)
    console = etree.SubElement(devices, "serial", type="pty")
    etree.SubElement(console, "target", port="0")
    etree.SubElement(devices, "controller", type="usb", model="none")
    etree.SubElement(devices, "memballoon", model="none")
    rng = etree.SubElement(devices, "rng", model="virtio")
    _text(rng, "backend", "/dev/urandom", model="random")
    return etree.tostring(domain, pretty_print=True, encoding="unicode")


def start_guest(host: HypervisorPaths, guest: HandmadeGuest, image: TinyImage) -> None:
    """Make its disk and seed on the host, define it and start it. A guest of that name must not be there."""
    disk, seed, xml = (host.disks / f"{guest.name}.{kind}" for kind in ("qcow2", "iso", "xml"))
    run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(image.disk), str(disk))
    write_seed(seed, seed_files(guest))
    xml.write_text(domain_xml(guest, image, disk, seed))
    virsh(host, "define", str(xml))
    virsh(host, "start", guest.name)


def remove_guest(host: HypervisorPaths, name: str) -> None:
    """End it and remove it, its disk and its seed; harmless when it is not there."""
    for verb in ("destroy", "undefine"):
        try:
            virsh(host, verb, name)
        except CommandFailed:
            continue
    for kind in ("qcow2", "iso", "xml"):
        (host.disks / f"{name}.{kind}").unlink(missing_ok=True)


def plain_bridge(host: HypervisorPaths, bridge: str = "br-int") -> None:
    """A learning switch on the userspace datapath: what an engineer makes first, with no controller."""
    run(
        *("ovs-vsctl", f"--db={host.ovsdb}", "--timeout=10", "--may-exist", "add-br", bridge),
        "--",
        *("set", "Bridge", bridge, "datapath_type=netdev", "fail_mode=standalone"),
    )


def virsh(host: HypervisorPaths, *argv: str) -> str:
    """What virsh says on that host."""
    return run("virsh", "-q", "-c", host.libvirt_uri, *argv)


def _disk(devices: etree._Element, path: Path, target: str, kind: str) -> None:
    disk = etree.SubElement(devices, "disk", type="file", device="disk")
    etree.SubElement(disk, "driver", name="qemu", type=kind)
    etree.SubElement(disk, "source", file=str(path))
    etree.SubElement(disk, "target", dev=target, bus="virtio")
    if kind == "raw":
        etree.SubElement(disk, "readonly")


def _nic(devices: etree._Element, guest: HandmadeGuest) -> None:
    nic = etree.SubElement(devices, "interface", type="bridge")
    etree.SubElement(nic, "mac", address=guest.mac)
    etree.SubElement(nic, "source", bridge=guest.bridge)
    port = etree.SubElement(nic, "virtualport", type="openvswitch")
    if guest.iface_id:
        etree.SubElement(port, "parameters", interfaceid=guest.iface_id)
    etree.SubElement(nic, "model", type="virtio")
    driver = etree.SubElement(nic, "driver")
    etree.SubElement(driver, "host", dict.fromkeys(HOST_OFFLOADS, "off"))
    etree.SubElement(driver, "guest", dict.fromkeys(GUEST_OFFLOADS, "off"))
    etree.SubElement(nic, "mtu", size=str(guest.mtu))
    etree.SubElement(nic, "rom", enabled="no")


def _text(parent: etree._Element, tag: str, text: str, **attributes: str) -> None:
    etree.SubElement(parent, tag, attributes).text = text
