"""The rows of a deployment of any size, for page_ms: hosts, VMs with five ports each, and what such a deployment gathers."""

from __future__ import annotations

import itertools
import time
from datetime import datetime, timedelta
from typing import Any

PORTS_PER_VM = 5
SAMPLES = 30  # ten seconds each
BATCH = 2000


def filled(hosts: int, vms: int) -> tuple[Any, dict[str, str]]:
    """An operator who owns a team with all the VMs, and addresses of one VM, host, network and so on by their page's name."""
    from django.utils import timezone

    from portal.accounts.models import Membership, Team, User

    now = timezone.now()
    user = User.objects.create(username="olga", is_operator=True)
    limits = {"max_vms": vms * 2, "max_vcpus": vms * 2, "max_ram_mib": vms * 256, "max_disk_gib": vms * 4}
    team = Team.objects.create(name="All", slug="all", **limits)
    Team.objects.bulk_create(Team(name=f"Team {n}", slug=f"team-{n}") for n in range(max(1, vms // 100)))
    Membership.objects.create(user=user, team=team, role="owner")
    on = _hosts(hosts, now)
    rows = _vms(team, user, on, vms)
    net, ports = _ports(team, rows, now)
    _around(team, user, rows, ports, on, now)
    _done(team, user, rows, now)
    _measured(team, rows, on, ports, now)
    middle = rows[vms // 2]
    urls = {
        "vm": f"/vms/{middle.uuid}/", "vm_snapshots": f"/vms/{middle.uuid}/snapshots/", "host": f"/hosts/{middle.host.name}/",
        "network": f"/networks/{net.uuid}/",
    }  # fmt: skip
    return user, urls


def _hosts(count: int, now: datetime) -> list[Any]:
    from portal.hosts.models import Host
    from portal.topology.models import HostSeen
    from portal.volumes.models import Pool
    from sdn.model.switch import BridgeSeen, InterfaceSeen, PortSeen, SwitchSeen, switch_to_json

    Host.objects.bulk_create(
        Host(name=f"hv{n}", libvirt_uri="x:", ovsdb="", ovs_rundir="", controller_target="", disks_dir="/", vcpus=64, ram_mib=262144,
             underlay_ip=f"10.9.{n >> 8}.{n & 255}", libvirt_seen_at=now + timedelta(hours=1)) for n in range(1, count + 1)
    )  # fmt: skip
    on = list(Host.objects.order_by("pk"))
    taps = tuple(PortSeen(f"tap{n}", (InterfaceSeen(f"tap{n}", "", n + 10, "up", driver="tun"),)) for n in range(50))
    tunnel = PortSeen("vxlan0", (InterfaceSeen("vxlan0", "vxlan", 1),))
    seen = switch_to_json(
        SwitchSeen("3.1.0", (BridgeSeen("br-int", "netdev", "secure", "connected", (tunnel, *taps)),))
    )
    HostSeen.objects.bulk_create((HostSeen(host=host, switch=seen) for host in on), batch_size=BATCH)
    Pool.objects.bulk_create(
        Pool(host=host, name="default", kind="dir", capacity_bytes=2**40, available_bytes=2**39, is_active=True, is_offered=True, seen_at=now)
        for host in on
    )  # fmt: skip
    return on


def _vms(team: Any, user: Any, on: list[Any], count: int) -> list[Any]:
    from portal.compute.models import VM, Flavor, Image, VMTag
    from portal.images.models import ImageImport

    image = Image.objects.create(slug="tiny", name="Tiny", disk_path="")
    own = Image.objects.bulk_create(Image(slug=f"own-{n}", name=f"Own {n}", disk_path="", team=team) for n in range(50))
    ImageImport.objects.bulk_create(
        ImageImport(team=team, created_by=user, slug=one.slug, name=one.name, image=one, size_bytes=8, received_bytes=8)
        for one in own
    )
    flavor = Flavor.objects.create(name="nano", vcpus=1, ram_mib=128, disk_gib=1)
    states = ("running", "running", "running", "stopped")
    rows = VM.objects.bulk_create(
        (VM(team=team, name=f"vm-{n}", image=image, flavor=flavor, host=on[n % len(on)], vcpus=1, ram_mib=128, disk_gib=1,
            state=states[n % 4], request_key=str(n), created_by=user) for n in range(count)), batch_size=BATCH,
    )  # fmt: skip
    VMTag.objects.bulk_create((VMTag(vm=vm, name="prod" if n % 3 else "test") for n, vm in enumerate(rows)), batch_size=BATCH)  # fmt: skip
    return rows


def _ports(team: Any, vms: list[Any], now: datetime) -> tuple[Any, list[Any]]:
    from portal.networks.models import FixedAddress, Network, Port, Subnet, format_key

    net = Network.objects.create(team=team, name="net", vni=9000)
    Network.objects.bulk_create(Network(team=team, name=f"net-{n}", vni=9001 + n) for n in range(max(1, len(vms) // 100)))  # fmt: skip
    subnet = Subnet.objects.create(network=net, cidr="10.0.0.0/12", gateway="10.0.0.1", pool_start="10.0.0.2", pool_end="10.15.255.9")  # fmt: skip
    of = ((n, vm, at) for n, vm in enumerate(vms) for at in range(PORTS_PER_VM))
    ports = Port.objects.bulk_create(
        (Port(network=net, vm=vm, name=f"{vm.name}-{at}", host=vm.host, mac=_mac(n * PORTS_PER_VM + at), wired_at=now)
         for n, vm, at in of), batch_size=BATCH,
    )  # fmt: skip
    FixedAddress.objects.bulk_create(
        (FixedAddress(port=port, subnet=subnet, address=_address(n + 2), key=format_key(n)) for n, port in enumerate(ports)),
        batch_size=BATCH,
    )  # fmt: skip
    return net, ports


def _mac(number: int) -> str:
    return f"52:54:00:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"


def _address(number: int) -> str:
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def _around(team: Any, user: Any, vms: list[Any], ports: list[Any], on: list[Any], now: datetime) -> None:
    """A volume and a snapshot for every fifth VM, floating addresses, traces, open and ended alerts."""
    from portal.alerts.models import Alert
    from portal.networks.models import FixedAddress
    from portal.networks.router_models import ExternalAddress, ExternalNetwork, FloatingAddress
    from portal.snapshots.models import Snapshot
    from portal.traces.models import TraceRequest
    from portal.volumes.models import Pool, Volume

    pools, fifth = {pool.host_id: pool for pool in Pool.objects.all()}, vms[::5]
    Volume.objects.bulk_create(
        (Volume(team=team, name=f"data-{vm.name}", pool=pools[vm.host_id], size_gib=1, state="there", vm=vm, target="vdd") for vm in fifth),
        batch_size=BATCH,
    )  # fmt: skip
    Snapshot.objects.bulk_create(
        (Snapshot(vm=vm, name="before", is_current=True, state="there", disk_gib=1, created_by=user) for vm in fifth),
        batch_size=BATCH,
    )
    outside = ExternalNetwork.objects.create(name="internet", cidr="198.18.0.0/15", pool_start="198.18.0.2", pool_end="198.19.255.254")  # fmt: skip
    taken = ExternalAddress.objects.bulk_create(ExternalAddress(network=outside, address=f"198.18.{n >> 8}.{n & 255}") for n in range(2, 2 + len(fifth)))  # fmt: skip
    first = {row.port_id: row for row in FixedAddress.objects.filter(port__in=[port.pk for port in ports[:: 5 * PORTS_PER_VM]])}  # fmt: skip
    FloatingAddress.objects.bulk_create(
        FloatingAddress(team=team, address=address, fixed=fixed) for address, fixed in zip(taken, first.values(), strict=True)
    )  # fmt: skip
    TraceRequest.objects.bulk_create(
        TraceRequest(team=team, created_by=user, source=port, address="10.0.0.9", state="done") for port in ports[: len(vms) // 5]
    )  # fmt: skip
    Alert.objects.bulk_create(
        (Alert(team=team, key=f"vm:{vm.uuid}:{ended}", words=f"{vm.name} does not answer", since=now, ended_at=now if ended else None)
         for vm in vms[::50] for ended in (False, True)), batch_size=BATCH,
    )  # fmt: skip


def _done(team: Any, user: Any, vms: list[Any], now: datetime) -> None:
    """What was done so far: an operation of six stages and two rows of audit for each VM."""
    from portal.accounts.models import AuditRow
    from portal.operations.models import Operation, OperationStage

    operations = Operation.objects.bulk_create(
        (Operation(team=team, kind="vm.create", object_type="vm", object_uuid=vm.uuid, object_name=vm.name, state="done",
                   created_by=user, started_at=now, finished_at=now) for vm in vms), batch_size=BATCH,
    )  # fmt: skip
    names = ("place", "network", "disk", "define", "start", "boot")
    OperationStage.objects.bulk_create(
        (OperationStage(operation=one, position=at, name=name, title=name, state="done", started_at=now, finished_at=now)
         for one in operations for at, name in enumerate(names)), batch_size=BATCH,
    )  # fmt: skip
    numbers = itertools.count(1)
    AuditRow.objects.bulk_create(
        (AuditRow(id=next(numbers), at=now, team_id=team.pk, actor="olga", action=action, object_type="vm", object_id=str(vm.uuid),
                  object_name=vm.name, after={"state": "running"}, hash="0" * 64) for vm in vms for action in ("vm.create", "vm.power")),
        batch_size=BATCH,
    )  # fmt: skip


def _measured(team: Any, vms: list[Any], on: list[Any], ports: list[Any], now: datetime) -> None:
    """Five minutes of history, the drops of each host, 26 days of use."""
    from portal.drops.models import DropCounter
    from portal.history.series import HOST, PORT, TEAM, TEAM_VMS, VM
    from portal.history.store import write_samples
    from portal.usage.models import UsageDay

    ids = {VM: vms, HOST: on, PORT: ports, TEAM: [team], TEAM_VMS: [team]}
    until = int(time.time())
    for at_s in range(until - SAMPLES * 10, until, 10):
        for kind, rows in ids.items():
            write_samples(kind, at_s, {row.pk: (float(at_s % 90),) * len(kind.fields) for row in rows})
    DropCounter.objects.bulk_create(
        (DropCounter(host=port.host, kind=1, row_id=port.pk, reason="no_rule", port=port, packets=9, bytes=900, last_at=now) for port in ports[::50]),
        batch_size=BATCH,
    )  # fmt: skip
    hours = {"max_vcpus": 24.0 * len(vms), "max_ram_mib": 3072.0 * len(vms)}
    UsageDay.objects.bulk_create(UsageDay(team=team, day=(now - timedelta(days=n)).date(), hours=hours) for n in range(26))  # fmt: skip
