"""LUNs as volumes, by sagas: taken as they are, given back with nothing on them, from every stage; and pools that QEMU itself goes to."""

from __future__ import annotations

from dataclasses import replace

import libvirt
import pytest
from django.utils import timezone
from lxml import etree

from portal.operations.models import Operation, OperationState
from portal.operations.stages import STAGES
from portal.topology.models import HostSeen
from portal.volumes.luns import free_luns
from portal.volumes.models import Pool, Volume, VolumeState
from portal.volumes.places import places_on
from portal.volumes.reach import Lun, Reach, reach_as_json, reach_from_json
from tasks.foreign_domains import record_foreign_domains
from tasks.hypervisor.domain_xml import DiskSpec, format_disk
from tasks.hypervisor.driver import COPIES, CallFailed, CopyProgress, DomainState, PoolSeen
from tasks.hypervisor.fake_storage import OWN
from tasks.hypervisor.libvirt_driver import LibvirtHypervisor
from tasks.hypervisor.libvirt_look import paths_in
from tasks.hypervisor.pool_xml import name_in_domains, reach_of, source_of, target_of
from tasks.pools import look_at_pools
from tasks.sagas import vm_create
from tests.tasks import test_migrate, test_volumes
from tests.tasks.test_moved_volumes import attach, look
from tests.tasks.test_sagas import Killed, die, die_after, fail_in, run

GIB = 1024**3
TARGET = "iqn.2026-01.san:shelf"
WAY = Reach((("192.0.2.9", "3260"),), TARGET, initiator="iqn.2026-01.san:hv1")
LUNS = (Lun(f"{TARGET}/1", 2 * GIB), Lun(f"{TARGET}/2", 4 * GIB))
SAN = PoolSeen("san", "iscsi-direct", TARGET, 6 * GIB, 0, True, "iscsi-direct 192.0.2.9:3260 " + TARGET, WAY, LUNS)
CEPH = PoolSeen("ceph", "rbd", "vms", 90 * GIB, 80 * GIB, True, "rbd 192.0.2.7 vms", Reach((("192.0.2.7", ""),), "vms"))
KINDS = ("volume.create", "volume.delete", "vm.volume_add", "vm.volume_attach", "vm.volume_detach")
pair = test_migrate.pair


@pytest.fixture
def vm(world):
    world.fake.pools_told = (*OWN, SAN, CEPH)
    look_at_pools(lambda _host: world.fake)
    Pool.objects.update(is_offered=True)
    made = world.make_vm()
    assert run(world, world.ask("vm.create", made)).state == OperationState.DONE
    made.refresh_from_db()
    return made


def ready(world, vm, kind):
    """The operation, its volume being LUN 1, the rows as the request leaves them."""
    has_it = kind not in ("volume.create", "vm.volume_add")
    columns = {"pool": Pool.objects.get(name="san"), "lun": LUNS[0].key}
    if kind in ("vm.volume_add", "vm.volume_attach", "vm.volume_detach"):
        columns |= {"vm": vm, "target": "vdd"}
    if has_it:
        state = VolumeState.DELETING if kind == "volume.delete" else VolumeState.ATTACHED
        columns |= {"path": LUNS[0].key, "state": state}
        world.fake.volumes["san", "unit:0:0:1"] = 2 * GIB
        world.fake.contents["san", "unit:0:0:1"] = "a secret"
    volume = Volume.objects.create(team=world.team, name="data", size_gib=2, **columns)
    if kind == "vm.volume_detach":
        assert run(world, test_volumes.asked(world, "vm.volume_attach", vm, volume)).state == OperationState.DONE
    return test_volumes.asked(world, kind, vm, volume), volume


