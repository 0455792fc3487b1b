"""Domain XML from a value: pure, built as a tree, so that no name can break out of its place.

Source: libvirt's formatdomain. On a userspace bridge (`netdev`) the NIC's checksum and segmentation offloads are off:
OVS reads the tap as a packet socket there and would pass half-made checksums on (ping works, TCP does not).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lxml import etree

from portal.compute.hardware import disk_target
from portal.volumes.reach import Reach
from sdn.model.plug import bridge_network

AGENT_CHANNEL = "org.qemu.guest_agent.0"  # by which name guests look for it
QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
# Plugged while it runs, too: an e1000e makes its checksums itself, where it would leave them to a switch that makes none.
OWN_CHECKSUMS = ("-global", "e1000e.disable_vnet_hdr=1")
NAMESPACE = "https://hopsight.example/domain/1"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
HOST_OFFLOADS = ("csum", "gso", "tso4", "tso6", "ecn", "ufo")
SPARE_SLOTS = (
    4  # q35 takes a device while it runs only into a root port that was there at its start; libvirt makes none to spare
)
GUEST_OFFLOADS = ("csum", "tso4", "tso6", "ecn", "ufo")


@dataclass(frozen=True, slots=True)
class NicSpec:
    interface_id: str
    mac: str
    mtu: int
    bridge: str = "br-int"
    has_offloads: bool = True
    model: str = "virtio"
    is_bridged: bool = False  # on a Linux bridge of its own, which a veth pair cables to br-int


@dataclass(frozen=True, slots=True)
class DiskSpec:
    """A volume as a disk; the guest finds it by its `serial`. `source` is "file", "block", or the protocol by which QEMU
    itself goes to what is called `path` there, by its `reach`."""

    path: str
    target: str
    bus: str
    serial: str
    disk_format: str = "qcow2"
    source: str = "file"
    reach: Reach | None = None


@dataclass(frozen=True, slots=True)
class KernelBoot:
    kernel: str
    initrd: str
    cmdline: str


@dataclass(frozen=True, slots=True)
class DomainSpec:
    """All that a domain is made from. `title` is what people called the VM: any text."""

    name: str
    uuid: str
    title: str
    team: str
    vcpus: int
    ram_mib: int
    accelerator: str  # "kvm" or "tcg"
    disk: str
    seed: str
    console_log: str
    nics: tuple[NicSpec, ...]
    boot: KernelBoot | None = None
    has_screen: bool = (
        False  # a frame buffer, shown by VNC on a unix socket that libvirt names, in the host's own folder
    )
    vcpus_max: int = 0  # room for vCPUs that are plugged while it runs; 0: none
    volumes: tuple[DiskSpec, ...] = ()
    rescue_disk: str = ""  # boots before the VM's own disk, which is then the second one
    cpu_model: str = ""
    machine: str = "q35"
    disk_bus: str = "virtio"
    disk_cache: str = "writeback"
    domain_type: str = ""  # only for libvirt's test driver; else by accelerator

    @property
    def type(self) -> str:
        return self.domain_type or ("kvm" if self.accelerator == "kvm" else "qemu")


def format_domain(spec: DomainSpec) -> str:
    """The domain's XML, indented."""
    makes_own = spec.type != "test" and not all(nic.has_offloads for nic in spec.nics)
    root = etree.Element("domain", {"type": spec.type}, nsmap={"qemu": QEMU} if makes_own else None)
    _text(root, "name", spec.name)
    _text(root, "uuid", spec.uuid)
    _text(root, "title", " ".join(_clean(spec.title).split()) or spec.name)
    _metadata(root, spec)
    _text(root, "memory", str(spec.ram_mib), unit="MiB")
    _vcpus(root, spec)
    _os(root, spec)
    if spec.type != "test":
        features = etree.SubElement(root, "features")
        etree.SubElement(features, "acpi")
        etree.SubElement(features, "apic")
    _cpu(root, spec)
    etree.SubElement(root, "clock", offset="utc")
    for event, action in (("on_poweroff", "destroy"), ("on_reboot", "restart"), ("on_crash", "destroy")):
        _text(root, event, action)
    _devices(root, spec)
    if makes_own:
        line = etree.SubElement(root, f"{{{QEMU}}}commandline")
        for word in OWN_CHECKSUMS:
            etree.SubElement(line, f"{{{QEMU}}}arg", value=word)
    etree.indent(root)
    return etree.tostring(root, encoding="unicode") + "\n"


