"""What is true of all rows and hosts once an operation has ended, however it ended."""

from __future__ import annotations

from django.utils import timezone

from portal.backups.models import Backup
from portal.compute.models import VM, VMState
from portal.hosts.models import Host
from portal.images.models import ImageImport
from portal.snapshots.models import Snapshot, SnapshotVolume
from portal.volumes.models import Volume
from tasks.collector import record_states
from tasks.hypervisor.driver import DomainState
from tasks.pools import look_at_pools
from tasks.reconcile.orphans import find_orphans

HALF_WAY = {
    VM: (VMState.CREATING, VMState.DELETING),
    Volume: ("creating", "deleting"),
    Snapshot: ("taking", "deleting"),
    SnapshotVolume: ("taking",),  # one whose merge was cut half-way can only be deleted again, and says so
}


def assert_settled(scene, may_have_orphans=False):
    """No orphan, no row that is stuck, and each VM is what its domain is: one that lost it says that it is not known."""
    now = timezone.now()
    for host in Host.objects.all():
        fake = scene.fakes[host.name]
        record_states(host, fake.states(), now)  # the collector's part
        look_at_pools(lambda host: scene.fakes[host.name])
        assert may_have_orphans or [(one.kind, one.name, one.was) for one in find_orphans(host, fake)] == []
    for model, states in HALF_WAY.items():
        assert list(model.objects.filter(state__in=states)) == []
    for vm in VM.objects.exclude(state=VMState.DELETED).select_related("host"):
        domain = scene.fakes[vm.host.name].state(vm.domain)
        assert vm.state == (VMState.UNKNOWN if domain is DomainState.ABSENT else domain.value), vm.state_reason
        assert set(vm.ports.values_list("host", flat=True)) <= {vm.host_id}
    for volume in Volume.objects.filter(vm__isnull=False, pool__isnull=False).select_related("vm__host", "pool__host"):
        assert volume.pool.host == volume.vm.host and (volume.pool.name, volume.file_name) in (
            scene.fakes[volume.pool.host.name].volumes
        )
    wanted = {f"{row.uuid}.qcow2" for row in ImageImport.objects.exclude(image=None)}
    files = {path.name for path in scene.folder.with_name("images").rglob("*") if path.is_file()}
    assert files == wanted and not ImageImport.objects.filter(image=None).exists()


def assert_store_settled(s3, bucket):
    """Each backup that is offered is whole; what is there else, a damaged one's row tells of; no upload is left."""
    rows = {f"attic/{one.key}": one for one in Backup.objects.all()}
    keys = [key for key in s3.keys(bucket) if "/hopsight/" in key]
    assert {key.rpartition("/")[0] for key in keys} <= {*rows}
    whole = [one for one in rows.values() if one.state == "there"]
    assert {f"attic/{key}" for one in whole for key in (one.disk_key, one.manifest_key)} <= {*keys}
    assert {one.state for one in rows.values()} <= {"there", "damaged"}
    assert s3.uploads(bucket) == []
