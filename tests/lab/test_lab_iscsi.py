"""LUNs of a real iSCSI target as volumes, by the sagas and the real driver: QEMU itself goes there, as does libvirt (iscsi-direct).

[worker]--libvirt--[hv1: guest luns-1 · QEMU]--iSCSI on hv1's loopback--[tgtd: LUN 1, LUN 2]

Needs Debian's tgt, libvirt-daemon-driver-storage-iscsi-direct and qemu-block-extra, which has QEMU's iSCSI.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import libvirt
import pytest

from lab.commands import tool
from lab.paths import HypervisorPaths
from portal.accounts.models import User
from portal.compute.models import VM
from portal.compute.requests import VMProblem
from portal.hosts.models import Host
from portal.operations.models import Operation, OperationState
from portal.volumes.luns import free_luns
from portal.volumes.models import Pool, Volume, VolumeState
from portal.volumes.requests import VolumeSpec, attach_volume, clone_volume, create_volume, delete_volume, detach_volume
from tasks.hypervisor.domain_xml import format_disk
from tasks.hypervisor.driver import Hypervisor, PourAsked
from tasks.hypervisor.libvirt_driver import LibvirtHypervisor
from tasks.pools import look_at_pools
from tasks.sagas.vm_create import disk_spec
from tests.lab.shell import Typing, ended, find_disk, guest  # noqa: F401
from tests.tasks.conftest import world  # noqa: F401
from tests.tasks.test_sagas import run
from tests.waiting import wait_for

pytestmark = [
    pytest.mark.lab, pytest.mark.timeout(300), pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(os.environ.get("HOPSIGHT_SLOW") != "1", reason="slow: HOPSIGHT_SLOW=1 asks for it"),
]  # fmt: skip
TARGET, GIB = "iqn.2026-01.lab:shelf", 1024**3
BLOCK = 512
POOL = f"""
<pool type='iscsi-direct'><name>san</name><source><host name='127.0.0.1' port='3260'/><device path='{TARGET}'/>
<initiator><iqn name='iqn.2026-01.lab:hv1'/></initiator></source></pool>"""


@dataclass
class Shelf:
    """The target: LUN 1 and LUN 2, a GiB each, are the files `1` and `2` of the folder."""

    folder: Path
    netns: str
    daemon: subprocess.Popen[bytes] | None = None

    def _admin(self, *words: str) -> str:
        argv = [tool("tgtadm"), "--lld", "iscsi", *words]
        return subprocess.run(argv, env=self._env, check=True, capture_output=True, text=True).stdout

    @property
    def _env(self) -> dict[str, str]:
        return {**os.environ, "TGT_IPC_SOCKET": str(self.folder / "ipc")}

    def _is_ready(self) -> bool:
        with suppress(subprocess.CalledProcessError):
            return "State: ready" in self._admin("--mode", "sys", "--op", "show")
        return False

    def start(self) -> None:
        inside = ("ip", "netns", "exec", self.netns, "setpriv", "--pdeathsig", "KILL")
        argv = (*inside, tool("tgtd"), "-f", "--iscsi", "portal=127.0.0.1:3260")
        with (self.folder / "log").open("ab") as log:
            self.daemon = subprocess.Popen(argv, env=self._env, stdout=log, stderr=log)
        wait_for(self._is_ready, 10, "the target's daemon is ready")
        self._admin("--mode", "target", "--op", "new", "--tid", "1", "-T", TARGET)
        for lun in ("1", "2"):
            told = ("--tid", "1", "--lun", lun, "-b", str(self.folder / lun))
            self._admin("--mode", "logicalunit", "--op", "new", *told)
        self._admin("--mode", "target", "--op", "bind", "--tid", "1", "-I", "ALL")

    def stop(self) -> None:
        if self.daemon is not None:
            self.daemon.kill()
            self.daemon.wait()

    def bytes_at(self, lun: str, offset: int) -> bytes:
        with (self.folder / lun).open("rb") as file:
            file.seek(offset)
            return file.read(BLOCK)


@pytest.fixture
def shelf(lab: tuple[HypervisorPaths, ...], tmp_path: Path) -> Iterator[Shelf]:
    """The target, and a pool of it that is active on the lab's first hypervisor."""
    for lun in ("1", "2"):
        with (tmp_path / lun).open("wb") as file:
            file.truncate(GIB)
    found, connection = Shelf(tmp_path, lab[0].netns), libvirt.open(lab[0].libvirt_uri)
    try:
        found.start()
        pool = connection.storagePoolDefineXML(POOL)
        pool.setAutostart(1)
        pool.create()
        yield found
    finally:
        with suppress(libvirt.libvirtError):
            connection.storagePoolLookupByName("san").destroy()
        connection.storagePoolLookupByName("san").undefine()
        connection.close()
        found.stop()


