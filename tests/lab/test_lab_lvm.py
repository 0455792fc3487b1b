"""Volumes in LVM, by the sagas and the real driver: libvirt makes logical volumes, a guest writes into them, nothing of it is left.

[worker]--TCP--[machine: libvirtd · pool "fast" = vg0 · guest vols-1]
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import libvirt
import pytest

from lab.commands import tool
from lab.images import TinyImage
from portal.compute.models import VM, Image, VMState
from portal.hosts.models import Host
from portal.operations.models import Operation, OperationState
from portal.volumes.models import Pool, Volume, VolumeState
from tasks.hypervisor.driver import CallFailed, Hypervisor, VolumeAsked
from tasks.hypervisor.libvirt_driver import LibvirtHypervisor
from tasks.pools import look_at_pools
from tasks.sagas import volume as sagas
from tests.lab.machine import Machine, running_machine
from tests.tasks.conftest import world  # noqa: F401
from tests.tasks.test_sagas import run
from tests.tasks.test_volumes import asked

pytestmark = [
    pytest.mark.lab, pytest.mark.timeout(900), pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(os.environ.get("HOPSIGHT_SLOW") != "1", reason="slow: HOPSIGHT_SLOW=1 asks for it"),
]  # fmt: skip
PATIENCE_S = 300.0  # libvirt's calls, in an emulated machine
SECRET, DEEP = b"a secret of payments", 8 * 1024**2
MIB, GIB = 1024**2, 1024**3
POOL = "<pool type='logical'><name>fast</name><source><name>vg0</name></source><target><path>/dev/vg0</path></target></pool>"


@pytest.fixture(scope="module")
def machine(as_root: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    tool("lvcreate")  # the machine's root is ours: Debian's lvm2 has it
    with running_machine(tmp_path_factory.mktemp("machine")) as found:
        connection = libvirt.open(found.uri)
        connection.storagePoolDefineXML(POOL).create()
        connection.getCapabilities()  # it looks at its QEMU for the first time, which takes it long
        connection.close()
        yield found


@pytest.fixture
def hypervisor(machine: Machine, world: SimpleNamespace) -> Hypervisor:  # noqa: F811
    """The machine is the world's host; its pool is offered."""
    Host.objects.update(libvirt_uri=machine.uri, disks_dir=str(machine.disks))
    world.host.refresh_from_db()
    driver = LibvirtHypervisor("hv1", machine.uri, PATIENCE_S)
    world.fake = driver
    look_at_pools(lambda _host: driver)
    Pool.objects.update(is_offered=False)
    Pool.objects.filter(name="fast").update(is_offered=True)
    return driver


def ended(world: SimpleNamespace, kind: str, vm: VM, volume: Volume | None = None, **params: Any) -> Operation:  # noqa: F811
    """The operation, having ended well."""
    operation = asked(world, kind, vm, volume, **params) if volume else world.ask(kind, vm)
    done = run(world, operation)
    assert done.state == OperationState.DONE, done.error
    return done


def made(world: SimpleNamespace, vm: VM, name: str) -> Volume:  # noqa: F811
    volume = Volume.objects.create(team=world.team, name=name, size_gib=1)
    ended(world, "volume.create", vm, volume)
    volume.refresh_from_db()
    return volume


def inside(machine: Machine, path: str) -> bytes:
    """What the host has of a volume, some MiB from its begin: LVM itself clears the first sectors of a new one."""
    connection = libvirt.open(machine.uri)
    try:
        stream = connection.newStream(0)
        connection.storageVolLookupByPath(path).download(stream, DEEP, len(SECRET), 0)
        parts: list[bytes] = []
        stream.recvAll(lambda _stream, data, kept: kept.append(data), parts)
        stream.finish()
    finally:
        connection.close()
    return b"".join(parts)


