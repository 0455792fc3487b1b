"""libvirt's backup calls (formatbackup, formatcheckpoint; libvirt 7.2 and later); a part of LibvirtHypervisor.

A copy is a job of the domain: QEMU itself writes the new file (push), while the guest runs on. A checkpoint is a bitmap
in the disk's qcow2, which QEMU keeps, with libvirt's word for it. Bitmaps go along into new layers and through merges; a
disk that QEMU did not close (its host lost power), a fresh one, or another host have none, and libvirt then says so.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any, TypeVar

import libvirt
from lxml import etree

from tasks.hypervisor.driver import CopyAsked, CopyProgress
from tasks.hypervisor.libvirt_connection import LibvirtConnection, Lost, Refused

T = TypeVar("T")
OURS = "hs-"
ABORT_DEADLINE_S, LOOK_EVERY_S = 15.0, 0.05
_LOST = (libvirt.VIR_ERR_NO_DOMAIN_CHECKPOINT, libvirt.VIR_ERR_CHECKPOINT_INCONSISTENT)
_ENDED_WELL = libvirt.VIR_DOMAIN_JOB_COMPLETED


class LibvirtBackups(LibvirtConnection):
    """Copies of running guests' disks."""

    def begin_copy(self, asked: CopyAsked) -> None:
        def act(connection: Any) -> None:
            found = connection.lookupByName(asked.domain)
            try:
                found.backupBegin(_backup_xml(asked, found), _checkpoint_xml(asked, found), 0)
            except libvirt.libvirtError as problem:
                if problem.get_error_code() in _LOST:
                    raise Lost(problem.get_error_message()) from None
                raise

        self.call("copy the disk", act)

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
    if asked.since:
        etree.SubElement(root, "incremental").text = asked.since
    disks = etree.SubElement(root, "disks")
    for name in _targets(domain):
        if name != asked.target:
            etree.SubElement(disks, "disk", name=name, backup="no")
            continue
        disk = etree.SubElement(disks, "disk", name=name, backup="yes", type="file")
        etree.SubElement(disk, "driver", type="qcow2")
        etree.SubElement(disk, "target", file=asked.path)
    return etree.tostring(root, encoding="unicode")


def _checkpoint_xml(asked: CopyAsked, domain: Any) -> str:
    root = etree.Element("domaincheckpoint")
    etree.SubElement(root, "name").text = asked.checkpoint
    disks = etree.SubElement(root, "disks")
    for name in _targets(domain):
        etree.SubElement(disks, "disk", name=name, checkpoint="bitmap" if name == asked.target else "no")
    return etree.tostring(root, encoding="unicode")


def _targets(domain: Any) -> list[str]:
    return [str(node.get("dev")) for node in etree.fromstring(domain.XMLDesc()).iterfind("devices/disk/target")]
