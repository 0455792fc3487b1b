"""Orphans: what is on a host, has our mark, and no row explains. Found here, periodically; removed only by an operation
that an operator asked for (tasks/sagas/host_clean.py).

Our mark is a name of ours: `hs-<uuid>` of a domain (whose definition must say so too) and of files in the host's folder,
`hs-vol-<uuid>` in a pool, an OVS interface id. The uuid is looked up in the rows: what has a row where it should be, or is
named by an unfinished operation, is none. What the books know nothing of may be another Hopsight's: it is shown, and not
offered to be cleaned; nor is what any domain of the host names.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from portal.compute.models import VM
from portal.hosts.models import Host, Orphan, OrphanKind
from portal.networks.models import Port
from portal.volumes.models import KINDS, OWN_POOL, Pool, Volume
from portal.volumes.places import is_same_storage
from sdn.model.plug import bridge_name
from tasks.hypervisor.disks import DiskProblem, backing_of
from tasks.hypervisor.domain_xml import is_ours
from tasks.hypervisor.driver import DomainState, Hypervisor, HypervisorError, VolumeSeen
from tasks.hypervisor.registry import hypervisor_of
from tasks.reconcile.books import read_books
from tasks.reconcile.stray_ports import stray_ports
from tasks.sagas.engine import Hypervisors

log = logging.getLogger("hopsight.orphans")
UUID_TEXT = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
DOMAIN = re.compile(rf"hs-({UUID_TEXT})")
FILE = re.compile(rf"hs-({UUID_TEXT})([.-].*)")
VOLUME = re.compile(rf"hs-vol-({UUID_TEXT})(-[0-9a-f]{{12}})?(\.[a-z0-9.]+)?")
LAYER = re.compile(rf"hs-vol-{UUID_TEXT}-")
# How the rest of a file's name says what it is; the first that fits counts.
SORTS: tuple[tuple[str, str], ...] = (
    (r".*\.new", "half-written file"),
    (r"\.qcow2", "disk"),
    (r"-seed\.iso", "seed"),
    (r"-console\.log.*", "console log"),
    (r"-rescue\.qcow2", "rescue disk"),
    (r"-old\.qcow2", "disk from before a rebuild"),
    (r"-.*\.qcow2", "layer of a snapshot"),
    (r"-.*\.mem", "memory of a snapshot"),
)
PROBE_ENDING = ".probe"  # of what a move made to see whether two pools are the same storage
UNKNOWN = "the books know nothing of it: it may be another Hopsight’s. Remove it by hand if you know better."
LIVE = (DomainState.RUNNING, DomainState.PAUSED)


@dataclass(frozen=True, slots=True)
class Found:
    """One orphan. `used_by` is a domain that names it, perhaps itself an orphan that goes first."""

    kind: OrphanKind
    name: str
    where: str
    was: str
    size_bytes: int | None = None
    changed_at: datetime | None = None
    refusal: str = ""
    used_by: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return str(self.kind.value), self.name


def find_all_orphans(hypervisors: Hypervisors = hypervisor_of) -> None:
    """Keep what is on each host that no row explains; hosts that do not answer keep what was found before."""
    for host in Host.objects.all():
        try:
            hypervisor = hypervisors(host)
            remove_bridges(host, hypervisor)
            record_orphans(host, find_orphans(host, hypervisor))
        except (HypervisorError, OSError) as problem:
            log.warning("not looked at host=%s problem=%s", host.name, problem)


def record_orphans(host: Host, found: list[Found]) -> None:
    """The host's orphans are these; when each was found first stays."""
    with transaction.atomic():
        kept = {(row.kind, row.name): row for row in Orphan.objects.filter(host=host)}
        fresh = {one.key: one for one in found}
        for key, one in fresh.items():
            told = {
                "where": one.where[:400], "size_bytes": one.size_bytes, "changed_at": one.changed_at,
                "was": one.was[:300], "refusal": one.refusal[:300],
            }  # fmt: skip
            row = kept.get(key)
            if row is None:
                Orphan.objects.create(host=host, kind=one.kind, name=one.name, found_at=timezone.now(), **told)
                log.warning("orphan found host=%s kind=%s name=%s was=%s", host.name, one.kind, one.name, one.was)
            elif any(getattr(row, name) != value for name, value in told.items()):
                Orphan.objects.filter(pk=row.pk).update(**told)
        Orphan.objects.filter(pk__in=[row.pk for key, row in kept.items() if key not in fresh]).delete()


def find_orphans(host: Host, hypervisor: Hypervisor) -> list[Found]:
    """Everything on the host that no row explains now. Changes nothing."""
    return _Look(host, hypervisor).found()


def remove_bridges(host: Host, hypervisor: Hypervisor) -> list[str]:
    """The Linux bridges that were removed: no row has their port, and no running domain uses them. They are cables that the
    next start makes anew, and hold nothing of anybody's: nobody is asked."""
    removed = []
    for port in hypervisor.idle_bridges():
        if not Port.objects.filter(uuid=port).exists():
            hypervisor.remove_bridge(port)
            log.warning("orphan removed host=%s bridge=%s", host.name, bridge_name(port))
            removed.append(bridge_name(port))
    return removed


