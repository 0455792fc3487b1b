"""What the portal's tests share: clients by person, a VM, a trace, a host."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from django.test import Client
from django.utils import timezone

from portal.alerts.models import Alert, Channel
from portal.alerts.requests import ChannelSpec, add_channel
from portal.backups.manifest import manifest_of
from portal.backups.models import Backup, BackupStore
from portal.bundles.models import SupportBundle
from portal.captures.models import Capture
from portal.checks.models import FlowWhatIf
from portal.compute.models import VM, Image
from portal.compute.requests import VMSpec, create_vm
from portal.hosts.models import ForeignDomain, Host, Orphan, OrphanKind
from portal.images.models import ImageCopy, ImageImport
from portal.images.requests import ImageSpec, begin_import
from portal.networks.mirrors import MirrorSpec, set_mirror
from portal.networks.models import Mirror, Network
from portal.networks.network_requests import NetworkSpec, SubnetSpec
from portal.networks.provider_requests import ProviderSpec, create_provider
from portal.snapshots.models import Snapshot, SnapshotVolume
from portal.topology.flow_rows import FlowDelta, pack
from portal.topology.models import FlowRecord, HostSeen
from portal.traces.models import PortTrace, Probing, TraceRequest
from portal.volumes.models import Pool, Volume
from sdn.reconcile import wire_flow
from tests.cast import Cast


def client_of(user: object, **options: bool) -> Client:
    """A browser in which the person is logged in; nobody for None."""
    client = Client(**options)
    if user is not None:
        client.force_login(user)  # type: ignore[arg-type]
    return client


def form(**changed: str) -> dict[str, str]:
    """A create form that works."""
    base = {"name": "web-1", "image": "tiny", "flavor": "nano", "network": "payments-net", "request_key": "k1"}
    return base | changed


def made_vm(cast: Cast, name: str = "web-1") -> VM:
    """A VM of Payments that Alice asked for."""
    spec = VMSpec(name, cast.image, cast.flavor, cast.network, f"key-{name}")
    return create_vm(cast.payments, cast.alice, spec).vm


def made_host(name: str = "hv1", ram_mib: int = 8192) -> Host:
    """A host that was seen just now."""
    number = int(name.removeprefix("hv"))
    return Host.objects.create(
        name=name, libvirt_uri="fake:", ovsdb="", ovs_rundir="", controller_target="", disks_dir="/tmp",
        underlay_ip=f"192.0.2.{number}", vcpus=8, ram_mib=ram_mib, libvirt_seen_at=timezone.now(),
    )  # fmt: skip


def made_orphan(host: Host, name: str = "hs-11111111-1111-4111-8111-111111111111.qcow2", **columns: object) -> Orphan:
    """A disk on the host that no row explains, found long ago."""
    told = {"was": "disk of VM old of team Payments", "where": f"/tmp/{name}", "size_bytes": 5 * 2**20, **columns}
    return Orphan.objects.create(
        host=host, kind=OrphanKind.FILE, name=name, found_at=timezone.now() - timedelta(days=1), **told
    )


def made_foreign(host: Host, name: str = "legacy-db") -> ForeignDomain:
    """A domain that somebody else defined, with a disk and one NIC in br-int."""
    nic = {"mac": "52:54:00:aa:00:01", "model": "virtio", "plugged": "bridge br-int", "interface_id": str(uuid4())}
    disk = {
        "target": "vda",
        "source": "/srv/legacy.qcow2",
        "format": "qcow2",
        "bus": "virtio",
        "device": "disk",
        "size_bytes": 2**30,
    }
    facts = {"vcpus": 1, "ram_mib": 128, "machine": "pc", "disks": [disk], "nics": [nic]}
    return ForeignDomain.objects.create(
        host=host, name=name, uuid=uuid4(), state="running", facts=facts, digest="x", seen_at=timezone.now()
    )


def made_flow_record(host: Host) -> FlowRecord:
    """The history of the host's br-int: one flow, and since a minute nothing."""
    now = timezone.now()
    record = FlowRecord.objects.create(host=host, bridge="br-int", seen_at=now)
    packed = pack([FlowDelta(wire_flow(0, 1, b"", 0x77, b""))])
    record.checkpoints.create(at=now - timedelta(minutes=1), count=1, flows=packed)
    return record