def assert_true(world, vm):
    """Rows, definition and what is plugged are the same; a LUN that is no volume holds nothing of one."""
    row = Volume.objects.first()
    named = row is not None and row.vm_id == vm.pk
    assert (LUNS[0].key in world.fake.definitions[vm.domain]) is named
    assert world.fake.plugged[vm.domain] == ({row.serial} if named else set())
    assert row is not None or not world.fake.contents
    assert len(free_luns(Pool.objects.get(name="san"))) == (1 if row else 2)
    return row


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in KINDS for name, _ in STAGES[kind]])
def test_a_change_whose_worker_is_killed_ends_as_asked(world, vm, kind, name):
    operation, _ = ready(world, vm, kind)
    die_after(world, operation, name)
    assert run(world, operation).state == OperationState.DONE, operation.error
    row = assert_true(world, vm)
    assert (row is None) is (kind == "volume.delete")
    assert bool(world.fake.cleared) is (kind == "volume.delete"), "only what is given back is cleared"


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in KINDS for name, _ in STAGES[kind]])
def test_a_change_that_fails_leaves_the_lun_a_volume_or_free(world, vm, kind, name):
    operation, _ = ready(world, vm, kind)
    assert fail_in(world, operation, name).state == OperationState.FAILED
    if (kind, name) != ("vm.volume_detach", "release"):  # which has let go of it
        row = assert_true(world, vm)
        assert (row is None) is (
            kind in ("volume.create", "vm.volume_add") or (kind, name) == ("volume.delete", "release")
        )


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (replace(SAN, is_active=False, luns=()), "hv1/san is not active: its server may be away"),
        (replace(SAN, luns=LUNS[1:]), f"hv1/san has LUN {TARGET}/1 no more: ask again, and another one is taken"),
        (replace(SAN, luns=(replace(LUNS[0], size_bytes=GIB), LUNS[1])), f"LUN {TARGET}/1 has 1 GiB now, 2 GiB are"),
    ],
)
def test_a_lun_that_is_not_as_it_was_told_is_not_handed_out_nor_touched(world, vm, told, words):
    operation, _ = ready(world, vm, "volume.create")
    world.fake.pools_told = (*OWN, told)
    done = run(world, operation)
    assert done.state == OperationState.FAILED and words in done.error
    assert not Volume.objects.exists() and not world.fake.cleared


@pytest.mark.parametrize("told", [replace(SAN, is_active=False, luns=()), replace(SAN, luns=LUNS[1:])])
def test_a_lun_that_is_away_is_not_given_back_with_what_is_on_it(world, vm, told):
    operation, volume = ready(world, vm, "volume.delete")
    world.fake.pools_told = (*OWN, told)
    done = run(world, operation)
    assert f"hv1/san does not have LUN {TARGET}/1 now: it stays a volume until it can be cleared" in done.error
    volume.refresh_from_db()
    assert volume.state == VolumeState.AVAILABLE and world.fake.contents
    world.fake.pools_told = (*OWN, SAN)
    assert run(world, test_volumes.asked(world, "volume.delete", vm, volume)).state == OperationState.DONE
    assert not Volume.objects.exists() and not world.fake.contents


def test_a_lun_that_a_domain_of_the_host_names_is_in_use_when_looked_at_and_when_it_is_taken(world, vm):
    xml = "<domain><name>theirs</name><devices><disk type='network'><source protocol='iscsi' name='{}'/></disk></devices></domain>"
    operation, _ = ready(world, vm, "volume.create")
    world.fake.definitions["theirs"] = xml.format(LUNS[0].key)
    done = run(world, operation)
    assert f"LUN {TARGET}/1 is in use: the domain theirs of hv1 names it" in done.error
    look_at_pools(lambda _host: world.fake)
    pool = Pool.objects.get(name="san")
    assert [one.key for one in free_luns(pool)] == [LUNS[1].key] and pool.available_bytes == 4 * GIB
    assert pool.way == WAY and pool.seen_luns[0].user == "theirs"


def test_nobody_is_given_a_whole_lun_who_did_not_name_its_pool(world, vm):
    Pool.objects.exclude(name="san").delete()
    operation = test_volumes.asked(
        world, "volume.create", vm, Volume.objects.create(team=world.team, name="data", size_gib=1)
    )
    assert "no storage pool can take it: hv1/san gives whole LUNs, to those who name it" in run(world, operation).error


