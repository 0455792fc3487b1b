"""libvirt's calls for the layers of a running domain's disks, and for a memory that was kept; a part of LibvirtHypervisor.

Each may be asked twice: what a layer lies on is read from the live XML first. Snapshots leave no metadata in libvirt: our
rows are what knows them, and a domain can be undefined without asking.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import libvirt
from lxml import etree

from tasks.hypervisor.driver import CallFailed
from tasks.hypervisor.libvirt_connection import LibvirtConnection
from tasks.hypervisor.libvirt_look import paths_in
from tasks.hypervisor.libvirt_move import with_paths

T = TypeVar("T")
MEMORY_DEADLINE_S, COMMIT_DEADLINE_S, LOOK_EVERY_S = 600.0, 3600.0, 0.1


class LibvirtSnapshots(LibvirtConnection):
    """What can be done with the layers of a running guest's disks."""

    def live_layers(self, domain: str, target: str) -> tuple[str, ...]:
        def act(connection: Any) -> tuple[str, ...]:
            found = connection.lookupByName(domain)
            return _layers(found, target) if found.isActive() else ()

        return self.call("read the layers of its disk", act)

    def take_snapshot(self, domain: str, written: Mapping[str, str], memory_path: str = "") -> None:
        def act(connection: Any) -> None:
            found = connection.lookupByName(domain)
            if all(_layers(found, target)[:1] == (path,) for target, path in written.items()):
                return
            flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
            if not memory_path:
                flags |= libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
            found.snapshotCreateXML(_snapshot_xml(found, written, memory_path), flags)

        self.call("take the snapshot", act, MEMORY_DEADLINE_S)

    def commit_layer(self, domain: str, target: str, base: str, top: str) -> None:
        def act(connection: Any) -> None:
            found = connection.lookupByName(domain)
            layers = _layers(found, target)
            if top not in layers:
                return
            is_active = layers[0] == top
            if not found.blockJobInfo(target):
                flags = libvirt.VIR_DOMAIN_BLOCK_COMMIT_ACTIVE if is_active else 0
                found.blockCommit(target, base, top, 0, flags)
            _await_commit(found, target, is_active, top)

        self.call("merge two layers of its disk", act, COMMIT_DEADLINE_S)

    def restore_memory(
        self, domain: str, memory_path: str, written: Mapping[str, str], files: Iterable[str] = ()
    ) -> None:
        def act(connection: Any) -> None:
            found = connection.lookupByName(domain)
            if found.isActive():
                return
            flags = libvirt.VIR_DOMAIN_SAVE_IMAGE_XML_SECURE
            root = etree.fromstring(_as_here(connection.saveImageGetXMLDesc(memory_path, flags), files))
            for target, path in written.items():
                _set_file(_disk(root, target), path)
            xml = etree.tostring(root, encoding="unicode")
            connection.restoreFlags(memory_path, xml, libvirt.VIR_DOMAIN_SAVE_RUNNING)

        self.call("go on from the kept memory", act, MEMORY_DEADLINE_S)


def _as_here(kept: str, files: Iterable[str]) -> str:
    """The XML of a memory, which may be of another host, with these files where they lie here."""
    here = {Path(path).name: path for path in files}
    named = {path: here.get(Path(path).name, path) for path in paths_in(kept)}
    return with_paths(kept, named)


def _await_commit(domain: Any, target: str, is_active: bool, top: str) -> None:
    """Until the job is over; the active layer's ends by our word, once what is written meanwhile is in both."""
    end = time.monotonic() + COMMIT_DEADLINE_S
    while top in _layers(domain, target):
        job = domain.blockJobInfo(target)
        if not job and not is_active and top in _layers(domain, target):
            raise CallFailed("the merge ended without merging: is the host's disk full?")
        if is_active and _is_ready(domain, target):
            with suppress(libvirt.libvirtError):  # not in step yet after all: asked again
                domain.blockJobAbort(target, libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT)
        if time.monotonic() > end:
            raise CallFailed("the merge takes longer than an hour")
        time.sleep(LOOK_EVERY_S)


def _is_ready(domain: Any, target: str) -> bool:
    mirror = _disk(etree.fromstring(domain.XMLDesc()), target).find("mirror")
    return mirror is not None and mirror.get("ready") == "yes"


def _layers(domain: Any, target: str) -> tuple[str, ...]:
    """The files of a disk, the one that is written first."""
    node: etree._Element | None = _disk(etree.fromstring(domain.XMLDesc()), target)
    found = []
    while node is not None:
        source = node.find("source")
        if source is not None and source.get("file"):
            found.append(str(source.get("file")))
        node = node.find("backingStore")
    return tuple(found)


def _disk(root: etree._Element, target: str) -> etree._Element:
    for node in root.iterfind("devices/disk"):
        place = node.find("target")
        if place is not None and place.get("dev") == target:
            return node
    raise CallFailed(f"the domain has no disk {target}")


def _set_file(disk: etree._Element, path: str) -> None:
    for old in disk.findall("backingStore"):
        disk.remove(old)
    source = disk.find("source")
    if source is not None:
        source.set("file", path)


def _snapshot_xml(domain: Any, written: Mapping[str, str], memory_path: str) -> str:
    root = etree.Element("domainsnapshot")
    if memory_path:
        etree.SubElement(root, "memory", snapshot="external", file=memory_path)
    disks = etree.SubElement(root, "disks")
    for node in etree.fromstring(domain.XMLDesc()).iterfind("devices/disk/target"):
        name = str(node.get("dev"))
        disk = etree.SubElement(disks, "disk", name=name, snapshot="external" if name in written else "no")
        if name in written:
            etree.SubElement(disk, "driver", type="qcow2")
            etree.SubElement(disk, "source", file=written[name])
    return etree.tostring(root, encoding="unicode")
