"""Volumes in a real Ceph, by the sagas and the real driver: one monitor, one OSD that keeps all in memory, and cephx.

[worker]--libvirt--[hv1: guest disks-1 · QEMU]--RBD on hv1's loopback--[ceph-mon · ceph-osd]

Needs Debian's ceph-mon, ceph-osd, ceph-common, libvirt-daemon-driver-storage-rbd and qemu-block-extra, which has QEMU's RBD.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import libvirt
import pytest

from lab.paths import HypervisorPaths
from portal.accounts.models import User
from portal.compute.models import VM
from portal.hosts.models import Host
from portal.operations.models import OperationState
from portal.volumes.models import Pool, Volume
from portal.volumes.requests import (
    VolumeSpec,
    attach_volume,
    clone_volume,
    create_volume,
    delete_volume,
    detach_volume,
    grow_volume,
)
from tasks.hypervisor.driver import Hypervisor
from tasks.hypervisor.libvirt_driver import LibvirtHypervisor
from tasks.pools import look_at_pools
from tests.lab.shell import Typing, ended, find_disk, guest  # noqa: F401
from tests.tasks.conftest import world  # noqa: F401
from tests.tasks.test_sagas import run
from tests.waiting import wait_for

pytestmark = [
    pytest.mark.lab, pytest.mark.timeout(300), pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        os.environ.get("HOPSIGHT_SLOW") != "1" or not shutil.which("ceph-mon"),
        reason="slow, and needs Debian's ceph-mon and ceph-osd: HOPSIGHT_SLOW=1 asks for it",
    ),
]  # fmt: skip
GIB, SECRET = 1024**3, "2ec115d7-3a88-4ceb-bc12-0ac909a6fd87"
MONITOR = "v1:127.0.0.1:6789"
CONF = """\
[global]
fsid = {fsid}
mon host = {monitor}
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
keyring = {folder}/$name.keyring
run dir = {folder}
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
pid file =
setuser =
setgroup =
mon data = {folder}/mon
osd data = {folder}/osd
plugin dir = {lib}/ceph
erasure code dir = {lib}/ceph/erasure-code
osd class dir = {lib}/rados-classes
osd objectstore = memstore
memstore device bytes = 1073741824
osd pool default size = 1
osd pool default min size = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon allow pool delete = true
"""
POOL = f"""
<pool type='rbd'><name>ceph</name><source><name>vms</name><host name='127.0.0.1' port='6789'/>
<auth type='ceph' username='hopsight'><secret uuid='{SECRET}'/></auth></source></pool>"""


@dataclass(frozen=True)
class Cluster:
    """A cluster's folder, and the namespace on whose loopback it is."""

    folder: Path
    netns: str

    def _inside(self, *argv: str) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.netns, *argv)

    @property
    def _env(self) -> dict[str, str]:
        return {**os.environ, "CEPH_CONF": str(self.folder / "ceph.conf")}

    def said(self, *argv: str) -> str:
        """What a command says that has ended well."""
        done = subprocess.run(self._inside(*argv), env=self._env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, (argv, done.stdout, done.stderr)
        return done.stdout

    @contextmanager
    def daemon(self, *argv: str) -> Iterator[None]:
        words = self._inside("setpriv", "--pdeathsig", "KILL", *argv)
        with (self.folder / "daemons.log").open("ab") as log:
            process = subprocess.Popen(words, env=self._env, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.kill()
            process.wait()

    def key(self, name: str, *caps: str) -> str:
        """The path of a new keyring of that name."""
        path = str(self.folder / f"{name.rstrip('.')}.keyring")
        self.said("ceph-authtool", "--create-keyring", path, "--gen-key", "-n", name, *caps)
        return path


@contextmanager
def running_cluster(folder: Path, netns: str) -> Iterator[str]:
    """A cluster with the pool `vms`, up to the end of the block; the key of its user `hopsight`."""
    cluster, fsid, osd = Cluster(folder, netns), str(uuid4()), str(uuid4())
    lib = next(Path(shutil.which("ceph-mon") or "").parents[1].glob("lib/*/rados-classes")).parent
    (folder / "ceph.conf").write_text(CONF.format(fsid=fsid, monitor=MONITOR, folder=folder, lib=lib))
    everything = [word for who in ("mon", "osd") for word in ("--cap", who, "allow *")]
    monitors = cluster.key("mon.", *everything[:3])
    cluster.said("ceph-authtool", monitors, "--import-keyring", cluster.key("client.admin", *everything))
    table = str(folder / "monmap")
    cluster.said("monmaptool", "--create", "--addv", "a", f"[{MONITOR}]", "--fsid", fsid, table)
    cluster.said("ceph-mon", "--mkfs", "-i", "a", "--monmap", table, "--keyring", monitors)
    with ExitStack() as stack:
        stack.enter_context(cluster.daemon("ceph-mon", "-i", "a", "-f"))
        cluster.said("ceph", "osd", "new", osd)
        (folder / "osd").mkdir()
        cluster.key("osd.0")
        caps = ("mon", "allow profile osd", "osd", "allow *")
        cluster.said("ceph", "auth", "add", "osd.0", *caps, "-i", str(folder / "osd.0.keyring"))
        cluster.said("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        stack.enter_context(cluster.daemon("ceph-osd", "-i", "0", "-f"))
        wait_for(lambda: "1 up" in cluster.said("ceph", "osd", "stat"), 60, "the OSD is up", 0.5)
        cluster.said("ceph", "osd", "pool", "create", "vms", "8")
        cluster.said("ceph", "osd", "pool", "application", "enable", "vms", "rbd")
        caps = ("mon", "profile rbd", "osd", "profile rbd pool=vms")
        cluster.said("ceph", "auth", "get-or-create", "client.hopsight", *caps)
        yield cluster.said("ceph", "auth", "get-key", "client.hopsight")


@pytest.fixture
def hypervisor(
    lab: tuple[HypervisorPaths, ...],
    world: SimpleNamespace,  # noqa: F811
    tmp_path: Path,
) -> Iterator[Hypervisor]:
    """The lab's first hypervisor is the world's host; the cluster's pool is offered, its key is a secret of libvirt's."""
    connection = libvirt.open(lab[0].libvirt_uri)
    Host.objects.update(libvirt_uri=lab[0].libvirt_uri, disks_dir=str(lab[0].disks))
    world.host.refresh_from_db()
    with running_cluster(tmp_path, lab[0].netns) as key:
        usage = "<usage type='ceph'><name>hopsight</name></usage>"
        secret = connection.secretDefineXML(f"<secret private='yes'><uuid>{SECRET}</uuid>{usage}</secret>")
        secret.setValue(base64.b64decode(key))
        pool = connection.storagePoolDefineXML(POOL)
        try:
            pool.create()
            world.fake = LibvirtHypervisor("hv1", lab[0].libvirt_uri)
            look_at_pools(lambda _host: world.fake)
            # a cluster without a manager tells of no room
            Pool.objects.filter(name="ceph").update(is_offered=True, available_bytes=100 * GIB)
            yield world.fake
        finally:
            with suppress(libvirt.libvirtError):
                pool.destroy()
            pool.undefine()
            secret.undefine()
            connection.close()


def test_an_image_of_ceph_is_a_volume_that_grows_is_cloned_and_goes(
    hypervisor: Hypervisor,
    world: SimpleNamespace,  # noqa: F811
    guest: Typing,  # noqa: F811
) -> None:
    (vm, type_line), alice = guest, User.objects.get(username="alice")
    volume, operation = create_volume(world.team, alice, VolumeSpec("data", 1, Pool.objects.get(name="ceph")))
    ended(world, operation)

    def fresh(name: str = "data") -> Volume:
        return Volume.objects.get(name=name)

    def attach(name: str) -> None:
        ended(world, attach_volume(fresh(name), alice, VM.objects.get(pk=vm.pk)))
        assert hypervisor.live_disks(vm.domain) == {fresh(name).serial}
        find_disk(guest, fresh(name).serial)

    attach("data")
    type_line("printf 'payments secret' | dd of=$D bs=512 seek=2048 conv=notrunc,fsync 2>/dev/null")
    ended(world, grow_volume(fresh(), alice, 2))
    type_line(f"test $(cat /sys/block/${{D#/dev/}}/size) = {2 * GIB // 512}")
    ended(world, detach_volume(fresh(), alice))
    ended(world, grow_volume(fresh(), alice, 3))
    assert (fresh().path, hypervisor.volume_bytes("ceph", volume.file_name)) == (
        f"vms/{volume.file_name}",
        3 * GIB,
    )
    copy, operation = clone_volume(fresh(), alice, "copy", 4)
    ended(world, operation)
    assert hypervisor.volume_bytes("ceph", copy.file_name) == 4 * GIB
    attach("copy")
    type_line("test \"$(dd if=$D bs=512 skip=2048 count=1 2>/dev/null | head -c 15)\" = 'payments secret'")
    ended(world, detach_volume(fresh("copy"), alice))

    refused = run(world, delete_volume(fresh(), alice))
    assert refused.state == OperationState.FAILED
    assert "A clone that lies on it has to be deleted first" in refused.error
    for name in ("copy", "data"):
        ended(world, delete_volume(fresh(name), alice))
    assert not hypervisor.pool_volumes("ceph") and not Volume.objects.exists()
