"""A live migration by libvirt, managed by this client: it holds both hosts' connections, and sees when the guest stops here.

The domain arrives paused: its flows are to be on the other host before it runs there (the saga's next stage). Disks that
lie on this host alone are copied by QEMU (NBD) into overlays that were made beforehand, their base image aside.

An emulated guest (TCG) is stopped as soon as its memory's turn comes: QEMU 7.2 now and then misses what such a guest writes
meanwhile, and it then panics on the other host (seen once in five moves). Its disk is copied while it runs, as any other's.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import libvirt
from lxml import etree

from tasks.hypervisor.driver import HypervisorError, MoveAsked, MoveProgress

if TYPE_CHECKING:
    from tasks.hypervisor.libvirt_driver import LibvirtHypervisor

MOVE_DEADLINE_S = 24 * 3600.0  # the saga aborts it long before
FLAGS = (
    libvirt.VIR_MIGRATE_LIVE
    | libvirt.VIR_MIGRATE_PERSIST_DEST
    | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
    | libvirt.VIR_MIGRATE_PAUSED
)


class LibvirtMove:
    """One migration, in a thread of its own."""

    def __init__(self, asked: MoveAsked, here: LibvirtHypervisor, there: LibvirtHypervisor) -> None:
        self._asked, self._here, self._there = asked, here, there
        self._changed = threading.Condition()
        self._stopped, self._ended = False, False
        self._is_told = False  # that the guest has stopped, to who waits
        self._problem: BaseException | None = None
        threading.Thread(target=self._run, name=f"move-{asked.domain}", daemon=True).start()

    def wait(self, seconds: float) -> bool:
        with self._changed:  # it may have stopped while who waits was elsewhere: each moment counts then
            self._changed.wait_for(lambda: self._ended or self._stopped != self._is_told, seconds)
            self._is_told = self._stopped
            return self._ended

    @property
    def has_stopped(self) -> bool:
        return self._stopped

    def progress(self) -> MoveProgress | None:
        def act(connection: Any) -> MoveProgress:
            stats = connection.lookupByName(self._asked.domain).jobStats()
            total = stats.get(libvirt.VIR_DOMAIN_JOB_DATA_TOTAL, 0)
            rate = stats.get(libvirt.VIR_DOMAIN_JOB_MEMORY_BPS, 0) + stats.get(libvirt.VIR_DOMAIN_JOB_DISK_BPS, 0)
            return MoveProgress(stats.get(libvirt.VIR_DOMAIN_JOB_DATA_PROCESSED, 0), total, rate)

        with suppress(HypervisorError):
            found = self._here.call("ask how far it is", act)
            return found if found.total_bytes else None
        return None

    def abort(self) -> None:
        with suppress(HypervisorError):  # it has ended meanwhile
            self._here.call(
                "end the migration", lambda connection: connection.lookupByName(self._asked.domain).abortJob()
            )

    def result(self) -> None:
        if self._problem is not None:
            raise self._problem

    def _run(self) -> None:
        try:
            self._here.call("migrate the domain", self._migrate, MOVE_DEADLINE_S)
        except BaseException as problem:  # told by `result`, in the saga's thread
            self._problem = problem
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _migrate(self, connection: Any) -> None:
        domain = connection.lookupByName(self._asked.domain)
        kind = libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
        watching = [connection.domainEventRegisterAny(domain, kind, self._on_event, None)]
        if self._asked.stops_first:
            begun = libvirt.VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION
            watching.append(connection.domainEventRegisterAny(domain, begun, self._on_memory, None))
        try:
            live = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE | libvirt.VIR_DOMAIN_XML_MIGRATABLE)
            wanted: dict[str, Any] = {
                libvirt.VIR_MIGRATE_PARAM_URI: f"tcp://{self._asked.address}",
                libvirt.VIR_MIGRATE_PARAM_DEST_XML: with_volumes(
                    with_paths(live, self._asked.paths), self._asked.volumes
                ),
                libvirt.VIR_MIGRATE_PARAM_PERSIST_XML: self._asked.definition,
            }
            flags = FLAGS if self._asked.stops_first else FLAGS | libvirt.VIR_MIGRATE_AUTO_CONVERGE
            if self._asked.copied:
                wanted[libvirt.VIR_MIGRATE_PARAM_MIGRATE_DISKS] = list(self._asked.copied)
                flags |= libvirt.VIR_MIGRATE_NON_SHARED_INC
            there = self._there.call("take the domain", lambda found: found)
            domain.migrate3(there, wanted, flags)
        finally:
            for one in watching:
                with suppress(libvirt.libvirtError):
                    connection.domainEventDeregisterAny(one)

    def _on_memory(self, _connection: Any, _domain: Any, iteration: int, _opaque: Any) -> None:
        if iteration == 1:  # a call of its own: this is libvirt's event thread, which calls need
            threading.Thread(target=self._stop, name=f"stop-{self._asked.domain}", daemon=True).start()

    def _stop(self) -> None:
        with suppress(HypervisorError):  # it has come to its end meanwhile
            self._here.suspend(self._asked.domain)
            self._note_stopped()

    def _note_stopped(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _on_event(self, _connection: Any, _domain: Any, event: int, detail: int, _opaque: Any) -> None:
        if (event, detail) == (libvirt.VIR_DOMAIN_EVENT_SUSPENDED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED):
            self._note_stopped()


def with_paths(xml: str, paths: Mapping[str, str]) -> str:
    """A live domain's XML with its files as they are called on another host; sockets are that libvirt's own to name."""
    root = etree.fromstring(xml)
    for place, name in (("devices/disk/source", "file"), ("devices/*/log", "file")):
        for node in root.iterfind(place):
            if node.get(name) in paths:
                node.set(name, paths[str(node.get(name))])
    for disk in root.iterfind("devices/disk"):
        for below in disk.findall("backingStore"):  # there the files have other names; that host's libvirt finds them
            disk.remove(below)
    for node in [*root.iterfind("devices/graphics"), *root.iterfind("devices/graphics/listen")]:
        node.attrib.pop("socket", "")
    return etree.tostring(root, encoding="unicode")


def with_volumes(xml: str, volumes: Mapping[str, str]) -> str:
    """A live domain's XML with these disks, by serial, as they are on another host: what the guest sees of each stays."""
    root = etree.fromstring(xml)
    for disk in root.iterfind("devices/disk"):
        told = volumes.get(disk.findtext("serial") or "")
        if told is None:
            continue
        there = etree.fromstring(told)
        disk.set("type", str(there.get("type")))
        for name in ("driver", "source"):
            was, becomes = disk.find(name), there.find(name)
            if was is not None and becomes is not None:
                disk.replace(was, becomes)
    return etree.tostring(root, encoding="unicode")