def is_ours(xml: str) -> bool:
    """Whether a domain's definition has our mark, which `format_domain` gives it."""
    return bool(xml) and etree.fromstring(xml).find(f"metadata/{{{NAMESPACE}}}vm") is not None


def _cpu(root: etree._Element, spec: DomainSpec) -> None:
    """The model that was asked for; without one a KVM guest has the host's, and TCG its own default."""
    if spec.cpu_model in ("host-model", "host-passthrough"):
        etree.SubElement(root, "cpu", mode=spec.cpu_model)
    elif spec.cpu_model:
        cpu = etree.SubElement(root, "cpu", mode="custom", match="exact", check="none")
        _text(cpu, "model", spec.cpu_model, fallback="forbid")
    elif spec.type == "kvm":
        etree.SubElement(root, "cpu", mode="host-passthrough")


def _vcpus(root: etree._Element, spec: DomainSpec) -> None:
    room = {"current": str(spec.vcpus)} if spec.vcpus_max > spec.vcpus else {}
    _text(root, "vcpu", str(max(spec.vcpus, spec.vcpus_max)), **room)


def _metadata(root: etree._Element, spec: DomainSpec) -> None:
    metadata = etree.SubElement(root, "metadata")
    vm = etree.SubElement(metadata, f"{{{NAMESPACE}}}vm", nsmap={"hopsight": NAMESPACE})
    vm.set("uuid", spec.uuid)
    vm.set("team", _clean(spec.team))


def _os(root: etree._Element, spec: DomainSpec) -> None:
    os = etree.SubElement(root, "os")
    if spec.type == "test":
        _text(os, "type", "hvm")
        return
    _text(os, "type", "hvm", arch="x86_64", machine=spec.machine)
    if spec.boot is None:
        etree.SubElement(os, "boot", dev="hd")
        return
    _text(os, "kernel", spec.boot.kernel)
    _text(os, "initrd", spec.boot.initrd)
    _text(os, "cmdline", spec.boot.cmdline)


def _devices(root: etree._Element, spec: DomainSpec) -> None:
    devices = etree.SubElement(root, "devices")
    disks = [path for path in (spec.rescue_disk, spec.disk) if path]
    for number, path in enumerate(disks):
        _disk(devices, path, (disk_target(spec.disk_bus, number), spec.disk_bus, spec.disk_cache), "qcow2")
    if spec.seed:
        seat = (disk_target(spec.disk_bus, len(disks)), spec.disk_bus, "")
        _disk(devices, spec.seed, seat, "raw", is_readonly=True)
    for volume in spec.volumes:
        _volume(devices, volume)
    if spec.disk_bus == "scsi" or any(volume.bus == "scsi" for volume in spec.volumes):
        etree.SubElement(devices, "controller", type="scsi", index="0", model="virtio-scsi")
    for nic in spec.nics:
        _nic(devices, nic)
    if spec.type == "test":
        return
    serial = etree.SubElement(devices, "serial", type="pty")
    etree.SubElement(serial, "log", file=spec.console_log, append="on")
    etree.SubElement(serial, "target", port="0")
    console = etree.SubElement(devices, "console", type="pty")
    etree.SubElement(console, "target", type="serial", port="0")
    agent = etree.SubElement(devices, "channel", type="unix")  # libvirt names the socket
    etree.SubElement(agent, "target", type="virtio", name=AGENT_CHANNEL)
    _screen(devices, spec.has_screen)
    etree.SubElement(devices, "controller", type="usb", model="none")
    if spec.machine == "q35":
        etree.SubElement(devices, "controller", type="pci", index="0", model="pcie-root")
        for number in range(1, _pci_slots(spec) + 1):
            etree.SubElement(devices, "controller", type="pci", index=str(number), model="pcie-root-port")
    etree.SubElement(devices, "memballoon", model="none")
    rng = etree.SubElement(devices, "rng", model="virtio")
    _text(rng, "backend", "/dev/urandom", model="random")


def _pci_slots(spec: DomainSpec) -> int:
    """Root ports for the devices that the domain has (two disks, a third in rescue, virtio volumes, a SCSI controller, the
    NICs, the random source, the agent's channel) and to spare."""
    buses = [volume.bus for volume in spec.volumes]
    disks = sum(bool(path) for path in (spec.disk, spec.seed, spec.rescue_disk))
    disks += buses.count("virtio") + ("scsi" in buses)
    return disks + len(spec.nics) + 2 + SPARE_SLOTS


