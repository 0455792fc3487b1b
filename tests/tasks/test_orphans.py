"""What no row explains on a host: found with what it was, told, and removed only when an operator asked and it still is so."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.utils import timezone

from portal.compute.models import VM
from portal.hosts.models import Host, Orphan, OrphanKind
from portal.hosts.orphans import clean_again, clean_orphans
from portal.networks.models import Port
from portal.operations.models import Operation, OperationState
from portal.topology.models import HostSeen
from portal.volumes.models import Volume
from sdn.model.switch import BridgeSeen, InterfaceSeen, PortSeen, SwitchSeen, switch_to_json
from sdn.shadow import Shadow, ShadowBridge, ShadowPort
from tasks.hypervisor.disks import ensure_layer, ensure_overlay
from tasks.hypervisor.driver import HostUnreachable
from tasks.reconcile.orphans import find_all_orphans, find_orphans
from tasks.sagas.engine import StageError
from tests.tasks.test_sagas import run, with_stage

MARK = "https://hopsight.example/domain/1"


@pytest.fixture(autouse=True)
def no_grace(settings):
    settings.ORPHAN_GRACE_S = 0


@pytest.fixture
def left(world):
    """A VM with all that is its own, whose row then went: everything of it is an orphan."""
    vm = world.make_vm()
    assert run(world, world.ask("vm.create", vm)).state == OperationState.DONE
    names = {path.name for path in world.folder.iterdir() if path.is_file()}
    forget(vm)
    return SimpleNamespace(vm=vm, domain=vm.domain, files=names)


def forget(vm):
    """The row goes behind our back, as when a database is put back from before."""
    Port.objects.filter(vm=vm).delete()
    VM.objects.filter(pk=vm.pk).delete()


def look(world):
    find_all_orphans(lambda _host: world.fake)
    return {(row.kind, row.name): row for row in Orphan.objects.all()}


def clean(world, rows, before=lambda: None):
    """The operation that removes them, run; `before` happens between the asking and the doing."""
    operation = clean_orphans(world.host, olga(), [str(row.uuid) for row in rows], world.host.name)
    before()
    return run(world, operation)


def olga():
    from portal.accounts.models import User

    return User.objects.get_or_create(username="olga", is_operator=True)[0]


def detail(operation):
    return operation.stages.get(name="remove").detail


def test_a_host_whose_rows_are_right_has_no_orphan(world):
    run(world, world.ask("vm.create", world.make_vm()))
    (world.folder / "notes.txt").write_text("somebody's own")
    world.fake.definitions["legacy-db"] = "<domain><name>legacy-db</name></domain>"
    assert look(world) == {}


def test_a_domain_and_files_without_a_row_are_found_with_what_they_were_and_nothing_is_touched(world, left):
    found = look(world)
    assert {name for kind, name in found if kind == OrphanKind.FILE} == left.files
    domain = found[OrphanKind.DOMAIN, left.domain]
    assert (domain.was, domain.where, domain.why_not) == ("domain of VM web-1 of team Payments", "running", "")
    disk = found[OrphanKind.FILE, f"{left.domain}.qcow2"]
    assert disk.was == "disk of VM web-1 of team Payments" and disk.where == str(world.folder / disk.name)
    assert disk.size_bytes > 0 and disk.changed_at is not None and disk.why_not == ""
    assert found[OrphanKind.FILE, f"{left.domain}-seed.iso"].was == "seed of VM web-1 of team Payments"
    assert left.domain in world.fake.running and (world.folder / disk.name).exists()


def test_what_is_explained_again_is_no_longer_told(world, left):
    assert look(world)
    world.fake.definitions.clear()
    world.fake.running.clear()
    for name in left.files:
        (world.folder / name).unlink()
    assert look(world) == {}


def test_a_host_that_does_not_answer_keeps_what_was_found(world, left):
    before = set(look(world))
    world.fake.is_down = True
    assert set(look(world)) == before


def test_cleaning_removes_the_domain_then_its_files_and_tells_how_much(world, left):
    operation = clean(world, look(world).values())
    assert operation.state == OperationState.DONE, operation.error
    assert f"{len(left.files) + 1} removed" in detail(operation)
    assert not world.fake.definitions and not world.fake.running and not list(world.folder.glob("hs-*"))
    assert not Orphan.objects.exists() and operation.team is None


def test_only_what_was_ticked_goes(world, left):
    row = look(world)[OrphanKind.FILE, f"{left.domain}-seed.iso"]
    world.fake.running.clear()
    world.fake.definitions.clear()
    look(world)
    assert clean(world, [row]).state == OperationState.DONE
    assert {path.name for path in world.folder.glob("hs-*")} == left.files - {row.name}


def test_a_file_that_a_domain_names_stays_though_it_was_ticked(world, left):
    disk = look(world)[OrphanKind.FILE, f"{left.domain}.qcow2"]
    operation = clean(world, [disk])
    assert f"{disk.name} stays: the domain {left.domain} names it" in detail(operation)
    assert (world.folder / disk.name).exists()


def test_a_foreign_domain_that_uses_a_file_keeps_it_from_being_offered(world, left):
    disk = world.folder / f"{left.domain}.qcow2"
    above = world.folder / f"{left.domain}-above.qcow2"
    ensure_layer(above, disk)
    xml = f"<domain><name>rescued</name><devices><disk><source file='{above}'/></disk></devices></domain>"
    world.fake.definitions["rescued"] = xml
    found = look(world)
    for path in (disk, above):
        assert found[OrphanKind.FILE, path.name].refusal == "the domain rescued of this host names it", path


def test_what_is_explained_between_the_tick_and_the_deed_stays(world, left):
    rows = look(world).values()

    def come_back():
        left.vm.pk = None
        left.vm.host = world.host
        left.vm.save(force_insert=True)

    operation = clean(world, rows, come_back)
    assert detail(operation).startswith("0 removed") and "it is explained now" in detail(operation)
    assert left.domain in world.fake.running and len(list(world.folder.glob("hs-*"))) == len(left.files)


def test_what_an_operation_is_at_work_on_is_no_orphan(world, left):
    rows = look(world).values()
    operation = clean(world, rows, lambda: world.ask("vm.start", left.vm))
    assert detail(operation).startswith("0 removed")
    assert left.domain in world.fake.running and look(world) == {}


def test_what_the_books_know_nothing_of_is_shown_and_not_cleaned(world):
    uuid = uuid4()
    world.fake.definitions[f"hs-{uuid}"] = f"<domain><name>hs-{uuid}</name></domain>"
    (world.folder / f"hs-{uuid}.qcow2").write_bytes(b"another's")
    found = look(world)
    assert "mark" in found[OrphanKind.DOMAIN, f"hs-{uuid}"].refusal
    row = found[OrphanKind.FILE, f"hs-{uuid}.qcow2"]
    assert "another Hopsight" in row.refusal
    with pytest.raises(Exception, match="another Hopsight"):
        clean(world, [row])
    assert (world.folder / row.name).exists()


def test_a_domain_of_our_name_without_our_mark_is_never_removed(world, left):
    world.fake.definitions[left.domain] = f"<domain><name>{left.domain}</name></domain>"
    assert "mark" in look(world)[OrphanKind.DOMAIN, left.domain].refusal
    xml = f"<domain><name>{left.domain}</name><metadata><vm xmlns='{MARK}'/></metadata></domain>"
    world.fake.definitions[left.domain] = xml
    assert look(world)[OrphanKind.DOMAIN, left.domain].refusal == ""


def test_what_was_found_a_moment_ago_waits(world, left, settings):
    settings.ORPHAN_GRACE_S = 900
    row = look(world)[OrphanKind.FILE, f"{left.domain}-seed.iso"]
    assert row.why_not == "it was found a moment ago: it can be cleaned in 15 min"
    Orphan.objects.update(found_at=timezone.now() - timedelta(seconds=901))
    assert Orphan.objects.get(pk=row.pk).why_not == ""


def test_a_layer_that_no_snapshot_needs_is_an_orphan_and_one_that_the_disk_lies_on_is_not(world):
    vm = world.make_vm()
    run(world, world.ask("vm.create", vm))
    vm.refresh_from_db()
    base, needed, stale = (world.folder / f"hs-{vm.uuid}{end}" for end in (".qcow2", "-aa.qcow2", "-bb.qcow2"))
    base.unlink(missing_ok=True)
    ensure_overlay(base, "", "", 1)
    ensure_layer(needed, base)
    ensure_layer(stale, base)
    VM.objects.filter(pk=vm.pk).update(disk_name=needed.name)
    (world.folder / f"hs-{vm.uuid}.qcow2.new").write_bytes(b"half")
    found = look(world)
    assert {name for _, name in found} == {stale.name, f"hs-{vm.uuid}.qcow2.new"}
    was = "layer of a snapshot of VM web-1 of team Payments, which has it no more"
    assert found[OrphanKind.FILE, stale.name].was == was


def test_what_is_left_on_the_host_that_a_vm_moved_away_from_is_an_orphan_there_alone(world, tmp_path_factory):
    vm = world.make_vm()
    run(world, world.ask("vm.create", vm))
    there = Host.objects.create(
        name="hv2", libvirt_uri="fake:", ovsdb="", ovs_rundir="", controller_target="", underlay_ip="192.0.2.12",
        disks_dir=str(tmp_path_factory.mktemp("hv2")),
    )  # fmt: skip
    VM.objects.filter(pk=vm.pk).update(host=there)
    found = find_orphans(world.host, world.fake)
    domain = next(one for one in found if one.kind == OrphanKind.DOMAIN)
    assert "it runs here, though the books say that web-1 is on hv2" in domain.refusal
    assert {one.was.partition(", ")[2] for one in found} == {"which is on hv2 now"}
    there.disks_dir = world.host.disks_dir
    there.save()
    files = [one for one in find_orphans(world.host, world.fake) if one.kind == OrphanKind.FILE]
    assert files == [], "the storage is shared: they are the VM's own"


def test_a_volume_without_a_row_is_found_in_its_pool_and_removed(world):
    vm = world.make_vm()
    kept, gone = (Volume.objects.create(team=world.team, name=name, size_gib=1) for name in ("kept", "gone"))
    operation = world.ask("vm.volume_add", vm)
    Operation.objects.filter(pk=operation.pk).update(params={"volume": str(gone.uuid), "name": "gone"}, state="done")
    for volume in (kept, gone):
        world.fake.volumes["hopsight", f"hs-vol-{volume.uuid}.qcow2"] = 5 << 20
    world.fake.volumes["hopsight", "holiday.iso"] = 1
    gone.delete()
    found = look(world)
    assert set(found) == {(OrphanKind.VOLUME, f"hopsight/hs-vol-{gone.uuid}.qcow2")}
    (row,) = found.values()
    assert (row.was, row.size_bytes) == ("volume gone of team Payments", 5 << 20)
    assert clean(world, [row]).state == OperationState.DONE
    assert set(world.fake.volumes) == {("hopsight", f"hs-vol-{kept.uuid}.qcow2"), ("hopsight", "holiday.iso")}


def test_a_port_whose_tap_is_gone_is_taken_out_of_the_switch_and_others_are_not(world, left):
    """[br-int]--[vnet5 of a VM that is gone]  [vnet6 of a VM that is there]  [tap of a foreign domain]"""
    vm = world.make_vm("db-1")
    run(world, world.ask("vm.create", vm))
    world.fake.running.pop(left.domain)
    nics = {"vnet5": (uuid4(), left.vm.uuid), "vnet6": (vm.ports.get().uuid, vm.uuid), "tap0": (uuid4(), uuid4())}
    with Shadow() as shadow:
        shadow.load([ShadowBridge("br-int", tuple(ShadowPort(name, n + 1) for n, name in enumerate(nics)))])
        for name, (iface_id, vm_id) in nics.items():
            shadow.vsctl("set", "Interface", name, f"external_ids:iface-id={iface_id}", f"external_ids:vm-id={vm_id}")
        world.host.ovsdb = f"unix:{shadow.rundir}/db.sock"
        world.host.save()
        seen_of(world.host, nics)
        row = look(world)[OrphanKind.PORT, "vnet5"]
        assert row.was == "NIC of VM web-1 of team Payments"
        assert [name for kind, name in look(world) if kind == OrphanKind.PORT] == ["vnet5"]
        shadow.vsctl("set", "Interface", "vnet5", f"external_ids:iface-id={uuid4()}")
        assert "vnet5 stays: vnet5 is another NIC's port now" in detail(clean(world, [row]))
        shadow.vsctl("set", "Interface", "vnet5", f"external_ids:iface-id={nics['vnet5'][0]}")
        assert "1 removed" in detail(clean(world, [row]))
        assert set(shadow.vsctl("list-ports", "br-int").split()) == {"vnet6", "tap0"}


def seen_of(host, nics):
    """What the controller keeps of the switch."""
    ports = tuple(
        PortSeen(name, (InterfaceSeen(name, "", 1, driver="tun", iface_id=str(one), vm_id=str(vm)),))
        for name, (one, vm) in nics.items()
    )
    seen = SwitchSeen("3.1.0", (BridgeSeen("br-int", "netdev", "secure", "connected", ports),))
    HostSeen.objects.update_or_create(host=host, defaults={"switch": switch_to_json(seen)})


def test_a_host_that_is_down_removes_nothing_and_it_can_be_asked_again(world, left):
    rows = list(look(world).values())
    world.fake.is_down = True
    operation = clean(world, rows)
    assert operation.state == OperationState.FAILED and "does not answer" in operation.error
    world.fake.is_down = False
    assert run(world, clean_again(operation, olga())).state == OperationState.DONE
    assert not list(world.folder.glob("hs-*"))


def test_a_worker_that_dies_in_the_middle_leaves_the_rest_to_the_next(world, left, monkeypatch):
    rows = list(look(world).values())
    removed = []
    real = world.fake.undefine

    def once(name):
        if not removed:
            removed.append(name)
            raise HostUnreachable("the line was cut")
        real(name)

    monkeypatch.setattr(world.fake, "undefine", once)
    assert clean(world, rows).state == OperationState.FAILED
    again = clean(world, look(world).values())
    assert again.state == OperationState.DONE and not list(world.folder.glob("hs-*"))


def test_each_stage_runs_twice_unharmed(world, left):
    rows = list(look(world).values())
    sagas = with_stage("host.clean", "remove", lambda do: lambda context: (do(context), do(context))[1])
    operation = clean_orphans(world.host, olga(), [str(row.uuid) for row in rows], "hv1")
    assert run(world, operation, sagas).state == OperationState.DONE
    assert not list(world.folder.glob("hs-*")) and not Orphan.objects.exists()


def test_a_stage_that_fails_is_told_and_changes_no_row(world, left):
    def fail(_do):
        def act(_context):
            raise StageError("the disk is full")

        return act

    rows = list(look(world).values())
    operation = clean_orphans(world.host, olga(), [str(row.uuid) for row in rows], "hv1")
    ended = run(world, operation, with_stage("host.clean", "remove", fail))
    assert (ended.state, ended.error) == (OperationState.FAILED, "the disk is full")
    assert Orphan.objects.count() == len(rows)