def made_flow_what_if(cast: Cast, host: Host) -> FlowWhatIf:
    """A what-if about a flow of the host's br-ex that Olga asked; nothing came of it."""
    return FlowWhatIf.objects.create(
        host=host, bridge="br-ex", action="add", flow="table=0,udp actions=drop", created_by=cast.olga, state="done"
    )


def made_topology_record(host: Host) -> HostSeen:
    """The history of the host's topology: br-int, from which vnet7, that nobody of ours plugged, went 30 s ago."""
    now = timezone.now()
    bridge = {
        "name": "br-int",
        "datapath_type": "netdev",
        "fail_mode": "secure",
        "controller": "connected",
        "ports": [],
    }
    seen = HostSeen.objects.create(
        host=host, switch={"ovs_version": "3.1.0", "bridges": [bridge]}, known_from=now - timedelta(minutes=1),
        switch_seen_at=now,
    )  # fmt: skip
    seen.changes.create(
        at=now - timedelta(seconds=30), object="port br-int/vnet7", before={"kind": "tap", "ofport": 7},
        cause="not by Hopsight",
    )  # fmt: skip
    return seen


def made_alert(cast: Cast) -> Alert:
    """A trouble of Payments that lasts."""
    return Alert.objects.create(team=cast.payments, key="vm:x", words="VM web-1 crashed", since=timezone.now())


def made_channel(cast: Cast, name: str = "pager") -> Channel:
    """A webhook of Payments that leads nowhere."""
    return add_channel(cast.payments, cast.alice, ChannelSpec("webhook", name, "https://hooks.example.com/x"))


def made_trace(cast: Cast, **columns: object) -> TraceRequest:
    """A trace of Payments that waits for its answer."""
    return TraceRequest.objects.create(team=cast.payments, created_by=cast.alice, title="web-1 → db-1 icmp", **columns)


def made_capture(cast: Cast, trace: TraceRequest) -> Capture:
    """A capture of Payments that is over."""
    return Capture.objects.create(
        team=cast.payments, trace=trace, created_by=cast.alice, filter_words="icmp", max_packets=10, seconds=5,
        state=Capture.State.DONE, file=b"x",
    )  # fmt: skip


def made_probing(cast: Cast, trace: TraceRequest, state: str = Probing.State.DONE) -> Probing:
    """A probing of Payments, over unless said otherwise: one packet arrived, one did not."""
    row = Probing.objects.create(
        team=cast.payments, trace=trace, created_by=cast.alice, seconds=60, state=state, sent=2, arrived=1
    )
    row.samples.create(number=1, at=timezone.now(), latency_us=900.0, error_us=100.0)
    row.samples.create(number=2, at=timezone.now(), reason="A real packet was dropped in table 65.")
    return row


def made_bundle(cast: Cast) -> SupportBundle:
    """A support bundle that Olga uploaded, with one packet that waits for its answer; its files aside."""
    facts = {"bridges": [{"name": "br-int", "flows": 1, "ports": [{"name": "p9", "ofport": 9}]}], "guests": []}
    row = SupportBundle.objects.create(
        name="sos.tar.xz", created_by=cast.olga, expires_at=timezone.now() + timedelta(days=7), state="ready",
        host="node-1", facts=facts,
    )  # fmt: skip
    row.traces.create(bridge="br-int", flow="in_port=9,icmp", created_by=cast.olga)
    return row


def made_port_trace(cast: Cast, host: Host) -> PortTrace:
    """A packet of a port of the host that Olga asked about, and that waits for its answer."""
    return PortTrace.objects.create(host=host, bridge="br-int", flow="in_port=9,icmp", created_by=cast.olga)


def made_import(cast: Cast, name: str = "Mine", size_bytes: int = 8) -> ImageImport:
    """An upload of Payments that Alice began."""
    return begin_import(cast.payments, cast.alice, ImageSpec(name, size_bytes=size_bytes))[0]


def made_image(cast: Cast, name: str = "Ours") -> ImageImport:
    """An image of Payments, as its import left it; its file aside."""
    row = made_import(cast, name)
    row.image = Image.objects.create(slug=row.slug, name=row.name, team=cast.payments, disk_path="")
    row.received_bytes = row.size_bytes
    row.save()
    return row