def test_a_volume_in_lvm_is_made_copied_and_removed_and_nobody_reads_what_was_in_it(
    machine: Machine,
    hypervisor: Hypervisor,
    world: SimpleNamespace,  # noqa: F811
    tmp_path: Path,
) -> None:
    pool = Pool.objects.get(name="fast")
    assert (pool.kind, pool.is_active, pool.target, pool.capacity_bytes // GIB) == ("logical", True, "vg0", 3)
    vm = world.make_vm()
    volume = made(world, vm, "data")
    assert (volume.pool, volume.path, volume.state) == (pool, f"/dev/vg0/{volume.file_name}", VolumeState.AVAILABLE)
    assert hypervisor.volume_bytes("fast", volume.file_name) == GIB
    (tmp_path / "secret").write_bytes(bytes(DEEP) + SECRET)
    hypervisor.fill_volume("fast", volume.file_name, str(tmp_path / "secret"))

    copy = Volume.objects.create(team=world.team, name="copy", size_gib=1, pool=pool)
    ended(world, "volume.clone", vm, copy, source_volume=str(volume.uuid))
    copy.refresh_from_db()
    assert inside(machine, volume.path) == inside(machine, copy.path) == SECRET
    with pytest.raises(CallFailed, match="grow the volume"):
        hypervisor.grow_volume("fast", volume.file_name, 2 * GIB)
    look_at_pools(lambda _host: hypervisor)
    pool.refresh_from_db()
    assert pool.available_bytes // GIB == 1

    for one in (volume, copy):
        Volume.objects.filter(pk=one.pk).update(state=VolumeState.DELETING)
        ended(world, "volume.delete", vm, one)
    look_at_pools(lambda _host: hypervisor)
    pool.refresh_from_db()
    assert pool.available_bytes // GIB == 3 and not Volume.objects.exists()
    for name in ("another", "third"):
        assert not inside(machine, made(world, vm, name).path).strip(b"\0")


def test_what_is_in_a_logical_volume_is_poured_into_another_hosts(
    machine: Machine, hypervisor: Hypervisor, tmp_path: Path
) -> None:
    """As for a VM that is off and moves: by two connections, and with one machine as both hosts."""
    (tmp_path / "secret").write_bytes(bytes(DEEP) + SECRET)
    there = LibvirtHypervisor("hv2", machine.uri, PATIENCE_S)
    paths = [hypervisor.make_volume(VolumeAsked("fast", f"hs-{name}", "raw", 64 * MIB)) for name in ("here", "there")]
    try:
        hypervisor.fill_volume("fast", "hs-here", str(tmp_path / "secret"))
        hypervisor.copy_volume(("fast", "hs-here"), there, ("fast", "hs-there"))
        assert [inside(machine, path) for path in paths] == [SECRET, SECRET]
    finally:
        for name in ("here", "there"):
            hypervisor.remove_volume("fast", f"hs-{name}")


def test_a_running_guest_gets_a_logical_volume_lets_it_go_and_has_it_after_its_next_start(
    hypervisor: Hypervisor,
    world: SimpleNamespace,  # noqa: F811
    tiny: TinyImage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        sagas, "LET_GO_S", PATIENCE_S
    )  # it boots in an emulation of an emulation, and lets go after that
    Image.objects.update(
        boot=Image.Boot.KERNEL, disk_path=str(tiny.disk), kernel_path=str(tiny.kernel),
        initrd_path=str(tiny.initrd), cmdline=tiny.cmdline,
    )  # fmt: skip
    vm = world.make_vm("vols-1")
    vm.ports.all().delete()
    ended(world, "vm.create", vm)
    volume = made(world, vm, "data")

    def change(kind: str, **columns: Any) -> None:
        Volume.objects.filter(pk=volume.pk).update(**columns)
        ended(world, kind, vm, volume)
        volume.refresh_from_db()

    try:
        change("vm.volume_attach", vm=vm, target="vdd", state=VolumeState.ATTACHED)
        assert hypervisor.live_disks(vm.domain) == {volume.serial}
        change("vm.volume_detach")
        assert not hypervisor.live_disks(vm.domain) and volume.state == VolumeState.AVAILABLE
        change("vm.volume_attach", vm=vm, target="vdd", state=VolumeState.ATTACHED)
        ended(world, "vm.force_off", vm)
        VM.objects.update(state=VMState.STOPPED)
        ended(world, "vm.start", vm)
        assert hypervisor.live_disks(vm.domain) == {volume.serial}
    finally:
        ended(world, "vm.delete", vm)
    volume.refresh_from_db()
    assert (volume.vm, volume.state) == (None, VolumeState.AVAILABLE)