def test_a_volume_of_ceph_is_made_and_its_vm_goes_there_by_itself(world, vm):
    volume = Volume.objects.create(
        team=world.team, name="data", size_gib=2, pool=Pool.objects.get(name="ceph"), vm=vm, target="vdd"
    )
    assert run(world, test_volumes.asked(world, "vm.volume_add", vm, volume)).state == OperationState.DONE
    disk = etree.fromstring(world.fake.definitions[vm.domain]).find("devices/disk[@type='network']")
    assert disk.find("source").get("protocol") == "rbd" and disk.find("source/host").get("name") == "192.0.2.7"
    assert disk.find("driver").get("cache") == "none" and disk.findtext("serial") == volume.serial


def test_a_clone_that_lies_on_it_is_named_where_ceph_does_not_let_a_volume_go(world, vm, monkeypatch):
    volume = Volume.objects.create(
        team=world.team, name="data", size_gib=2, pool=Pool.objects.get(name="ceph"), path="vms/x", state="deleting"
    )

    def refuse(_pool, _name):
        raise CallFailed("hv1 could not remove the volume: image has snapshots")

    monkeypatch.setattr(world.fake, "remove_volume", refuse)
    done = run(world, test_volumes.asked(world, "volume.delete", vm, volume))
    assert "A clone that lies on it has to be deleted first" in done.error
    assert Volume.objects.get().state == VolumeState.AVAILABLE


# Cloned into one, from one, from one into another: by a QEMU that pours.


WAYS = (("hopsight", "san"), ("san", "hopsight"), ("san", "san"), ("hopsight", "ceph"))


def ready_to_clone(world, vm, way):
    """The operation, as the request leaves it: the source holds a word, the clone has its pool, and LUN 2 of one of LUNs."""
    of, into = (Pool.objects.get(name=name) for name in way)
    lun = LUNS[0].key if of.can.has_luns else ""
    source = Volume.objects.create(team=world.team, name="source", size_gib=2, pool=of, lun=lun, state="available")
    Volume.objects.filter(pk=source.pk).update(path=lun or f"/{of.name}/{source.file_name}")
    world.fake.volumes[of.name, source.file_name] = 2 * GIB
    world.fake.contents[of.name, source.file_name] = "a secret"
    lun, size_gib = (LUNS[1].key, 4) if into.can.has_luns else ("", 3)
    clone = Volume.objects.create(team=world.team, name="data", size_gib=size_gib, pool=into, lun=lun)
    return test_volumes.asked(world, "volume.clone", vm, clone, source_volume=str(source.uuid)), source, clone


def assert_cloned(world, operation, source, clone):
    assert operation.state == OperationState.DONE, operation.error
    clone.refresh_from_db()
    there = clone.pool.name, clone.file_name
    assert world.fake.contents == {(source.pool.name, source.file_name): "a secret", there: "a secret"}
    assert world.fake.volumes[there] == clone.size_gib * GIB and not world.fake.pours
    assert clone.path == (clone.lun or f"/{there[0]}/{there[1]}") and clone.state == VolumeState.AVAILABLE


def assert_not_cloned(world, source, was_taken):
    assert list(Volume.objects.all()) == [source], "the row is gone, and with it what it held of the quota"
    assert world.fake.contents == {(source.pool.name, source.file_name): "a secret"} and not world.fake.pours
    assert world.fake.cleared == ([("san", "unit:0:0:2")] if was_taken else []), (
        "what may hold some of it, and no other"
    )


@pytest.mark.parametrize("way", WAYS)
def test_a_clone_holds_what_its_source_holds_though_a_worker_dies_after_it(world, vm, way):
    operation, source, clone = ready_to_clone(world, vm, way)
    die_after(world, operation, "make")
    assert_cloned(world, run(world, operation), source, clone)


@pytest.mark.parametrize("way", WAYS)
def test_a_clone_whose_worker_is_killed_under_way_is_poured_again_from_its_beginning(world, vm, way, monkeypatch):
    operation, source, clone = ready_to_clone(world, vm, way)
    with monkeypatch.context() as patch:
        patch.setattr(world.fake, "pour_progress", killed)
        patch.setattr(world.fake, "end_pour", lambda _name: None)  # nor does it tidy up
        die(world, operation)
    assert world.fake.pours
    assert_cloned(world, run(world, operation), source, clone)


