"""libvirt's storage calls: pools, the volumes in them, and disks of a running domain; a part of LibvirtHypervisor.

Each may be asked twice. Volumes are made by libvirt itself, so the worker needs no path of the host; their names are
ours, and the format is always said. While libvirt copies, its pool takes no refresh, which is then left for later.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import libvirt
from lxml import etree

from portal.volumes.reach import Lun, lun_key
from tasks.hypervisor.driver import PoolSeen, Storage, VolumeAsked
from tasks.hypervisor.libvirt_connection import LibvirtConnection
from tasks.hypervisor.pool_xml import WAKED, WITH_LUNS, kind_of, name_in_domains, reach_of, source_of, target_of

T = TypeVar("T")
COPY_DEADLINE_S = 3600.0
VIRTIO_SCSI = "<controller type='scsi' model='virtio-scsi'/>"


class LibvirtStorage(LibvirtConnection):
    """What a host's libvirt keeps volumes in."""

    def pools(self) -> tuple[PoolSeen, ...]:
        def act(connection: Any) -> tuple[PoolSeen, ...]:
            return tuple(_seen(pool) for pool in connection.listAllStoragePools())

        return self.call("list the storage pools", act)

    def ensure_pool(self, name: str, folder: str) -> None:
        def act(connection: Any) -> None:
            found = _pool_or_none(connection, name) or _defined(connection, name, folder)
            if not found.isActive():
                _activate(found)

        self.call("make its own storage pool", act)

    def refresh_pool(self, name: str) -> None:
        def act(connection: Any) -> None:
            found = _pool_or_none(connection, name)
            with suppress(libvirt.libvirtError):  # it copies a volume now: what it has is told by the next look
                if found is not None and found.isActive():
                    found.refresh()
                elif found is not None and found.autostart() and kind_of(_xml(found)) in WAKED:
                    found.create()  # its server was away when libvirt looked last, which stopped it

        self.call("look through a storage pool", act)

    def make_volume(self, asked: VolumeAsked) -> str:
        def act(connection: Any) -> str:
            pool = connection.storagePoolLookupByName(asked.pool)
            found = _volume_or_none(pool, asked.name)
            if found is None and asked.copy_of:
                found = pool.createXMLFrom(_volume_xml(asked), pool.storageVolLookupByName(asked.copy_of))
                if found.info()[1] < asked.size_bytes:  # of RBD's copies, which are as large as what they lie on
                    found.resize(asked.size_bytes)
            elif found is None:
                found = pool.createXML(_volume_xml(asked))
            return name_in_domains(_xml(pool), asked.name, str(found.path()))

        return self.call("make the volume", act, COPY_DEADLINE_S if asked.copy_of else None)

    def fill_volume(self, pool: str, name: str, path: str) -> None:
        def act(connection: Any) -> None:
            volume = connection.storagePoolLookupByName(pool).storageVolLookupByName(name)
            stream = connection.newStream(0)
            with open(path, "rb") as file:
                volume.upload(stream, 0, os.fstat(file.fileno()).st_size, 0)
                stream.sendAll(lambda _stream, count, source: source.read(count), file)
                stream.finish()

        self.call("fill the volume", act, COPY_DEADLINE_S)

    def copy_volume(self, volume: tuple[str, str], to: Storage, into: tuple[str, str]) -> None:
        assert isinstance(to, LibvirtStorage)
        there = to.call("take the volume", lambda found: found)

        def act(connection: Any) -> None:
            source, target = (
                found.storagePoolLookupByName(pool).storageVolLookupByName(name)
                for found, (pool, name) in ((connection, volume), (there, into))
            )
            _pour(connection, source, there, target)

        self.call("copy the volume to another host", act, COPY_DEADLINE_S)

    def remove_volume(self, pool: str, name: str) -> None:
        def look(connection: Any) -> tuple[Any, bool, str]:
            found = _pool_or_none(connection, pool)
            volume = _volume_or_none(found, name) if found is not None else None
            if found is None or volume is None:
                return None, False, ""
            return volume, volume.info()[0] == libvirt.VIR_STORAGE_VOL_BLOCK, kind_of(_xml(found))

        volume, is_block, kind = self.call("look for the volume", look)
        if is_block or kind in WITH_LUNS:  # the next volume there would show what this one held
            self.call("clear the volume", lambda _connection: volume.wipe(), COPY_DEADLINE_S)
        if volume is not None and kind not in WITH_LUNS:
            flags = libvirt.VIR_STORAGE_VOL_DELETE_WITH_SNAPSHOTS if kind == "rbd" else 0  # which its copies left on it
            self.call("remove the volume", lambda _connection: volume.delete(flags))

    def grow_volume(self, pool: str, name: str, size_bytes: int) -> None:
        def act(connection: Any) -> None:
            volume = connection.storagePoolLookupByName(pool).storageVolLookupByName(name)
            if volume.info()[1] < size_bytes:
                volume.resize(size_bytes)

        self.call("grow the volume", act)

    def volume_bytes(self, pool: str, name: str) -> int:
        def act(connection: Any) -> int:
            return int(connection.storagePoolLookupByName(pool).storageVolLookupByName(name).info()[1])

        return self.call("read the volume's size", act)

    def live_disks(self, domain: str) -> frozenset[str]:
        def act(connection: Any) -> frozenset[str]:
            found = connection.lookupByName(domain)
            return frozenset(_disks(found)) if found.isActive() else frozenset()

        return self.call("read the domain's disks", act)

    def plug_disk(self, domain: str, serial: str, xml: str) -> None:
        def act(connection: Any) -> None:
            found = connection.lookupByName(domain)
            if serial in _disks(found):
                return
            if 'bus="scsi"' in xml and not _has_scsi(found):  # libvirt's own choice would be an LSI chip
                found.attachDeviceFlags(VIRTIO_SCSI, libvirt.VIR_DOMAIN_AFFECT_LIVE)
            found.attachDeviceFlags(xml, libvirt.VIR_DOMAIN_AFFECT_LIVE)

        self.call("plug the disk", act)

    def unplug_disk(self, domain: str, serial: str) -> None:
        def act(connection: Any) -> None:
            found = connection.lookupByName(domain)
            disk = _disks(found).get(serial)
            if disk is not None:
                with suppress(libvirt.libvirtError):  # it is being let go of already, or not yet: `live_disks` tells
                    found.detachDeviceFlags(etree.tostring(disk, encoding="unicode"), libvirt.VIR_DOMAIN_AFFECT_LIVE)

        self.call("unplug the disk", act)


