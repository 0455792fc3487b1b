"""libvirt's backup calls (formatbackup, formatcheckpoint; libvirt 7.2 and later); a part of LibvirtHypervisor.

A copy is a job of the domain: QEMU itself writes the new file (push), while the guest runs on. A checkpoint is a bitmap
in the disk's qcow2, which QEMU keeps, with libvirt's word for it. Bitmaps go along into new layers and through merges; a
disk that QEMU did not close (its host lost power), a fresh one, or another host have none, and libvirt then says so.

Only QEMU copies so, and only it knows bitmaps. A guest that is off gets one that is paused from its first moment: nothing
in it runs, and what it is given is its disks alone.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any, TypeVar

import libvirt
from lxml import etree

from tasks.hypervisor.driver import CopyAsked, CopyProgress, DiskCopy
from tasks.hypervisor.libvirt_connection import LibvirtConnection, Lost, Refused

T = TypeVar("T")
OURS = "hs-"
ABORT_DEADLINE_S, LOOK_EVERY_S = 15.0, 0.05
NOT_OPENED = ("interface", "serial", "console", "graphics", "channel")  # a console's log would be begun anew
_LOST = (libvirt.VIR_ERR_NO_DOMAIN_CHECKPOINT, libvirt.VIR_ERR_CHECKPOINT_INCONSISTENT)
_ENDED_WELL = libvirt.VIR_DOMAIN_JOB_COMPLETED


class LibvirtBackups(LibvirtConnection):
    """Copies of guests' disks."""

    def open_disks(self, domain: str) -> None:
        def act(connection: Any) -> None:
            found = connection.lookupByName(domain)
            if not found.isActive():
                kept = found.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE)
                connection.createXML(_only_disks(kept), libvirt.VIR_DOMAIN_START_PAUSED)

        self.call("open the disks of the domain that is off", act)

    def begin_copy(self, asked: CopyAsked) -> None:
        def act(connection: Any) -> None:
            found = connection.lookupByName(asked.domain)
            try:
                found.backupBegin(_backup_xml(asked, found), _checkpoint_xml(asked, found), 0)
            except libvirt.libvirtError as problem:
                if problem.get_error_code() in _LOST:
                    raise Lost(problem.get_error_message()) from None
                raise

        self.call("copy the disks", act)

    def copy_progress(self, domain: str) -> CopyProgress:
        def act(connection: Any) -> CopyProgress:
            found = connection.lookupByName(domain)
            if not found.isActive():
                return CopyProgress(has_ended=True, problem="the guest was switched off meanwhile")
            return _progress(found)

        return self.call("tell how far the copy is", act)

    def drop_copy(self, domain: str, checkpoint: str) -> None:
        def act(found: Any) -> None:
            _end_copy(found)
            for one in found.listAllCheckpoints(0):
                if one.getName() == checkpoint:
                    _delete(one)

        self.if_there("forget the copy", domain, act)

    def keep_checkpoint(self, domain: str, checkpoint: str) -> None:
        def act(found: Any) -> None:
            for one in found.listAllCheckpoints(0):
                if one.getName().startswith(OURS) and one.getName() != checkpoint:
                    _delete(one)

        self.if_there("forget its older checkpoints", domain, act)


def _progress(domain: Any) -> CopyProgress:
    now = domain.jobStats(0)
    if now.get("type", libvirt.VIR_DOMAIN_JOB_NONE) != libvirt.VIR_DOMAIN_JOB_NONE:
        done, total = now.get(libvirt.VIR_DOMAIN_JOB_DISK_PROCESSED, 0), now.get(libvirt.VIR_DOMAIN_JOB_DISK_TOTAL, 0)
        return CopyProgress(done, total)
    # kept, so that who asks again after a cut hears the same
    flags = libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED | libvirt.VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED
    ended = domain.jobStats(flags)
    if ended.get("type") == _ENDED_WELL and ended.get(libvirt.VIR_DOMAIN_JOB_SUCCESS, True):
        return CopyProgress(has_ended=True)
    words = ended.get(libvirt.VIR_DOMAIN_JOB_ERRMSG) or "it was ended from outside"
    return CopyProgress(has_ended=True, problem=str(words))


def _end_copy(domain: Any) -> None:
    """Until no copy is under way: an abort is only asked for, and takes a moment."""
    end = time.monotonic() + ABORT_DEADLINE_S
    while domain.isActive():
        job = domain.jobStats(0)
        if job.get(libvirt.VIR_DOMAIN_JOB_OPERATION) != libvirt.VIR_DOMAIN_JOB_OPERATION_BACKUP or not job.get("type"):
            return
        with suppress(libvirt.libvirtError):  # it ends by itself just now
            domain.abortJob()
        if time.monotonic() > end:
            raise Refused(f"the copy did not end within {ABORT_DEADLINE_S:.0f} s")
        time.sleep(LOOK_EVERY_S)


def _delete(checkpoint: Any) -> None:
    """A checkpoint whose bitmap is gone, or cannot be reached while the guest is off, is forgotten by libvirt alone."""
    try:
        checkpoint.delete()
    except libvirt.libvirtError:
        checkpoint.delete(libvirt.VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY)


def _backup_xml(asked: CopyAsked, domain: Any) -> str:
    root = etree.Element("domainbackup", mode="push")
    wanted, since = _wanted(asked), next((one.since for one in asked.disks if one.since), "")
    if since:
        etree.SubElement(root, "incremental").text = since
    disks = etree.SubElement(root, "disks")
    for name in _targets(domain):
        one = wanted.get(name)
        if one is None:
            etree.SubElement(disks, "disk", name=name, backup="no")
            continue
        disk = etree.SubElement(disks, "disk", name=name, backup="yes", type="file")
        if one.since:
            disk.attrib.update({"backupmode": "incremental", "incremental": one.since})
        elif since:
            disk.set("backupmode", "full")
        etree.SubElement(disk, "driver", type="qcow2")
        etree.SubElement(disk, "target", file=one.path)
    return etree.tostring(root, encoding="unicode")


def _checkpoint_xml(asked: CopyAsked, domain: Any) -> str:
    root = etree.Element("domaincheckpoint")
    etree.SubElement(root, "name").text = asked.checkpoint
    disks = etree.SubElement(root, "disks")
    noted = {name for name, one in _wanted(asked).items() if one.is_noted}
    for name in _targets(domain):
        etree.SubElement(disks, "disk", name=name, checkpoint="bitmap" if name in noted else "no")
    return etree.tostring(root, encoding="unicode")


def _wanted(asked: CopyAsked) -> dict[str, DiskCopy]:
    return {one.target: one for one in asked.disks}


def _only_disks(definition: str) -> str:
    """The definition, for a start at which no switch and no console learns of it."""
    root = etree.fromstring(definition)
    devices = root.find("devices")
    if devices is not None:
        for kind in NOT_OPENED:
            for node in devices.findall(kind):
                devices.remove(node)
    return etree.tostring(root, encoding="unicode")


def _targets(domain: Any) -> list[str]:
    return [str(node.get("dev")) for node in etree.fromstring(domain.XMLDesc()).iterfind("devices/disk/target")]
