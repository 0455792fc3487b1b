"""A domain that somebody else defined becomes a VM of a team, and is let go again; the domain is never touched."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from portal.accounts.models import User
from portal.compute.actions import ACTIONS, request_action
from portal.compute.adoption import Wish, adopt, let_go, plan_of
from portal.compute.changes import CHANGES, bin_vm, changes_of
from portal.compute.foreign import facts_from_json
from portal.compute.models import VM, Flavor, Image, VMState
from portal.compute.moves import request_move
from portal.compute.requests import VMProblem, delete_vm
from portal.hosts.models import ForeignDomain, Orphan
from portal.networks.ipam import reserve_port
from portal.networks.models import Network, Port
from portal.operations.models import OperationState
from portal.operations.stages import STAGES
from tasks.hypervisor.foreign_xml import parse_foreign
from tasks.hypervisor.libvirt_driver import LibvirtHypervisor
from tasks.reconcile.foreign import look_at_all
from tasks.reconcile.orphans import find_orphans
from tests.tasks.test_sagas import die_after, fail_in, run

DOMAIN, MAC, IFACE = (
    "aaaaaaaa-0000-4000-8000-000000000001",
    "52:54:00:aa:00:01",
    "bbbbbbbb-0000-4000-8000-000000000001",
)
XML = f"""<domain type='qemu'><name>legacy_db.old</name><uuid>{DOMAIN}</uuid><memory unit='KiB'>262144</memory><vcpu>2</vcpu>
<os><type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type></os><devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/srv/legacy.qcow2'/><target dev='vda' bus='virtio'/></disk>
<disk type='file' device='cdrom'><target dev='hda' bus='ide'/></disk>
<interface type='bridge'><mac address='{MAC.upper()}'/><source bridge='br-int'/><virtualport type='openvswitch'>
<parameters interfaceid='{IFACE}'/></virtualport><model type='e1000'/></interface>
<interface type='network'><mac address='52:54:00:aa:00:02'/><source network='default'/><model type='virtio'/></interface>
</devices></domain>"""


@pytest.fixture
def domain(world):
    """The foreign domain, running, as the worker read it."""
    world.fake.definitions["legacy_db.old"] = XML
    world.fake.start("legacy_db.old")
    world.fake.calls.clear()
    real = world.fake.live_interfaces

    def wired(name):
        """What the controller does with a port that has become known."""
        found = real(name)
        world.fake.on_start(found)
        return found

    world.fake.live_interfaces = wired
    look_at_all(lambda _host: world.fake)
    return ForeignDomain.objects.select_related("host").get()


@pytest.fixture
def olga(world):
    return User.objects.create(username="olga", is_operator=True)


WISH = Wish("payments", "legacy-db", {MAC: "net"}, {MAC: "10.0.0.50"})
TOUCHING = {"define", "start", "destroy", "undefine", "shutdown", "reset", "reboot", "suspend", "plug_nic", "set_link", "set_autostart"}  # fmt: skip


def adopted(world, domain, olga, wish=WISH):
    made = adopt(domain, olga, wish)
    assert run(world, made.operation).state == OperationState.DONE, made.operation.error
    return VM.objects.select_related("team", "host", "image", "flavor").get(uuid=domain.uuid)


def test_what_it_is_made_of_is_read(domain):
    facts = facts_from_json(domain.facts)
    assert (domain.name, str(domain.uuid), domain.state) == ("legacy_db.old", DOMAIN, "running")
    assert (facts.vcpus, facts.ram_mib, facts.machine, facts.disk_gib) == (2, 256, "pc-i440fx-7.2", 3)
    assert [(disk.target, disk.source, disk.format, disk.device) for disk in facts.disks] == [
        ("vda", "/srv/legacy.qcow2", "qcow2", "disk"), ("hda", "", "", "cdrom"),
    ]  # fmt: skip
    assert [(nic.mac, nic.plugged, nic.interface_id) for nic in facts.nics] == [
        (MAC, "bridge br-int", IFACE), ("52:54:00:aa:00:02", "network default", ""),
    ]  # fmt: skip


def test_libvirts_own_words_are_read_too():
    """libvirt's test driver has a domain with a disk, and a pool without volumes."""
    hypervisor = LibvirtHypervisor("hv1", "test:///default")
    definition = hypervisor.definition("test")
    facts = parse_foreign(definition, hypervisor.disk_sizes("test"))
    (disk,) = facts.disks
    assert (facts.vcpus, facts.ram_mib, disk.target, disk.source) == (2, 8192, "vda", "/guest/diskimage1")
    assert disk.size_bytes > 0 and facts.nics[0].mac and not facts.nics[0].is_on_switch
    assert hypervisor.definition("nobody") == "" and (disk.source, "test") in hypervisor.files_in_use()
    assert hypervisor.pool_volumes("default-pool") == ()


