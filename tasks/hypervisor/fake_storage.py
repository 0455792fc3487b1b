"""The fake hypervisor's storage: volumes by pool and name, and the disks that are plugged."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from lxml import etree

from portal.volumes.reach import Lun, lun_name
from tasks.hypervisor.disks import ensure_overlay
from tasks.hypervisor.driver import CallFailed, CopyProgress, PoolSeen, PourAsked, Storage, VolumeAsked, VolumeSeen
from tasks.hypervisor.fake_calls import FakeCalls
from tasks.hypervisor.pool_xml import WITH_LUNS

OWN = (PoolSeen("hopsight", "dir", "/disks/volumes", 100 * 1024**3, 90 * 1024**3, True),)


@dataclass
class FakeStorage(FakeCalls):
    """Volumes with their sizes; also as files, where a folder for them is given. A guest that `is_deaf` lets go of no disk."""

    is_deaf: bool = False  # its guests do not listen: not to the power button, not to an unplugging
    volumes: dict[tuple[str, str], int] = field(default_factory=dict)
    volume_folder: str = ""
    copies: dict[str, str] = field(default_factory=dict)
    plugged: dict[str, set[str]] = field(default_factory=dict)
    contents: dict[tuple[str, str], str] = field(default_factory=dict)  # a word that was written to a volume
    pools_told: tuple[PoolSeen, ...] = OWN
    cleared: list[tuple[str, str]] = field(default_factory=list)  # LUNs, which stay
    pours: dict[str, PourAsked] = field(default_factory=dict)  # those under way: they end at the first look
    pours_fail: str = ""
    poured_files: dict[tuple[str, str], bytes] = field(default_factory=dict)  # what was poured of a file

    def pools(self) -> tuple[PoolSeen, ...]:
        self.enter("pools")
        return self.pools_told

    def ensure_pool(self, name: str, folder: str) -> None:
        self.enter("ensure_pool")

    def refresh_pool(self, name: str) -> None:
        self.enter("refresh_pool")
        if self.volume_folder:
            there = {(name, path.name): path.stat().st_size for path in Path(self.volume_folder).iterdir()}
            self.volumes = {key: size for key, size in self.volumes.items() if key[0] != name or key in there}
            self.volumes = there | self.volumes

    def pool_volumes(self, pool: str) -> tuple[VolumeSeen, ...]:
        self.enter("pool_volumes")
        if self._has_luns(pool):
            told = (lun for one in self.pools_told if one.name == pool for lun in one.luns)
            return tuple(VolumeSeen(lun_name(lun.key), lun.key, lun.size_bytes) for lun in told)
        there = (name for where, name in self.volumes if where == pool)
        folder = self.volume_folder or f"/{pool}"
        return tuple(VolumeSeen(name, f"{folder}/{name}", self.volumes[pool, name]) for name in sorted(there))

    def _has_luns(self, pool: str) -> bool:
        return any(one.name == pool and one.kind in WITH_LUNS for one in self.pools_told)

    def _lun(self, pool: str, name: str) -> Lun | None:
        luns = (lun for one in self.pools_told if one.name == pool for lun in one.luns)
        return next((lun for lun in luns if lun_name(lun.key) == name), None)

    def make_volume(self, asked: VolumeAsked) -> str:
        self.enter("make_volume")
        if asked.copy_of and (asked.pool, asked.copy_of) not in self.volumes:
            raise CallFailed(f"there is no volume {asked.copy_of}")
        if lun := self._lun(asked.pool, asked.name):
            self.volumes.setdefault((asked.pool, asked.name), lun.size_bytes)
            return lun.key
        if self._has_luns(asked.pool):
            raise CallFailed(f"could not make the volume: storage pool does not support volume creation ({asked.name})")
        self.volumes.setdefault((asked.pool, asked.name), asked.size_bytes)
        self.copies[asked.name] = asked.copy_of
        if not self.volume_folder:
            return f"/{asked.pool}/{asked.name}"
        path = Path(self.volume_folder) / asked.name
        ensure_overlay(path, "", "", asked.size_bytes // 1024**3)
        return str(path)

    def fill_volume(self, pool: str, name: str, path: str) -> None:
        self.enter("fill_volume")
        if (pool, name) not in self.volumes:
            raise CallFailed(f"there is no volume {name}")
        if self.volume_folder:
            shutil.copyfile(path, Path(self.volume_folder) / name)

    def copy_volume(self, volume: tuple[str, str], to: Storage, into: tuple[str, str]) -> None:
        self.enter("copy_volume")
        assert isinstance(to, FakeStorage)
        if volume not in self.volumes or into not in to.volumes:
            raise CallFailed(f"there is no volume {volume if volume not in self.volumes else into}")
        to.contents[into] = self.contents.get(volume, "")
        if self.volume_folder and to.volume_folder:
            shutil.copyfile(Path(self.volume_folder, volume[1]), Path(to.volume_folder, into[1]))

    def begin_pour(self, asked: PourAsked) -> None:
        self.enter("begin_pour")
        size = self.volumes.get(asked.of, -1) if asked.of[0] else Path(asked.of[1]).stat().st_size
        if size < 0 or asked.into not in self.volumes:
            raise CallFailed(f"there is no volume {asked.of if size < 0 else asked.into}")
        if self._has_luns(asked.into[0]) and self.volumes[asked.into] < size:
            raise CallFailed(f"{asked.into[1]} of {asked.into[0]} has {self.volumes[asked.into]} bytes")
        self.pours[asked.name] = asked
        self.contents[asked.into] = "half of it"
        self.volumes[asked.into] = max(self.volumes[asked.into], size)

    def pour_progress(self, name: str) -> CopyProgress:
        self.enter("pour_progress")
        asked = self.pours.get(name)
        if asked is None or self.pours_fail:
            return CopyProgress(has_ended=True, problem=self.pours_fail or "it is there no longer")
        self.contents[asked.into] = self.contents.get(asked.of, "") if asked.of[0] else asked.of[1]
        if not asked.of[0]:
            self.poured_files[asked.into] = Path(asked.of[1]).read_bytes()
        return CopyProgress(1, 1, has_ended=True)

    def end_pour(self, name: str) -> None:
        self.enter("end_pour")
        self.pours.pop(name, None)

    def remove_volume(self, pool: str, name: str) -> None:
        self.enter("remove_volume")
        self.contents.pop((pool, name), None)
        if self._has_luns(pool):
            self.cleared.append((pool, name))
        if self.volume_folder:
            (Path(self.volume_folder) / name).unlink(missing_ok=True)
        self.volumes.pop((pool, name), None)

    def grow_volume(self, pool: str, name: str, size_bytes: int) -> None:
        self.enter("grow_volume")
        self.volumes[pool, name] = max(self.volumes[pool, name], size_bytes)

    def volume_bytes(self, pool: str, name: str) -> int:
        self.enter("volume_bytes")
        return self.volumes[pool, name]

    def live_disks(self, domain: str) -> frozenset[str]:
        self.enter("live_disks")
        return frozenset(self.plugged.get(domain, ()))

    def plug_disk(self, domain: str, serial: str, xml: str) -> None:
        self.enter("plug_disk")
        self.plugged[domain] |= serials_of(f"<domain><devices>{xml}</devices></domain>")

    def unplug_disk(self, domain: str, serial: str) -> None:
        self.enter("unplug_disk")
        if not self.is_deaf:
            self.plugged[domain].discard(serial)


def serials_of(xml: str) -> set[str]:
    """The serials of the disks in a domain's XML."""
    return {str(node.text) for node in etree.fromstring(xml).iterfind("devices/disk/serial")}
