"""Every saga that there is, with every fault at every of its stages, ends by itself: as a finished object, or with nothing left.

The kinds and stages are read from the table of sagas: one that is added there and not told here how it is begun fails. What "left"
means is what an operator would be shown: the orphans of the hosts, and rows that are stuck half-way.
"""

from __future__ import annotations

import copy
import errno
import itertools
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.db import transaction
from django.utils import timezone

from portal.accounts.models import User
from portal.accounts.sealing import seal
from portal.backups.models import BackupStore
from portal.backups.strays import clean_store
from portal.compute.adoption import Wish, adopt, let_go
from portal.compute.models import VM, VMState
from portal.compute.moves import request_move
from portal.hosts.models import ForeignDomain, Host, Orphan
from portal.hosts.orphans import clean_orphans
from portal.images.models import ImageImport
from portal.images.store import source_file
from portal.networks.models import Port
from portal.operations.models import Operation, OperationState
from portal.topology.models import HostSeen
from portal.volumes.models import Pool
from sdn.model.switch import BridgeSeen, SwitchSeen, switch_to_json
from tasks.backups.look import look_at
from tasks.backups.s3 import S3Store
from tasks.hypervisor.driver import HostUnreachable
from tasks.hypervisor.fake import FakeHypervisor
from tasks.hypervisor.fake_storage import OWN
from tasks.pools import look_at_pools
from tasks.reconcile.foreign import look_at_all
from tasks.reconcile.orphans import find_all_orphans
from tasks.sagas import vm_adopt, vm_create
from tasks.sagas.engine import StageError, run_operation
from tasks.sagas.table import SAGAS
from tests.s3 import Gate
from tests.tasks import (
    test_adopt,
    test_backups,
    test_changes,
    test_created_volumes,
    test_devices,
    test_image_of_vm,
    test_images,
    test_nics,
    test_snapshots,
    test_store_clean,
    test_volume_snapshots,
    test_volumes,
)
from tests.tasks.settled import assert_settled, assert_store_settled
from tests.tasks.test_life import ENDS, bring_to
from tests.tasks.test_orphans import forget
from tests.tasks.test_sagas import Killed, expire_lease

ROOT = Path(__file__).resolve().parents[2]
BRIDGES = tuple(BridgeSeen(name, "netdev", "secure", "connected", ()) for name in ("br-int", "br-ex"))
SEEN = switch_to_json(SwitchSeen("3.1", BRIDGES))
TRIES = 4  # of the sweep, until it has ended


@pytest.fixture
def scene(world, settings, tmp_path, monkeypatch):
    """Two hosts with folders of their own; ports are wired as soon as somebody waits for it."""
    folder = tmp_path / "hosts" / "one"
    folder.mkdir(parents=True)
    settings.IMAGE_CACHE, settings.ORPHAN_GRACE_S = folder.with_name("images"), 0
    seen = {"ovs_seen_at": timezone.now(), "underlay_mtu": 1500, "libvirt_seen_at": timezone.now()}
    Host.objects.update(disks_dir=str(folder), **seen)
    world.host.refresh_from_db()
    world.folder, world.fakes = folder, {"hv1": world.fake}
    for module in (vm_create, vm_adopt):
        waited = module.await_wired

        def wired(context, waited=waited):
            Port.objects.filter(vm__uuid=context.operation.object_uuid).update(wired_at=timezone.now())
            return waited(context)

        monkeypatch.setattr(module, "await_wired", wired)
    world.seen, world.gate = seen, SimpleNamespace(is_shut=False)
    look_at_pools(lambda host: world.fakes[host.name])
    return world


def running(scene, operation, sagas=SAGAS):
    run_operation(operation.pk, sagas, lambda host: scene.fakes[host.name])
    operation.refresh_from_db()
    return operation


def there(scene, state=VMState.RUNNING, name="web-1"):
    """A VM that was made, in that state."""
    vm = scene.make_vm(name)
    assert running(scene, scene.ask("vm.create", vm)).state == OperationState.DONE
    vm.refresh_from_db()
    if state != VMState.RUNNING:
        bring_to(scene, vm, state)
    vm.refresh_from_db()
    return vm


def olga():
    return User.objects.get_or_create(username="olga", is_operator=True)[0]


# How each kind is begun, the rows being as its request leaves them.