def test_ours_are_not_foreign_and_one_that_is_gone_is_told_no_more(world, domain):
    run(world, world.ask("vm.create", world.make_vm()))
    look_at_all(lambda _host: world.fake)
    assert [one.name for one in ForeignDomain.objects.all()] == ["legacy_db.old"]
    world.fake.definitions.pop("legacy_db.old")
    world.fake.running.pop("legacy_db.old")
    look_at_all(lambda _host: world.fake)
    assert not ForeignDomain.objects.exists()


def test_the_plan_says_what_changes_and_what_does_not_and_stores_nothing(domain):
    plan = plan_of(domain, WISH)
    assert plan.problems == {}
    told, stays = " ".join(plan.changes), " ".join(plan.stays)
    for words in ("legacy-db becomes a VM of team Payments", "2 vCPU, 256 MiB and 3 GiB", f"NIC {MAC} becomes a port of net with 10.0.0.50"):  # fmt: skip
        assert words in told, words
    for words in (
        "Its definition stays",
        "vda stays at /srv/legacy.qcow2",
        "NIC 52:54:00:aa:00:02 stays a foreign one",
    ):
        assert words in stays, words
    assert not VM.objects.exists() and not Port.objects.exists()


def test_it_becomes_a_vm_with_its_port_and_the_domain_is_not_touched(world, domain, olga):
    vm = adopted(world, domain, olga)
    port = vm.ports.get()
    assert (vm.name, vm.domain, vm.state, vm.host) == ("legacy-db", "legacy_db.old", VMState.RUNNING, world.host)
    assert (vm.vcpus, vm.ram_mib, vm.disk_gib) == (2, 256, 3)
    assert (str(port.uuid), port.mac, port.addresses.get().address, port.tap) == (IFACE, MAC, "10.0.0.50", "vnet0")
    assert port.wired_at is not None and port.host == world.host
    assert vm.adopted["disks"][0]["source"] == "/srv/legacy.qcow2"
    assert [nic["mac"] for nic in vm.adopted["foreign_nics"]] == ["52:54:00:aa:00:02"]
    assert not TOUCHING & set(world.fake.calls), world.fake.calls
    assert world.fake.definitions["legacy_db.old"] == XML and not ForeignDomain.objects.exists()
    look_at_all(lambda _host: world.fake)
    assert not ForeignDomain.objects.exists() and find_orphans(world.host, world.fake) == []


def test_its_image_and_size_stand_in_no_list(world, domain, olga):
    vm = adopted(world, domain, olga)
    assert vm.image.name == "Adopted" and vm.image not in Image.objects.all() and vm.flavor not in Flavor.objects.all()


def test_its_power_is_the_teams_and_a_start_leaves_its_definition(world, domain, olga):
    vm = adopted(world, domain, olga)
    assert run(world, request_action(vm, olga, "force_off")).state == OperationState.DONE
    vm.refresh_from_db()
    assert vm.state == VMState.STOPPED
    assert run(world, request_action(vm, olga, "start")).state == OperationState.DONE
    assert world.fake.definitions["legacy_db.old"] == XML and "define" not in world.fake.calls
    vm.refresh_from_db()
    assert vm.state == VMState.RUNNING


def test_whatever_would_change_its_definition_or_disks_is_refused(world, domain, olga):
    vm = adopted(world, domain, olga)
    refused = {name for name, reason in changes_of(vm).items() if "it was adopted" in reason}
    assert refused == set(CHANGES) - {"rename"}
    for act in (lambda: request_move(vm, olga), lambda: delete_vm(vm, olga), lambda: bin_vm(vm, olga)):
        with pytest.raises(VMProblem, match="it was adopted"):
            act()
    VM.objects.update(state=VMState.STOPPED)
    vm.refresh_from_db()
    with pytest.raises(VMProblem, match="it was adopted"):
        request_action(vm, olga, "rescue")
    assert "rescue" in ACTIONS and world.fake.definitions["legacy_db.old"] == XML


