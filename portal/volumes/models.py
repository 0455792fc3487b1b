"""Storage pools as the hosts' libvirt tells of them, and the volumes that teams keep in them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from uuid import UUID

from django.db import models
from django.utils.translation import gettext_lazy as _

from portal.accounts.models import Team, User
from portal.compute.models import VM
from portal.hosts.models import Host
from portal.volumes.reach import Lun, Reach, lun_from_json, lun_name, reach_from_json

OWN_POOL = "hopsight"  # the folder beside a host's disks, which Hopsight makes into a pool by itself


@dataclass(frozen=True, slots=True)
class PoolKind:
    """What a libvirt pool type can do for volumes. `refusal` says why it cannot be offered to teams."""

    name: str
    words: str
    disk_format: str
    source: str = (
        "file"  # how a disk names its volume: "file", "block", or the protocol by which QEMU itself goes there
    )
    has_luns: bool = False  # its volumes are there before us: one is taken whole, and given back cleared
    is_poured: bool = True  # a volume's bytes can be brought here, or fetched, by a stream of libvirt's
    no_growing: str = ""
    refusal: str = ""

    @property
    def limits(self) -> tuple[str, ...]:
        """What a volume there can never do, and why."""
        raw = "" if self.disk_format == "qcow2" else NO_LAYERS
        return tuple(filter(None, (self.no_growing, raw, "" if self.is_poured else NO_POURING)))


NO_LAYERS = "it is raw, so snapshots leave it out"
NO_POURING = "libvirt cannot copy it to another host: its VM moves only to hosts that have the same storage"
LUN_SIZE = "a LUN has the size that its target gave it: clone it into a larger one"


KINDS: dict[str, PoolKind] = {
    kind.name: kind
    for kind in (
        PoolKind("dir", "folder", "qcow2"),
        PoolKind("fs", "file system", "qcow2"),
        PoolKind("netfs", "NFS", "qcow2"),
        PoolKind(
            "logical", "LVM", "raw", "block",
            no_growing="libvirt cannot grow a volume of LVM: make a larger one, or clone it into one",
        ),
        PoolKind("iscsi", "iSCSI", "raw", "block", has_luns=True, is_poured=False, no_growing=LUN_SIZE),
        PoolKind("iscsi-direct", "iSCSI (QEMU)", "raw", "iscsi", has_luns=True, is_poured=False, no_growing=LUN_SIZE),
        PoolKind("rbd", "Ceph RBD", "raw", "rbd", is_poured=False),
    )
}  # fmt: skip


class Pool(models.Model):
    """One storage pool of a host. Only `is_offered` is asked for (by an operator), the rest is observed."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="pools")
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=20, help_text="libvirt's pool type")
    target = models.CharField(max_length=300, default="", blank=True)
    source = models.CharField(
        max_length=300, default="", blank=True, help_text="where on the network: pools of one source are one storage"
    )
    reach = models.JSONField(default=dict, blank=True, help_text="how QEMU gets there by itself, no secret among it")
    luns = models.JSONField(
        default=list, blank=True, help_text="of a pool that has LUNs: each with its size and its user"
    )
    capacity_bytes = models.PositiveBigIntegerField(default=0)
    available_bytes = models.PositiveBigIntegerField(default=0)
    is_active = models.BooleanField(default=False)
    is_offered = models.BooleanField(default=False, help_text="teams' volumes may lie there")
    seen_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["host__name", "name"]
        constraints = [models.UniqueConstraint(fields=["host", "name"], name="pool_name_per_host")]

    def __str__(self) -> str:
        return f"{self.host.name}/{self.name}"

    @property
    def can(self) -> PoolKind:
        """What its type can do."""
        unknown = PoolKind(
            self.kind, self.kind, "raw", refusal=f"volumes in a pool of type {self.kind} are not known here"
        )
        return KINDS.get(self.kind, unknown)

    @property
    def seen_luns(self) -> tuple[Lun, ...]:
        """Its LUNs at the last look, small ones first."""
        return tuple(lun_from_json(one) for one in self.luns)

    @property
    def way(self) -> Reach | None:
        """How QEMU gets there; None for a pool that its host mounts, or has as devices."""
        return reach_from_json(self.reach)


class Bus(models.TextChoices):
    VIRTIO = "virtio", "virtio-blk"
    SCSI = "scsi", "virtio-scsi"
    SATA = "sata", _("SATA, emulated")


class VolumeState(models.TextChoices):
    CREATING = "creating", _("Creating")
    AVAILABLE = "available", _("Available")
    ATTACHED = "attached", _("Attached")
    DELETING = "deleting", _("Deleting")


class Volume(models.Model):
    """A disk of a team that outlives VMs. `vm` is set from the moment it is asked for: what is attached cannot be twice."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="volumes")
    name = models.CharField(max_length=63)
    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, null=True, blank=True, related_name="volumes")
    path = models.CharField(max_length=300, default="", blank=True, help_text="on its host, as libvirt told")
    layer = models.CharField(
        max_length=100, default="", blank=True, help_text="the file that is written, if snapshots gave it one"
    )
    lun = models.CharField(
        max_length=300, default="", blank=True, help_text="the target’s name and the number of the LUN that it is"
    )
    size_gib = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=VolumeState.choices, default=VolumeState.CREATING)
    vm = models.ForeignKey(VM, on_delete=models.PROTECT, null=True, blank=True, related_name="volumes")
    bus = models.CharField(max_length=6, choices=Bus.choices, default=Bus.VIRTIO)
    target = models.CharField(max_length=4, default="", blank=True, help_text="its place in the domain: vdd, sda")
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["team", "name"], name="volume_name_per_team"),
            models.UniqueConstraint(
                fields=["vm", "target"], condition=models.Q(vm__isnull=False), name="volume_target_per_vm"
            ),
            models.UniqueConstraint(fields=["lun"], condition=~models.Q(lun=""), name="volume_per_lun"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def file_name(self) -> str:
        """The name in its pool of what is written: made of its uuid, never of what people call it."""
        return self.layer or self.first_name

    @property
    def first_name(self) -> str:
        """As `file_name` of a volume that is in no snapshot; those that are have it at the bottom of their layers. A LUN has
        the name that libvirt gives it."""
        if self.lun:
            return lun_name(self.lun)
        ending = ".qcow2" if self.pool is not None and self.pool.can.disk_format == "qcow2" else ""
        return f"hs-vol-{self.uuid}{ending}"

    def layer_of(self, moment: UUID) -> str:
        """The name of the layer that this snapshot, or revert, begins."""
        return f"hs-vol-{self.uuid}-{moment.hex[:12]}.qcow2"

    @property
    def serial(self) -> str:
        """What the guest reads from the device: `/dev/disk/by-id/virtio-<serial>` (virtio-blk keeps 20 characters)."""
        return self.uuid.hex[:20]