def creation(scene, kind):
    """With a volume that is made for it, and one that was there and free."""
    vm = scene.make_vm()
    return test_created_volumes.asked(scene, vm, test_created_volumes.kept_free(scene, vm))


def deletion(scene, kind):
    """With snapshots, whose layers of its volume are merged for those who have that next."""
    vm = there(scene)
    test_snapshots.three_writes(scene, vm)
    VM.objects.update(state=VMState.DELETING)
    return scene.ask(kind, vm)


def power(scene, kind):
    begin, _ = ENDS.get(kind.removeprefix("vm."), (VMState.RUNNING, VMState.RUNNING))
    return scene.ask(kind, there(scene, begin))


def migration(scene, kind):
    """With snapshots of its disk and of a volume, and with a volume that is in none."""
    folder = scene.folder.with_name("two")
    folder.mkdir()
    vm = there(scene)
    to = Host.objects.create(
        name="hv2", libvirt_uri="fake:", ovsdb="", ovs_rundir="", controller_target="", datapath_type="netdev",
        disks_dir=str(folder), underlay_ip="192.0.2.12", vcpus=4, ram_mib=4096, **scene.seen,
    )  # fmt: skip
    for host in Host.objects.all():
        HostSeen.objects.create(host=host, switch=SEEN)
    scene.fakes["hv2"] = FakeHypervisor(on_start=scene.fake.on_start)
    for name in ("one", "two"):
        fake, pool = scene.fakes["hv1" if name == "one" else "hv2"], scene.folder.with_name(f"{name}-pool")
        pool.mkdir()
        fake.volume_folder, fake.pools_told = str(pool), (replace(OWN[0], target=str(pool)),)
    look_at_pools(lambda host: scene.fakes[host.name])
    Pool.objects.update(is_offered=True)
    test_snapshots.three_writes(scene, vm)
    test_snapshots.with_volume(scene, vm, "alone", "vde")
    look_at_pools(lambda host: scene.fakes[host.name])
    return request_move(vm, None, to)


def other_devices(scene, kind):
    vm = there(scene, VMState.STOPPED)
    vm.ports.update(model="e1000e")
    return test_devices.ask(vm)


def import_of(scene, kind):
    row = ImageImport.objects.create(
        team=scene.team, name="Mine", slug="mine", source="upload", disk_format="qcow2", size_bytes=0
    )
    size = test_images.made_disk(source_file(row.uuid)).stat().st_size
    ImageImport.objects.filter(pk=row.pk).update(size_bytes=size, received_bytes=size)
    if kind == "image.delete":
        assert running(scene, test_images.asked(scene, "image.import", row)).state == OperationState.DONE
    return test_images.asked(scene, kind, row)


def image_of_vm(scene, kind):
    return test_image_of_vm.asked(scene, there(scene, VMState.STOPPED))[0]


def foreign(scene):
    scene.fake.definitions["legacy_db.old"] = test_adopt.XML
    scene.fake.start("legacy_db.old")
    look_at_all(lambda host: scene.fakes[host.name])
    domain = ForeignDomain.objects.select_related("host").get()
    return adopt(domain, olga(), Wish("payments", "legacy-db", {test_adopt.MAC: "net"}))


def letting_go(scene, kind):
    made = foreign(scene)
    assert running(scene, made.operation).state == OperationState.DONE
    return let_go(made.vm, olga())


def cleaning(scene, kind):
    forget(there(scene))
    find_all_orphans(lambda host: scene.fakes[host.name])
    return clean_orphans(scene.host, olga(), [str(row.uuid) for row in Orphan.objects.all()], "hv1")


def store_cleaning(scene, kind):
    there(scene)
    store = BackupStore.objects.create(name="attic", folder=str(scene.folder.with_name("attic")))
    folder = test_store_clean.stray(store)
    look_at(store)
    return clean_store(BackupStore.objects.get(), olga(), [folder], "attic")


def of_vm(ready: Callable[..., object]) -> Callable[..., object]:
    """Kinds whose own tests know how to begin them on a running VM."""

    def begin(scene, kind):
        vm = there(scene)
        found = ready(scene, vm, kind)
        return found[0] if isinstance(found, tuple) else found

    return begin