def killed(_name):
    raise Killed


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("way", WAYS)
def test_a_clone_that_fails_leaves_its_source_alone_and_nothing_where_it_was_to_be(world, vm, way, when):
    operation, source, _ = ready_to_clone(world, vm, way)
    assert fail_in(world, operation, "make", when).state == OperationState.FAILED
    assert_not_cloned(world, source, way[1] == "san" and when == "after")


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_that_ends_half_way_is_cleared_and_the_words_say_why(world, vm, way):
    operation, source, _ = ready_to_clone(world, vm, way)
    world.fake.pours_fail = "its server went away"
    assert f"hv1 could not copy source into hv1/{way[1]}: its server went away" in run(world, operation).error
    assert_not_cloned(world, source, way[1] == "san")


def test_a_clone_that_is_cancelled_under_way_ends_at_once_and_leaves_nothing(world, vm, monkeypatch):
    operation, source, _ = ready_to_clone(world, vm, ("hopsight", "san"))

    def cancel(_name):
        Operation.objects.update(cancel_asked_at=timezone.now())
        return CopyProgress(1, 2)

    monkeypatch.setattr(world.fake, "pour_progress", cancel)
    assert run(world, operation).state == OperationState.CANCELLED
    assert_not_cloned(world, source, was_taken=True)


def test_a_lun_is_cloned_only_while_no_running_guest_has_it_and_a_copy_is_nobody_s_domain(world, vm):
    operation, source, _ = ready_to_clone(world, vm, ("san", "hopsight"))
    Volume.objects.filter(pk=source.pk).update(vm=vm, target="vdd", state=VolumeState.ATTACHED)
    words = f"{vm.name} was started meanwhile and may write to source: shut it down"
    assert words in run(world, operation).error
    xml = format_disk(DiskSpec(LUNS[1].key, "vda", "virtio", "s", "raw", "iscsi", WAY))
    world.fake.definitions[f"{COPIES}x"] = f"<domain><name>x</name><devices>{xml}</devices></domain>"
    look_at_pools(lambda _host: world.fake)
    assert [one.key for one in free_luns(Pool.objects.get(name="san"))] == [LUNS[1].key]
    record_foreign_domains(world.host, world.fake, dict.fromkeys((f"{COPIES}x", "theirs"), DomainState.PAUSED))
    assert [one["name"] for one in HostSeen.objects.get().foreign_domains] == ["theirs"]


# Where it moves.


@pytest.mark.parametrize("told", [SAN, CEPH])
def test_it_stays_where_it_is_when_its_vm_moves_to_a_host_of_the_same_storage_and_goes_nowhere_else(pair, told):
    fakes, vm, there = pair
    look(fakes, told)
    volume = attach(fakes, vm, told.name)
    places, missing = places_on(vm, there)
    assert not missing and places[0].is_shared and places[0].pool.host == there
    Pool.objects.filter(host=there, name=told.name).update(source="another")
    _, missing = places_on(vm, there)
    assert f"hv2/{told.name} is other storage, and libvirt copies no volume of" in missing[0]
    assert volume.name in missing[0]


# What is read and written.


POOL = """<pool type='{kind}'><name>x</name><source><host name='a&lt;b' port='1'/><host name='c' port='2'/><device path='{device}'/>
<name>{name}</name><initiator><iqn name='iqn.me"&gt;'/></initiator><auth type='{auth}' username='u"&lt;'>
<secret {secret}/></auth></source><target><path>/dev/disk/by-path</path></target></pool>"""