class _Look:
    """One look at one host: what it has is read once, then the rows."""

    def __init__(self, host: Host, hypervisor: Hypervisor) -> None:
        self._host, self._hypervisor = host, hypervisor
        self._states = hypervisor.states()
        self._files = _files_of_ours(host)
        self._volumes = _volumes_of_ours(hypervisor)
        domains = {match[1] for name in self._states if (match := DOMAIN.fullmatch(name))}
        met = {*domains, *(uuid for uuid, _ in self._files.values()), *(uuid for uuid, _, _ in self._volumes)}
        self._books = read_books(UUID(text) for text in met)  # after the host: a row that is made meanwhile counts

    def found(self) -> list[Found]:
        ports = stray_ports(self._host, self._hypervisor, self._states)
        there = [*self._domains(), *self._file_orphans(), *self._volume_orphans()]
        going = {one.name for one in there if one.kind == OrphanKind.DOMAIN and not one.refusal}
        told = [Found(OrphanKind.PORT, one.name, one.where, one.was, refusal=one.refusal) for one in ports]
        return [*(self._with_users(one, going) for one in there), *told]

    def _domains(self) -> Iterator[Found]:
        for name, state in sorted(self._states.items()):
            match = DOMAIN.fullmatch(name)
            if match is None or (uuid := UUID(match[1])) in self._books.busy:
                continue
            vm = self._books.vms.get(uuid)
            if vm is not None and (vm.host_id is None or vm.host_id == self._host.pk):
                continue
            if self._hypervisor.state(name) is DomainState.ABSENT:  # an operation ended since the list was read
                continue
            refusal = "" if vm or uuid in self._books.past else UNKNOWN
            if vm is not None and state in LIVE:
                refusal = f"it runs here, though the books say that {vm.name} is on {vm.host}: look which one is right"
            elif not is_ours(self._hypervisor.definition(name)):
                refusal = "its definition does not have Hopsight’s mark"
            yield Found(OrphanKind.DOMAIN, name, state.value, self._was("domain", uuid, vm), refusal=refusal)

    def _file_orphans(self) -> Iterator[Found]:
        for name, (text, rest) in sorted(self._files.items()):
            uuid = UUID(text)
            vm = self._books.vms.get(uuid)
            if uuid in self._books.busy or (vm is not None and self._is_explained(vm, name, rest)):
                continue
            path = Path(self._host.disks_dir, name)
            try:
                stat = path.lstat()
            except FileNotFoundError:
                continue
            sort = next((words for pattern, words in SORTS if re.fullmatch(pattern, rest)), "file")
            yield Found(
                OrphanKind.FILE, name, str(path), self._was(sort, uuid, vm), stat.st_blocks * 512,
                datetime.fromtimestamp(int(stat.st_mtime), UTC), "" if vm or uuid in self._books.past else UNKNOWN,
            )  # fmt: skip

    def _volume_orphans(self) -> Iterator[Found]:
        for text, pool, seen in self._volumes:
            uuid = UUID(text)
            volume = self._books.volumes.get(uuid)
            if uuid in self._books.busy or (volume is not None and self._is_where_it_is(volume, pool, seen)):
                continue
            changed = datetime.fromtimestamp(int(seen.changed_at), UTC) if seen.changed_at else None
            refusal = self._why_it_stays(volume, pool) if volume else "" if uuid in self._books.past else UNKNOWN
            was = _was_volume(volume, seen) if volume else self._books.past.get(uuid, "nothing that the books know")
            yield Found(
                OrphanKind.VOLUME, f"{pool}/{seen.name}", seen.path, was, seen.size_bytes, changed, refusal
            )  # fmt: skip

    def _is_where_it_is(self, volume: Volume, pool: str, seen: VolumeSeen) -> bool:
        """Its row is of this host, or of another one's pool that is the same storage."""
        if volume.pool is None or volume.pool.host_id == self._host.pk:
            return not seen.name.endswith(PROBE_ENDING) and not _is_stray_layer(volume, seen)
        mine = self._pools.get(pool)
        return mine is None or is_same_storage(mine, volume.pool)

    def _why_it_stays(self, volume: Volume, pool: str) -> str:
        """What may be the volume itself is not offered to be removed: only of hosts' own folders it is known which is which."""
        if volume.pool is None or volume.pool.host_id == self._host.pk or pool == volume.pool.name == OWN_POOL:
            return ""
        return f"it is in {volume.pool} by the books: if that is the same storage as {pool} here, this is the volume itself"

    @cached_property
    def _pools(self) -> dict[str, Pool]:
        return {pool.name: pool for pool in Pool.objects.filter(host=self._host).select_related("host")}

    def _is_explained(self, vm: VM, name: str, rest: str) -> bool:
        """The VM is here, or where the same folder is, and the file is one that it has now."""
        if vm.host is None or not _is_same_folder(vm.host.disks_dir, self._host.disks_dir):
            return vm.host is None
        if rest.startswith("-console.log"):
            return True
        try:
            return name in _files_that_it_has(vm) or name in self._chain(vm)
        except DiskProblem:  # a file that cannot be read may lie on any other
            return True

    def _chain(self, vm: VM) -> frozenset[str]:
        """The names of the files that the VM's disk and its snapshots lie on, as the files themselves say."""
        folder, found = Path(self._host.disks_dir), set()
        for name in _files_that_it_has(vm):
            path = folder / name
            while path.suffix == ".qcow2" and path.is_file() and path.name not in found:
                found.add(path.name)
                below = backing_of(path)
                path = Path(below) if below else folder
        return frozenset(found)

    def _was(self, sort: str, uuid: UUID, vm: VM | None) -> str:
        if vm is None:
            return f"{sort} of {self._books.past.get(uuid, 'nothing that the books know')}"
        where = "which has it no more" if vm.host_id == self._host.pk else f"which is on {vm.host} now"
        return f"{sort} of VM {vm.name} of team {vm.team.name}, {where}"

    def _with_users(self, one: Found, going: set[str]) -> Found:
        users = () if one.kind == OrphanKind.DOMAIN else sorted(self._in_use.get(os.path.realpath(one.where), ()))
        if not users:
            return one
        staying = [name for name in users if name not in going]
        words = f"the domain {staying[0]} of this host names it" if staying else ""
        return replace(one, used_by=users[0], refusal=one.refusal or words)

    @cached_property
    def _in_use(self) -> Mapping[str, set[str]]:
        """Path → domains that name it, or name what lies on it."""
        used: dict[str, set[str]] = {}
        for path, domain in self._hypervisor.files_in_use():
            below = os.path.realpath(path)
            while domain not in used.setdefault(below, set()):
                used[below].add(domain)
                below = _below(Path(below))
        return used