BEGIN = {
    "vm.create": creation,
    "vm.delete": deletion,
    **dict.fromkeys((f"vm.{name}" for name in (*ENDS, "autostart")), power),
    **dict.fromkeys(test_changes.KINDS, of_vm(test_changes.ready)),
    **dict.fromkeys(test_nics.KINDS, of_vm(test_nics.ready)),
    **dict.fromkeys((*test_volumes.ALONE, *test_volumes.OF_VM), of_vm(test_volumes.ready)),
    **dict.fromkeys(test_snapshots.KINDS, of_vm(test_snapshots.ready)),
    **dict.fromkeys(test_volume_snapshots.KINDS, of_vm(test_volume_snapshots.ready)),
    **dict.fromkeys(test_backups.KINDS, of_vm(test_backups.ready)),
    "vm.devices": other_devices,
    "vm.migrate": migration,
    "vm.adopt": lambda scene, kind: foreign(scene).operation,
    "vm.let_go": letting_go,
    "image.import": import_of,
    "image.delete": import_of,
    "image.from_vm": image_of_vm,
    "host.clean": cleaning,
    "store.clean": store_cleaning,
}  # fmt: skip


# Sagas that meet a switch and no libvirt: the file where the real switch is that they are tried on.
ELSEWHERE = {"flow.apply": "tests/checks/test_flow_apply.py"}


# The faults: each makes of a stage's `do` one that meets it.


def exception(scene, do):
    def broken(context):
        raise ZeroDivisionError("a bug of ours")

    return broken


def disk_full(scene, do):
    def full(context):
        do(context)
        raise OSError(errno.ENOSPC, "No space left on device")

    return full


def process_kill(scene, do):
    def kill(context):
        do(context)
        raise Killed

    return kill


def host_gone(scene, do):
    """From this stage on, until the sweep comes."""

    def away(context):
        for fake in scene.fakes.values():
            fake.is_down = True
        return do(context)

    return away


def libvirtd_restart(scene, do):
    """The stage's first call is cut off after it took effect; the next is answered again."""

    def cut(context):
        fakes = list(scene.fakes.values())

        def once(call):
            for fake in fakes:
                del fake.enter
            raise HostUnreachable("the host's libvirt does not answer: end of file while reading data")

        for fake in fakes:
            fake.enter = once
        try:
            return do(context)
        finally:
            for fake in fakes:
                fake.__dict__.pop("enter", None)

    return cut


FAULTS = (exception, disk_full, process_kill, host_gone, libvirtd_restart)


LEFT = ("on_start", "moments")  # a copy of the folder of moments would end it when it goes itself


class Kept:
    """A scene as it was before a fault: what the hosts have, and their files; the rows are put back by a savepoint."""

    def __init__(self, scene, folder):
        self._root, self._copy = scene.folder.parent, folder / "copy"
        shutil.copytree(self._root, self._copy)
        self._fakes = [(fake, self._fields(fake)) for fake in scene.fakes.values()]
        self._moments = [
            (Path(fake.moments.name), folder / f"moments-{at}") for at, (fake, _) in enumerate(self._fakes)
        ]
        for moments, copied in self._moments:
            shutil.copytree(moments, copied)

    def put_back(self):
        shutil.rmtree(self._root)
        shutil.copytree(self._copy, self._root)
        for moments, copied in self._moments:
            shutil.rmtree(moments)
            shutil.copytree(copied, moments)
        for fake, values in self._fakes:
            for name, value in copy.deepcopy(values).items():
                setattr(fake, name, value)

    @staticmethod
    def _fields(fake):
        return {one.name: copy.deepcopy(getattr(fake, one.name)) for one in fields(fake) if one.name not in LEFT}


@pytest.fixture
def cloud(scene, s3, monkeypatch):
    """A store in a bucket, whose way there can be shut."""
    monkeypatch.setattr("tasks.backups.s3.ATTEMPTS", 1)
    gate, bucket = Gate(s3.endpoint), s3.bucket(f"faults-{uuid4().hex[:12]}")
    scene.gate, scene.bucket = gate, bucket
    yield BackupStore.objects.create(
        name="cloud", kind="s3", endpoint=gate.endpoint, bucket=bucket, prefix="attic", region="us-east-1",
        access_key=s3.access_key, sealed_secret=seal(s3.secret),
    )  # fmt: skip
    gate.close()


def store_gone(scene, do):
    """From this stage on, until the sweep comes."""

    def away(context):
        scene.gate.is_shut = True
        return do(context)

    return away