@pytest.mark.parametrize(
    ("kind", "protocol", "auth", "secret"),
    [
        ("rbd", "rbd", "ceph", ("uuid", "2ec115d7-3a88-3ceb-bc12-0ac909a6fd87")),
        ("iscsi-direct", "iscsi", "chap", ("usage", "shelf &amp; <key>")),
    ],
)
def test_what_a_pool_tells_is_what_libvirt_reads_in_the_disk_whatever_it_is_called(kind, protocol, auth, secret):
    word, text = secret
    written = f"{word}='{text.replace('<', '&lt;')}'"
    root = etree.fromstring(POOL.format(kind=kind, device="iqn.t:&lt;x", name="vms'&gt;", auth=auth, secret=written))
    way = reach_from_json(reach_as_json(reach_of(root)))
    assert way is not None and way.hosts == (("a<b", "1"), ("c", "2")) and way.user == 'u"<'
    path = name_in_domains(root, "unit:0:0:3", f"{way.name}/hs-vol-1")
    xml = f"<domain type='test'><name>d</name><memory>1</memory><os><type>hvm</type></os><devices>{format_disk(DiskSpec(path, 'vdd', 'virtio', 's', 'raw', protocol, way))}</devices></domain>"
    connection = libvirt.open("test:///default")
    try:
        domain = connection.defineXML(xml)
        read = etree.fromstring(domain.XMLDesc()).find("devices/disk/source")
        domain.undefine()
    finally:
        connection.close()
    assert (read.get("protocol"), read.get("name")) == (protocol, path)
    assert [(one.get("name"), one.get("port") or "") for one in read.iterfind("host")] == list(way.hosts)
    assert read.find("auth").get("username") == way.user
    assert read.find("auth/secret").get(word) in (way.secret_uuid, way.secret_usage) and way.secret_kind == auth
    assert path in paths_in(xml), "so that it is known to be in use"


def test_a_lun_that_is_a_device_of_its_host_is_a_block_disk():
    path = "/dev/disk/by-path/ip-192.0.2.9:3260-iscsi-iqn.2026-01.san:shelf-lun-1"
    volume = Volume(pool=Pool(kind="iscsi", name="san"), lun=LUNS[0].key, path=path, target="vdd", bus="virtio")
    disk = etree.fromstring(format_disk(vm_create.disk_spec(volume)))
    assert (disk.get("type"), disk.find("source").get("dev")) == ("block", path)
    assert (disk.find("driver").get("type"), disk.find("driver").get("cache")) == ("raw", "none")


def test_a_pool_that_the_host_has_as_devices_or_folders_has_no_way_of_qemus():
    for kind in ("iscsi", "dir", "logical", "netfs"):
        root = etree.fromstring(POOL.format(kind=kind, device="iqn.t:x", name="n", auth="chap", secret="usage='k'"))
        assert reach_of(root) is None
        assert name_in_domains(root, "unit:0:0:3", "/dev/disk/by-path/x") == "/dev/disk/by-path/x"
        assert bool(target_of(root)) is (kind == "iscsi")
        assert bool(source_of(root)) is (kind in ("iscsi", "netfs"))
    assert reach_of(etree.fromstring("<pool type='rbd'/>")) is None


def test_libvirt_tells_of_a_pool_of_ceph_as_rows_keep_it():
    hypervisor, name = LibvirtHypervisor("hv1", "test:///default"), "ceph-told"
    connection = libvirt.open("test:///default")
    try:
        auth = "<auth type='ceph' username='hs'><secret uuid='2ec115d7-3a88-3ceb-bc12-0ac909a6fd87'/></auth>"
        source = f"<source><name>vms</name><host name='192.0.2.7' port='6789'/>{auth}</source>"
        pool = connection.storagePoolDefineXML(f"<pool type='rbd'><name>{name}</name>{source}</pool>")
        seen = next((one for one in hypervisor.pools() if one.name == name), None)
        pool.undefine()
    finally:
        connection.close()
    assert seen is not None and (seen.kind, seen.target, seen.luns) == ("rbd", "vms", ())
    assert seen.reach == Reach(
        (("192.0.2.7", "6789"),), "vms", user="hs", secret_kind="ceph",
        secret_uuid="2ec115d7-3a88-3ceb-bc12-0ac909a6fd87",
    )  # fmt: skip