@pytest.fixture
def hypervisor(lab: tuple[HypervisorPaths, ...], shelf: Shelf, world: SimpleNamespace) -> Hypervisor:  # noqa: F811
    """The lab's first hypervisor is the world's host; the pool of LUNs is offered."""
    Host.objects.update(libvirt_uri=lab[0].libvirt_uri, disks_dir=str(lab[0].disks))
    world.host.refresh_from_db()
    driver = LibvirtHypervisor("hv1", lab[0].libvirt_uri)
    world.fake = driver
    look(driver)
    Pool.objects.filter(name="san").update(is_offered=True)
    return driver


def look(driver: Hypervisor) -> Pool:
    look_at_pools(lambda _host: driver)
    return Pool.objects.select_related("host").get(name="san")


def test_a_lun_is_a_volume_of_a_running_guest_and_comes_back_with_nothing_on_it(
    shelf: Shelf,
    hypervisor: Hypervisor,
    world: SimpleNamespace,  # noqa: F811
    guest: Typing,  # noqa: F811
) -> None:
    (vm, type_line), alice, pool = guest, User.objects.get(username="alice"), look(hypervisor)
    assert (pool.kind, pool.is_active, pool.target) == ("iscsi-direct", True, TARGET)
    assert [(one.key, one.gib) for one in free_luns(pool)] == [(f"{TARGET}/1", 1), (f"{TARGET}/2", 1)]

    def asked(operation: Operation) -> None:
        ended(world, operation)
        volume.refresh_from_db()

    volume, operation = create_volume(world.team, alice, VolumeSpec("data", 1, pool))
    asked(operation)
    assert (volume.lun, volume.path, volume.state) == (f"{TARGET}/1", f"{TARGET}/1", VolumeState.AVAILABLE)
    other, operation = create_volume(world.team, alice, VolumeSpec("more", 1, pool))
    ended(world, operation)
    assert other.lun == f"{TARGET}/2", "never two volumes on one LUN"
    with pytest.raises(VMProblem, match="has no free LUN"):
        create_volume(world.team, alice, VolumeSpec("third", 1, pool))

    asked(attach_volume(volume, alice, VM.objects.get(pk=vm.pk)))
    assert hypervisor.live_disks(vm.domain) == {volume.serial}
    last = GIB // BLOCK - 1
    find_disk(guest, volume.serial)
    for block in (2048, last):
        type_line(f"printf 'payments secret' | dd of=$D bs={BLOCK} seek={block} conv=notrunc,fsync 2>/dev/null")
    assert all(shelf.bytes_at("1", block * BLOCK).startswith(b"payments secret") for block in (2048, last))

    asked(detach_volume(volume, alice))
    assert not hypervisor.live_disks(vm.domain)
    began = time.monotonic()
    ended(world, delete_volume(volume, alice))
    print(f"a GiB was cleared in {time.monotonic() - began:.1f} s")
    assert not any(shelf.bytes_at("1", block * BLOCK).strip(b"\0") for block in (0, 2048, last))
    assert [one.key for one in free_luns(look(hypervisor))] == [f"{TARGET}/1"]