def test_every_problem_is_told_at_once(world, domain, olga):
    world.team.max_vcpus = 1
    world.team.save()
    world.make_vm("legacy-db")
    net = Network.objects.get()
    Port.objects.create(network=net, name="thief", mac=MAC)
    with pytest.raises(VMProblem) as refused:
        adopt(domain, olga, replace(WISH, networks={MAC: "net", "52:54:00:aa:00:02": "net", "52:54:00:ff:ff:ff": "net"}, addresses={MAC: "10.9.9.9"}))  # fmt: skip
    told = refused.value.errors
    assert "Payments has a VM legacy-db already" in told["name"][0] and "over quota: 2 vCPU" in told["team"][0]
    nics = " ".join(told["nics"])
    for words in ("a port has its MAC already", "10.9.9.9 was given", "plugged into libvirt's network default", "it has no NIC 52:54:00:ff:ff:ff"):  # fmt: skip
        assert words in nics, words
    assert not VM.objects.filter(uuid=DOMAIN).exists()


def test_a_reserved_address_is_for_the_nic_that_has_its_mac(world, domain, olga):
    reserve_port(Network.objects.get(), name="later", address="10.0.0.50")
    with pytest.raises(VMProblem, match="reserved, as later"):
        adopt(domain, olga, WISH)
    assert not VM.objects.exists()


def test_a_team_that_is_none_and_a_domain_that_is_a_vm_already_are_told(world, domain, olga):
    assert "teams are payments" in plan_of(domain, replace(WISH, team="nobody\0")).problems["team"][0]
    adopted(world, domain, olga)
    assert "there is a VM with its uuid" in plan_of(domain, WISH).problems["domain"][0]


def test_let_go_it_is_forgotten_and_the_domain_runs_on(world, domain, olga):
    vm = adopted(world, domain, olga)
    assert run(world, let_go(vm, olga)).state == OperationState.DONE
    assert not VM.objects.exists() and not Port.objects.exists()
    assert "legacy_db.old" in world.fake.running and not TOUCHING & set(world.fake.calls)
    assert find_orphans(world.host, world.fake) == [] and not Orphan.objects.exists()
    look_at_all(lambda _host: world.fake)
    assert adopted(world, ForeignDomain.objects.select_related("host").get(), olga).uuid == UUID(DOMAIN)


def test_a_vm_of_our_own_is_not_let_go(world, olga):
    vm = world.make_vm()
    run(world, world.ask("vm.create", vm))
    with pytest.raises(VMProblem, match="it was not adopted"):
        let_go(vm, olga)


def test_a_definition_that_changed_since_the_plan_is_not_adopted(world, domain, olga):
    made = adopt(domain, olga, WISH)
    world.fake.definitions["legacy_db.old"] = XML.replace("<vcpu>2", "<vcpu>8")
    operation = run(world, made.operation)
    assert operation.state == OperationState.FAILED and "was changed meanwhile" in operation.error
    assert not VM.objects.exists() and not Port.objects.exists()


def test_one_that_is_off_is_adopted_off(world, domain, olga):
    world.fake.running.pop("legacy_db.old")
    assert adopted(world, domain, olga).state == VMState.STOPPED


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("stage", [name for name, _ in STAGES["vm.adopt"]])
def test_an_adoption_that_fails_in_a_stage_forgets_its_rows_and_touches_nothing(world, domain, olga, stage, when):
    made = adopt(domain, olga, WISH)
    assert fail_in(world, made.operation, stage, when).state == OperationState.FAILED
    assert not VM.objects.exists() and not Port.objects.exists()
    assert world.fake.definitions["legacy_db.old"] == XML and not TOUCHING & set(world.fake.calls)


@pytest.mark.parametrize("stage", [name for name, _ in STAGES["vm.adopt"]])
def test_an_adoption_whose_worker_is_killed_is_taken_up(world, domain, olga, stage):
    made = adopt(domain, olga, WISH)
    die_after(world, made.operation, stage)
    assert run(world, made.operation).state == OperationState.DONE
    assert VM.objects.get().state == VMState.RUNNING and not TOUCHING & set(world.fake.calls)