def made_copy(cast: Cast) -> ImageCopy:
    """A copy of the tiny image on a host, which nobody needs; its file aside."""
    host = Host.objects.first() or made_host()
    row, _ = ImageCopy.objects.get_or_create(image=cast.image, host=host, path=f"/tmp/images/tiny-{host.pk}.qcow2")
    return row


def made_mirror(cast: Cast, vm: VM) -> Mirror:
    """What the VM's port sends and receives is copied to a VM ids-1, made for it."""
    receiver = made_vm(cast, "ids-1")
    return set_mirror(vm.ports.get(), MirrorSpec(receiver.ports.get()), cast.alice)


def made_volume(cast: Cast, name: str = "data", host: Host | None = None) -> Volume:
    """A volume of Payments, as its making left it, in the offered pool of a host."""
    host = host or Host.objects.first() or made_host()
    told = {"kind": "dir", "target": "/tmp/volumes", "is_active": True, "is_offered": True, "available_bytes": 2**40}
    pool, _ = Pool.objects.get_or_create(host=host, name="hopsight", defaults=told)
    return Volume.objects.create(
        team=cast.payments, name=name, pool=pool, path=f"/tmp/volumes/{name}", size_gib=2, state="available"
    )


STRAY = "hopsight/6b1f6c8e-1111-4222-8333-444455556666/0d9c2a7e-1111-4222-8333-444455556666"


def made_store(name: str = "shelf") -> BackupStore:
    """A store that takes backups, in a folder that is not there; the same row when it is asked for again."""
    strays = [{"folder": STRAY, "files": 2, "size_bytes": 2048}]
    return BackupStore.objects.get_or_create(name=name, defaults={"folder": f"/srv/{name}", "strays": strays})[0]


def made_backup(vm: VM, parent: Backup | None = None, has_checkpoint: bool = True) -> Backup:
    """A backup of the VM, as its taking left it; its files aside. With a parent it is what was written since."""
    row = Backup.objects.create(
        team=vm.team, vm=vm, vm_uuid=vm.uuid, vm_name=vm.name, store=made_store(), parent=parent, image=vm.image,
        kind="incremental" if parent else "full", reason="" if parent else "it is the first one", state="there",
        flavor=vm.flavor, disk_gib=vm.disk_gib, size_bytes=2**20, sha256="0" * 64, has_checkpoint=has_checkpoint,
        host=vm.host.name if vm.host else "",
    )  # fmt: skip
    row.manifest = manifest_of(row, vm)
    row.save()
    return row


def made_snapshot(vm: VM, name: str = "before") -> Snapshot:
    """A snapshot of the VM, as its taking left it: what the VM writes lies on it."""
    parent = vm.snapshots.filter(is_current=True).first()
    vm.snapshots.update(is_current=False)
    return Snapshot.objects.create(
        vm=vm,
        name=name,
        parent=parent,
        is_current=True,
        state="there",
        disk_name=f"hs-{vm.uuid}-{name}.qcow2",
        disk_gib=1,
    )


def made_volume_snapshot(volume: Volume, name: str = "before") -> SnapshotVolume:
    """A snapshot of the volume's own, as its taking left it: what is written to it lies on it."""
    parent = volume.moments.filter(is_current=True).first()
    volume.moments.update(is_current=False)
    volume.layer, frozen = f"hs-vol-{volume.uuid}-{name}.qcow2", volume.file_name
    volume.save(update_fields=["layer"])
    return SnapshotVolume.objects.create(
        volume=volume, name=name, parent=parent, is_current=True, file_name=frozen, size_gib=volume.size_gib
    )


def made_provider(cast: Cast, name: str = "office", vid: int = 200, cidr: str = "10.60.0.0/24", shared: bool = False) -> Network:  # fmt: skip
    """A provider network of Payments, by Olga; the same row when it is asked for again."""
    found = Network.objects.filter(vid=vid).first()
    teams = ("payments", "search") if shared else ("payments",)
    asked = NetworkSpec(name, SubnetSpec(cidr, pool_start="10.60.0.20"), kind="vlan", vid=vid)
    return found or create_provider(ProviderSpec(asked, teams), cast.olga)