def test_a_volume_is_cloned_into_a_lun_from_it_into_another_and_into_a_folder(
    shelf: Shelf,
    hypervisor: Hypervisor,
    world: SimpleNamespace,  # noqa: F811
    lab: tuple[HypervisorPaths, ...],
) -> None:
    alice, pool = User.objects.get(username="alice"), look(hypervisor)
    made = Pool.objects.create(
        host=world.host, name="folder", kind="dir", target=str(lab[0].disks / "pool"), is_active=True, is_offered=True
    )
    hypervisor.ensure_pool(made.name, made.target)
    source, operation = create_volume(world.team, alice, VolumeSpec("data", 1, made))
    ended(world, operation)
    source.refresh_from_db()
    words = (b"first", 0, b"a" * BLOCK), (b"last", GIB - BLOCK, b"z" * BLOCK)
    for _, offset, content in words:
        write = f"write -P {content[0]} {offset} {BLOCK}"
        subprocess.run([tool("qemu-io"), "-f", "qcow2", "-c", write, source.path], check=True, capture_output=True)
    with (shelf.folder / "1").open("r+b") as file:
        file.seek(BLOCK * 9)
        file.write(b"what somebody left on a LUN that should be empty")

    took: list[float] = []

    def cloned(of: Volume, name: str, into: Pool) -> Volume:
        began = time.monotonic()
        clone, operation = clone_volume(of, alice, name, pool=into)
        ended(world, operation)
        took.append(time.monotonic() - began)
        clone.refresh_from_db()
        return clone

    on_lun = cloned(source, "on-lun", pool)
    assert (on_lun.lun, on_lun.path, on_lun.state) == (f"{TARGET}/1", f"{TARGET}/1", VolumeState.AVAILABLE)
    cloned(on_lun, "on-other-lun", pool)
    for lun in ("1", "2"):
        assert all(shelf.bytes_at(lun, offset) == content for _, offset, content in words)
        assert not shelf.bytes_at(lun, BLOCK * 9).strip(b"\0"), "what the source has not, the clone has not"
    back = cloned(on_lun, "back", made)
    compared = [tool("qemu-img"), "compare", "-f", "qcow2", "-F", "qcow2", source.path, back.path]
    assert "identical" in subprocess.run(compared, check=True, capture_output=True, text=True).stdout
    assert Path(back.path).stat().st_blocks * 512 < 64 * 1024**2, "zeros of a LUN take no room in a folder"
    assert not hypervisor.states(), "no QEMU that copied is left"

    dying, disks = LibvirtHypervisor("hv1", lab[0].libvirt_uri), [format_disk(disk_spec(one)) for one in (back, on_lun)]
    dying.begin_pour(PourAsked("of-a-worker", (made.name, back.file_name), (pool.name, on_lun.file_name), *disks))
    assert set(hypervisor.states()) == {"of-a-worker"}
    dying.call("die", lambda connection: connection.close())
    wait_for(lambda: not hypervisor.states(), 10, "what a worker began ends with it")
    print("clones took", [f"{one:.1f}" for one in took], "s a GiB")


def test_a_target_that_was_away_is_seen_as_not_active_and_again_once_it_is_back(
    shelf: Shelf,
    hypervisor: Hypervisor,
    world: SimpleNamespace,  # noqa: F811
) -> None:
    alice, pool = User.objects.get(username="alice"), look(hypervisor)
    shelf.stop()
    assert not look(hypervisor).is_active
    _, operation = create_volume(world.team, alice, VolumeSpec("data", 1, pool))
    failed: Any = run(world, operation)
    assert failed.state == OperationState.FAILED and "hv1/san is not active" in failed.error
    assert not Volume.objects.exists(), "the LUN is free again"
    shelf.start()
    assert look(hypervisor).is_active
    assert len(free_luns(look(hypervisor))) == 2