def _below(path: Path) -> str:
    """What a file of ours lies on; the root folder, which no domain names, for nothing."""
    if path.suffix != ".qcow2" or not FILE.fullmatch(path.name) or not path.is_file():
        return "/"
    try:
        return os.path.realpath(backing_of(path) or "/")
    except DiskProblem:
        return "/"


def _files_that_it_has(vm: VM) -> frozenset[str]:
    """The names of the files that the VM's rows ask for."""
    stem = f"hs-{vm.uuid}"
    names = {vm.disk_name or f"{stem}.qcow2", f"{stem}-seed.iso"}
    if vm.rescue_image_id is not None:
        names.add(f"{stem}-rescue.qcow2")
    for snapshot in vm.snapshots.all():
        names |= {snapshot.disk_name, snapshot.memory_name if snapshot.has_memory else ""}
    return frozenset(filter(None, names))


def _is_stray_layer(volume: Volume, seen: VolumeSeen) -> bool:
    """A layer that no row names, and that nothing which is written, or froze in a snapshot, lies on."""
    names = {volume.file_name, *(one.file_name for one in volume.moments.all())}
    if not LAYER.match(seen.name) or seen.name in names:
        return False
    folder, below = Path(volume.path).parent, set[str]()
    try:
        for name in filter(None, names):
            path = folder / name
            while path.is_file() and path.name not in below:
                below.add(path.name)
                path = Path(backing_of(path) or folder)
    except DiskProblem:  # a file that cannot be read may lie on any other
        return False
    return seen.name not in below


def _was_volume(volume: Volume, seen: VolumeSeen) -> str:
    if volume.pool is not None and LAYER.match(seen.name):
        return f"layer of a snapshot of volume {volume.name} of team {volume.team.name}, which has it no more"
    return f"volume {volume.name} of team {volume.team.name}, which is in {volume.pool} now"


def _files_of_ours(host: Host) -> dict[str, tuple[str, str]]:
    """Name → (uuid, the rest of the name) of the files in the host's folder; none where an earlier host has the same folder."""
    earlier = Host.objects.filter(pk__lt=host.pk).values_list("disks_dir", flat=True)
    if any(_is_same_folder(folder, host.disks_dir) for folder in earlier):
        return {}
    try:
        with os.scandir(host.disks_dir) as entries:
            plain = [one.name for one in entries if one.is_file(follow_symlinks=False)]
    except FileNotFoundError:
        return {}
    return {name: (match[1], match[2]) for name in plain if (match := FILE.fullmatch(name))}


def _volumes_of_ours(hypervisor: Hypervisor) -> list[tuple[str, str, VolumeSeen]]:
    """(uuid, pool, volume) of what has our mark in the pools that are active."""
    pools = [pool.name for pool in hypervisor.pools() if pool.is_active and pool.kind in KINDS]
    return [
        (match[1], pool, seen)
        for pool in pools
        for seen in hypervisor.pool_volumes(pool)
        if (match := VOLUME.fullmatch(seen.name))
    ]


def _is_same_folder(one: str, other: str) -> bool:
    try:
        return one.rstrip("/") == other.rstrip("/") or os.path.samefile(one, other)
    except OSError:
        return False