def store_gone_after(scene, do):
    def away(context):
        do(context)
        scene.gate.is_shut = True
        raise StageError("the worker lost the store")

    return away


def cut_in_an_upload(scene, do):
    """The worker is killed when a part has arrived and the object is not whole."""

    def cut(context):
        seen = S3Store._put_parts

        def killed(store, key, *rest):
            store._s3.create_multipart_upload(Bucket=scene.bucket, Key=key)  # as it would be left
            raise Killed

        S3Store._put_parts = killed
        try:
            return do(context)
        finally:
            S3Store._put_parts = seen

    return cut


def cancelled(scene, do):
    """Somebody asks for it in the stage, which ends well or where it waits."""

    def asked(context):
        Operation.objects.filter(pk=context.operation.pk).update(cancel_asked_at=timezone.now(), cancel_asked_by=olga())
        return do(context)

    return asked


AT_STORE = ("choose", "store", "publish", "fetch", "remove")  # the others meet no store: as with a folder
STORE_FAULTS = (*FAULTS, store_gone, store_gone_after, cut_in_an_upload, cancelled)


@pytest.mark.parametrize("kind", test_backups.KINDS)
def test_every_fault_at_every_stage_that_meets_a_bucket_leaves_nothing_in_it_that_no_row_tells_of(
    scene, s3, cloud, kind, tmp_path_factory
):
    operation = test_backups.ready(scene, there(scene), kind, cloud)
    kept, lay, wrong = Kept(scene, tmp_path_factory.mktemp("kept")), s3.contents(scene.bucket), []
    ends = {}
    stages = [one.name for one in SAGAS[kind] if one.name in AT_STORE]
    for name, fault in itertools.product(stages, STORE_FAULTS):
        with suppress(PutBack), transaction.atomic():
            try:
                meet(scene, Operation.objects.get(pk=operation.pk), name, fault)
                assert_store_settled(s3, scene.bucket)
                ends[fault] = Operation.objects.get(pk=operation.pk).state
            except AssertionError as problem:
                wrong.append(f"{fault.__name__} at {name}: {str(problem)[:400]}")
            raise PutBack
        kept.put_back()
        scene.gate.is_shut = False
        s3.put_back(scene.bucket, lay)
    assert wrong == []
    assert ends[process_kill] == OperationState.DONE, "a killed worker's work is ended by the next"


def test_every_saga_that_there_is_is_begun_here():
    assert {*BEGIN, *ELSEWHERE} == set(SAGAS)
    assert all(kind in (ROOT / path).read_text() for kind, path in ELSEWHERE.items())


@pytest.mark.parametrize("kind", [kind for kind in SAGAS if kind not in ELSEWHERE])
def test_every_fault_at_every_stage_ends_by_itself_and_leaves_nothing_half_way(scene, kind, tmp_path_factory):
    operation = BEGIN[kind](scene, kind)
    kept = Kept(scene, tmp_path_factory.mktemp("kept"))
    wrong = []
    for stage, fault in itertools.product(SAGAS[kind], FAULTS):
        with suppress(PutBack), transaction.atomic():
            try:
                meet(scene, Operation.objects.get(pk=operation.pk), stage.name, fault)
            except AssertionError as problem:
                wrong.append(f"{fault.__name__} at {stage.name}: {str(problem)[:400]}")
            raise PutBack
        kept.put_back()
    assert wrong == []


class PutBack(Exception):
    """The rows are as before the fault."""


def meet(scene, operation, name, fault):
    """The operation meets the fault at that stage; then the host is well again, and the sweep comes as often as it does."""
    kind = operation.kind
    faulty = tuple(replace(one, do=fault(scene, one.do)) if one.name == name else one for one in SAGAS[kind])
    with suppress(Killed):
        running(scene, operation, {**SAGAS, kind: faulty})
    for fake in scene.fakes.values():
        fake.is_down = False
    scene.gate.is_shut = False
    for _ in range(TRIES):
        operation.refresh_from_db()
        if operation.is_ended:
            break
        expire_lease(operation)
        running(scene, operation)
    assert operation.is_ended, (operation.state, operation.error, operation.log[-3:])
    is_as_before = kind == "host.clean" and operation.state != OperationState.DONE  # what is left can be ticked again
    assert_settled(scene, may_have_orphans=is_as_before)
