"""Snapshots of VMs: the files of a disk's backing chain that nobody writes to any more."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from portal.accounts.models import User
from portal.compute.models import VM
from portal.compute.plans import Plan
from portal.volumes.models import Volume


class Snapshot(models.Model):
    """A VM's disk at one moment, volumes of it, and its memory if it ran. `disk_name` is the file that froze then; others lie on it."""

    class State(models.TextChoices):
        TAKING = "taking", _("Being taken")
        THERE = "there", _("There")
        DELETING = "deleting", _("Deleting")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    vm = models.ForeignKey(VM, on_delete=models.CASCADE, related_name="snapshots")
    name = models.CharField(max_length=63)
    parent = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="children")
    is_current = models.BooleanField(default=False, help_text="the disk that the VM writes to lies on this one")
    state = models.CharField(max_length=10, choices=State.choices, default=State.TAKING)
    disk_name = models.CharField(max_length=100, default="", blank=True)
    has_memory = models.BooleanField(default=False)
    disk_gib = models.PositiveIntegerField(help_text="what it may hold, and counts in the quota")
    is_scheduled = models.BooleanField(default=False)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["vm", "name"], name="snapshot_name_per_vm")]

    def __str__(self) -> str:
        return self.name

    @property
    def memory_name(self) -> str:
        """The file of its memory, whether there is one or not."""
        return f"hs-{self.vm.uuid}-{self.uuid.hex[:12]}.mem"

    @property
    def next_disk_name(self) -> str:
        """The file that the VM writes to once this snapshot is taken."""
        return f"hs-{self.vm.uuid}-{self.uuid.hex[:12]}.qcow2"


class SnapshotVolume(models.Model):
    """A moment of a volume: the file of its that froze then. It froze with a `snapshot` of its VM, or stands alone, with a name
    and a state of its own. What lies on it is told by volume, for a volume that a snapshot leaves out has fewer layers than the
    VM's own disk, and one that was frozen alone has more."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    snapshot = models.ForeignKey(Snapshot, on_delete=models.CASCADE, null=True, blank=True, related_name="volumes")
    volume = models.ForeignKey(Volume, on_delete=models.CASCADE, related_name="moments")
    name = models.CharField(max_length=63, default="", blank=True, help_text="of one that stands alone")
    state = models.CharField(max_length=10, choices=Snapshot.State.choices, default=Snapshot.State.THERE)
    parent = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="children")
    is_current = models.BooleanField(default=False, help_text="what is written to the volume lies on this one")
    file_name = models.CharField(max_length=100, default="", blank=True)
    size_gib = models.PositiveIntegerField(help_text="what it may hold, and counts in the quota")
    is_scheduled = models.BooleanField(default=False, help_text="of one that stands alone: its volume's plan took it")
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["volume__name"]
        constraints = [
            models.UniqueConstraint(fields=["snapshot", "volume"], name="volume_once_in_snapshot"),
            models.UniqueConstraint(
                fields=["volume", "name"], condition=models.Q(snapshot=None), name="snapshot_name_per_volume"
            ),
            models.CheckConstraint(condition=models.Q(snapshot=None) ^ models.Q(name=""), name="moment_has_one_name"),
        ]

    def __str__(self) -> str:
        return f"{self.volume.name} in {self.title}"

    @property
    def title(self) -> str:
        """What people call it."""
        return self.snapshot.name if self.snapshot else self.name

    @property
    def frozen_at(self) -> datetime:
        """When it was asked for."""
        return self.snapshot.created_at if self.snapshot else self.created_at

    @property
    def next_file_name(self) -> str:
        """The file that is written once it is taken."""
        return self.volume.layer_of(self.snapshot.uuid if self.snapshot else self.uuid)


class SnapshotPlan(Plan):
    """A snapshot of a VM, or of a volume alone, every so often, of which the last so many are kept."""

    vm = models.OneToOneField(VM, on_delete=models.CASCADE, null=True, blank=True, related_name="snapshot_plan")
    volume = models.OneToOneField(Volume, on_delete=models.CASCADE, null=True, blank=True, related_name="snapshot_plan")
    keep = models.PositiveIntegerField()
    is_with_volumes = models.BooleanField(default=True, help_text="with all volumes that can be in a snapshot")

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(vm=None) ^ models.Q(volume=None), name="plan_is_of_one_thing")
        ]

    def __str__(self) -> str:
        return f"every {self.every_hours} h, the last {self.keep}"