def _screen(devices: etree._Element, is_there: bool) -> None:
    """VGA, which needs no driver in the guest, and VNC on a socket: it has no password worth the name, so no network."""
    if is_there:
        graphics = etree.SubElement(devices, "graphics", type="vnc")
        etree.SubElement(graphics, "listen", type="socket")
    video = etree.SubElement(devices, "video")
    etree.SubElement(video, "model", type="vga" if is_there else "none")


def _disk(
    devices: etree._Element, path: str, seat: tuple[str, str, str], format_: str, is_readonly: bool = False
) -> None:
    """`seat` is the target's name, its bus, and the cache mode."""
    target, bus, cache = seat
    disk = etree.SubElement(devices, "disk", type="file", device="disk")
    driver = etree.SubElement(disk, "driver", name="qemu", type=format_)
    if not is_readonly:
        driver.set("cache", cache)
        driver.set("discard", "unmap")
    etree.SubElement(disk, "source", file=path)
    etree.SubElement(disk, "target", dev=target, bus=bus)
    if is_readonly:
        etree.SubElement(disk, "readonly")


def format_disk(volume: DiskSpec) -> str:
    """One volume's XML, to be plugged into a running domain."""
    devices = etree.Element("devices")
    _volume(devices, volume)
    return etree.tostring(devices[0], encoding="unicode")


def _volume(devices: etree._Element, volume: DiskSpec) -> None:
    disk = etree.SubElement(devices, "disk", type="network" if volume.reach else volume.source, device="disk")
    driver = etree.SubElement(disk, "driver", name="qemu", type=volume.disk_format, discard="unmap")
    driver.set("cache", "writeback" if volume.source == "file" else "none")
    if volume.reach is not None:
        _network_source(disk, volume, volume.reach)
    else:
        etree.SubElement(disk, "source", {"dev" if volume.source == "block" else "file": volume.path})
    etree.SubElement(disk, "target", dev=volume.target, bus=volume.bus)
    _text(disk, "serial", volume.serial)


def _network_source(disk: etree._Element, volume: DiskSpec, reach: Reach) -> None:
    """What QEMU itself opens; of the secret only its name in the host's libvirt is here."""
    source = etree.SubElement(disk, "source", protocol=volume.source, name=_clean(volume.path))
    for name, port in reach.hosts:
        etree.SubElement(source, "host", {"name": _clean(name), **({"port": _clean(port)} if port else {})})
    if reach.initiator:
        etree.SubElement(etree.SubElement(source, "initiator"), "iqn", name=_clean(reach.initiator))
    if reach.user:
        auth = etree.SubElement(source, "auth", username=_clean(reach.user))
        named = {"uuid": reach.secret_uuid, "usage": reach.secret_usage}
        kind = "ceph" if volume.source == "rbd" else "iscsi"  # as secrets are called, where pools say chap
        etree.SubElement(auth, "secret", {"type": kind, **{word: _clean(text) for word, text in named.items() if text}})


def format_nic(nic: NicSpec) -> str:
    """One NIC's XML, to be plugged into a running domain."""
    devices = etree.Element("devices")
    _nic(devices, nic)
    return etree.tostring(devices[0], encoding="unicode")


def _nic(devices: etree._Element, nic: NicSpec) -> None:
    interface = etree.SubElement(devices, "interface", type="network" if nic.is_bridged else "bridge")
    etree.SubElement(interface, "mac", address=nic.mac)
    if nic.is_bridged:
        etree.SubElement(interface, "source", network=bridge_network(nic.interface_id))
    else:
        etree.SubElement(interface, "source", bridge=nic.bridge)
        virtualport = etree.SubElement(interface, "virtualport", type="openvswitch")
        etree.SubElement(virtualport, "parameters", interfaceid=nic.interface_id)
    etree.SubElement(interface, "model", type=nic.model)
    if (
        not nic.has_offloads and nic.model == "virtio"
    ):  # emulated ones make their checksums themselves, or are `NO_CHECKSUMS`
        driver = etree.SubElement(interface, "driver", name="qemu")
        etree.SubElement(driver, "host", dict.fromkeys(HOST_OFFLOADS, "off"))
        etree.SubElement(driver, "guest", dict.fromkeys(GUEST_OFFLOADS, "off"))
    etree.SubElement(interface, "mtu", size=str(nic.mtu))
    etree.SubElement(interface, "rom", enabled="no")  # nobody boots from the network, and under TCG it costs seconds


def _text(parent: etree._Element, tag: str, text: str, **attributes: str) -> None:
    etree.SubElement(parent, tag, attributes).text = _clean(text)


def _clean(text: str) -> str:
    """The text with characters that XML 1.0 cannot hold replaced."""
    return _NOT_XML.sub("\ufffd", text)
