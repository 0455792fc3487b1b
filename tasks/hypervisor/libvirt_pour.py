"""Volumes that hold what others hold, though pool and format differ; a part of LibvirtHypervisor.

[source, opened to be read] --a mirror job of a QEMU in which no guest runs--> [target, which is there]

Only QEMU goes everywhere that volumes lie, and reads and writes both formats; libvirt's own copies and streams end at the host's
paths. The domain is transient, and paused from its first moment. It goes with our connection, so that a worker that dies leaves none.
A mirror's two ends must be of one size: a qcow2 is grown to it, and of what is raw and larger only so much is the job's (a slice).
All of that is written; where it is zeros, so that they take no room if the target can do so.
"""

from __future__ import annotations

from typing import Any

import libvirt
from lxml import etree

from portal.volumes.reach import UNTOLD_BYTES
from tasks.hypervisor.driver import CopyProgress, PourAsked
from tasks.hypervisor.libvirt_connection import LibvirtConnection, Refused

DISK, MEMORY_MIB = "vda", "16"
BEGIN_DEADLINE_S = 60.0  # servers of two pools are gone to
ENDED_EARLY = "QEMU's copy ended before it was whole: the server of a pool may be away, or the target full; the host's log of {} says more"


class LibvirtPour(LibvirtConnection):
    """Volumes poured into others of the same host."""

    def begin_pour(self, asked: PourAsked) -> None:
        def act(connection: Any) -> None:
            pool, name = asked.into
            target = connection.storagePoolLookupByName(pool).storageVolLookupByName(name)
            flags = libvirt.VIR_DOMAIN_START_PAUSED | libvirt.VIR_DOMAIN_START_AUTODESTROY
            reader = connection.createXML(_reader(asked), flags)
            try:
                size = int(reader.blockInfo(DISK)[0])
                _make_room(target, asked, size)
                reader.blockCopy(DISK, _mirror(asked.target, size), {}, libvirt.VIR_DOMAIN_BLOCK_COPY_REUSE_EXT)
            except BaseException:
                reader.destroy()
                raise

        self.end_pour(asked.name)
        self.call("copy the volume", act, BEGIN_DEADLINE_S)

    def pour_progress(self, name: str) -> CopyProgress:
        def act(found: Any) -> CopyProgress:
            job = found.blockJobInfo(DISK)
            mirror = etree.fromstring(found.XMLDesc()).find("devices/disk/mirror")
            if not job or mirror is None:
                return CopyProgress(has_ended=True, problem=ENDED_EARLY.format(name))
            if mirror.get("ready") != "yes":
                return CopyProgress(int(job["cur"]), int(job["end"]))
            found.blockJobAbort(DISK)  # of one that is ready: what is on its way still gets there, and is flushed
            return CopyProgress(int(job["end"]), int(job["end"]), has_ended=True)

        gone = CopyProgress(has_ended=True, problem="the QEMU that copied it is there no longer")
        return self.if_there("tell how far the copy is", name, act) or gone

    def end_pour(self, name: str) -> None:
        gone = libvirt.VIR_ERR_OPERATION_INVALID
        self.if_there("end the copy", name, lambda found: found.destroy(), gone)


def _reader(asked: PourAsked) -> str:
    """A domain that has the source alone, to be read."""
    root = etree.Element("domain", type="qemu")  # nothing is executed, so that KVM would speed up nothing
    etree.SubElement(root, "name").text = asked.name
    etree.SubElement(root, "memory", unit="MiB").text = MEMORY_MIB
    etree.SubElement(root, "vcpu").text = "1"
    etree.SubElement(etree.SubElement(root, "os"), "type").text = "hvm"
    devices = etree.SubElement(root, "devices")
    disk = etree.fromstring(asked.source)
    for node in disk.findall("target"):
        node.attrib.update({"dev": DISK, "bus": "virtio"})
    for node in disk.findall("driver"):  # of the job's target: libvirt takes this of the disk that is copied
        node.set("detect_zeroes", "unmap")
    etree.SubElement(disk, "readonly")
    devices.append(disk)
    for tag, attributes in (("controller", {"type": "usb"}), ("memballoon", {})):
        etree.SubElement(devices, tag, {**attributes, "model": "none"})
    return etree.tostring(root, encoding="unicode")


def _make_room(target: Any, asked: PourAsked, size: int) -> None:
    has = int(target.info()[1])
    if _is_raw(asked.target) and has + UNTOLD_BYTES < size:
        raise Refused(f"{asked.into[1]} of {asked.into[0]} has {has} bytes, and what is to be copied there has {size}")
    if not _is_raw(asked.target) and has < size:
        target.resize(size)


def _is_raw(disk: str) -> bool:
    return etree.fromstring(disk).find("driver[@type='raw']") is not None


def _mirror(disk: str, size: int) -> str:
    """The disk as the target of a job."""
    found = etree.fromstring(disk)
    root = etree.Element("disk", type=str(found.get("type")))
    driver, source = found.find("driver"), found.find("source")
    assert driver is not None and source is not None
    if _is_raw(disk):
        etree.SubElement(etree.SubElement(source, "slices"), "slice", type="storage", offset="0", size=str(size))
    root.extend((driver, source))
    return etree.tostring(root, encoding="unicode")
