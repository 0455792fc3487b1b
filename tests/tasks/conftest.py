"""A VM as the portal asks for it, a fake host that wires what it plugs, and no broker."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.utils import timezone

from portal.accounts.models import Team, User
from portal.compute.models import VM, Flavor, Image, VMState
from portal.hosts.models import Host
from portal.networks.ipam import allocate_port
from portal.networks.models import Network, Port, Subnet
from portal.operations.models import Operation, OperationStage
from portal.operations.stages import STAGES
from tasks.hypervisor.fake import FakeHypervisor
from tasks.sagas.engine import run_operation
from tasks.sagas.table import SAGAS
from tests.s3 import s3_service


@pytest.fixture
def world(db, tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.sagas.engine.enqueue_operation", lambda _id: None)
    # a lease is renewed on a connection of its own, for which the transaction around the test would be in the way for good
    monkeypatch.setattr("tasks.sagas.engine.RENEW_S", 3600.0)
    team = Team.objects.create(name="Payments", slug="payments")
    alice = User.objects.create(username="alice")
    host = Host.objects.create(
        name="hv1", libvirt_uri="fake:", ovsdb="", ovs_rundir="", controller_target="", datapath_type="netdev",
        disks_dir=str(tmp_path), underlay_ip="192.0.2.11", vcpus=4, ram_mib=4096, libvirt_seen_at=timezone.now(),
    )  # fmt: skip
    network = Network.objects.create(team=team, name="net", vni=4097, router_mac="02:00:00:00:00:01")
    Subnet.objects.create(
        network=network, cidr="10.0.0.0/24", gateway="10.0.0.1", pool_start="10.0.0.10", pool_end="10.0.0.99"
    )
    image = Image.objects.create(slug="tiny", name="Tiny", disk_path="")
    flavor = Flavor.objects.create(name="small", vcpus=1, ram_mib=128, disk_gib=1)
    fake = FakeHypervisor()

    def wire(interfaces):
        ids = [interface.interface_id for interface in interfaces if interface.interface_id]
        Port.objects.filter(uuid__in=ids).update(wired_at=timezone.now())

    fake.on_start = wire

    def make_vm(name="web-1"):
        vm = VM.objects.create(
            team=team, name=name, image=image, flavor=flavor, vcpus=1, ram_mib=128, disk_gib=1, request_key=name,
            created_by=alice, public_key="ssh-ed25519 AAAA alice",
        )  # fmt: skip
        allocate_port(network, name=name, vm=vm)
        return vm

    def ask(kind, vm):
        operation = Operation.objects.create(
            team=team, kind=kind, object_type="vm", object_uuid=vm.uuid, object_name=vm.name, created_by=alice
        )
        for position, (stage, title) in enumerate(STAGES[kind]):
            OperationStage.objects.create(operation=operation, position=position, name=stage, title=title)
        return operation

    return SimpleNamespace(team=team, host=host, fake=fake, make_vm=make_vm, ask=ask, folder=tmp_path)


@pytest.fixture
def vm(world):
    """One that a create has brought up."""
    made = world.make_vm()
    run_operation(world.ask("vm.create", made).pk, SAGAS, lambda _host: world.fake)
    made.refresh_from_db()
    assert made.state == VMState.RUNNING, made.state_reason
    return made


@pytest.fixture(scope="session")
def s3(tmp_path_factory):
    """An S3 service, one for all tests of a process."""
    with s3_service(tmp_path_factory.mktemp("s3")) as service:
        yield service