def _seen(pool: Any) -> PoolSeen:
    state, capacity, _, available = pool.info()
    root = etree.fromstring(pool.XMLDesc())
    where = target_of(root) or root.findtext("source/name") or root.findtext("target/path") or ""
    return PoolSeen(
        name=str(pool.name()), kind=kind_of(root), target=where, capacity_bytes=int(capacity),
        available_bytes=int(available), is_active=state == libvirt.VIR_STORAGE_POOL_RUNNING, source=source_of(root),
        reach=reach_of(root), luns=_luns(pool, root),
    )  # fmt: skip


def _luns(pool: Any, root: etree._Element) -> tuple[Lun, ...]:
    """The LUNs that a pool has, by size; none of a pool of another kind."""
    target = target_of(root)
    if not target or not pool.isActive():
        return ()
    told = ((lun_key(target, str(one.name())), int(one.info()[1])) for one in pool.listAllVolumes())
    return tuple(
        sorted((Lun(key, size) for key, size in told if key and size), key=lambda one: (one.size_bytes, one.key))
    )


def _pour(connection: Any, source: Any, there: Any, target: Any) -> None:
    """Every byte of a volume into another host's; a file's holes stay holes."""
    has_holes = source.info()[0] == libvirt.VIR_STORAGE_VOL_FILE
    down, up = connection.newStream(0), there.newStream(0)
    source.download(down, 0, 0, libvirt.VIR_STORAGE_VOL_DOWNLOAD_SPARSE_STREAM if has_holes else 0)
    try:
        target.upload(up, 0, 0, libvirt.VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM if has_holes else 0)

        def write(_stream: Any, chunk: bytes, _opaque: Any) -> int:
            rest = memoryview(chunk)
            while rest:
                rest = rest[up.send(bytes(rest)) :]
            return len(chunk)

        if has_holes:
            down.sparseRecvAll(write, lambda _stream, length, _opaque: up.sendHole(length), None)
        else:
            down.recvAll(write, None)
        up.finish()
    except BaseException:
        with suppress(libvirt.libvirtError):
            up.abort()
        raise
    finally:
        with suppress(libvirt.libvirtError):
            down.finish()


def _xml(pool: Any) -> etree._Element:
    return etree.fromstring(pool.XMLDesc())


def _defined(connection: Any, name: str, folder: str) -> Any:
    """The pool, newly defined; somebody else may have done so since it was looked for."""
    try:
        return connection.storagePoolDefineXML(_folder_pool(name, folder))
    except libvirt.libvirtError:
        found = _pool_or_none(connection, name)
        if found is None:
            raise
        return found


def _activate(pool: Any) -> None:
    """Build and start it; somebody else, such as libvirt's own autostart, may have done so since it was looked at."""
    try:
        pool.build()
        pool.create()
    except libvirt.libvirtError:
        if not pool.isActive():
            raise
    pool.setAutostart(1)


def _folder_pool(name: str, folder: str) -> str:
    root = etree.Element("pool", type="dir")
    etree.SubElement(root, "name").text = name
    etree.SubElement(etree.SubElement(root, "target"), "path").text = folder
    return etree.tostring(root, encoding="unicode")


def _volume_xml(asked: VolumeAsked) -> str:
    root = etree.Element("volume")
    etree.SubElement(root, "name").text = asked.name
    etree.SubElement(root, "capacity", unit="bytes").text = str(asked.size_bytes)
    if asked.disk_format == "qcow2":
        etree.SubElement(root, "allocation").text = "0"
        target = etree.SubElement(root, "target")
        etree.SubElement(target, "format", type="qcow2")
        etree.SubElement(target, "compat").text = "1.1"
    return etree.tostring(root, encoding="unicode")


def _pool_or_none(connection: Any, name: str) -> Any:
    return _or_none(lambda: connection.storagePoolLookupByName(name), libvirt.VIR_ERR_NO_STORAGE_POOL)


def _volume_or_none(pool: Any, name: str) -> Any:
    return _or_none(lambda: pool.storageVolLookupByName(name), libvirt.VIR_ERR_NO_STORAGE_VOL)


def _or_none(look: Callable[[], Any], absent: int) -> Any:
    try:
        return look()
    except libvirt.libvirtError as problem:
        if problem.get_error_code() == absent:
            return None
        raise


def _disks(domain: Any) -> dict[str, etree._Element]:
    """The live XML's disks that have a serial, by it."""
    nodes = etree.fromstring(domain.XMLDesc()).iterfind("devices/disk")
    return {serial: node for node in nodes if (serial := node.findtext("serial"))}


def _has_scsi(domain: Any) -> bool:
    nodes = etree.fromstring(domain.XMLDesc()).iterfind("devices/controller")
    return any(node.get("type") == "scsi" for node in nodes)
