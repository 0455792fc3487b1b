"""Backups of VMs: what lies in which store, what an incremental one lies on, and the plan that takes them."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from portal.accounts.models import Team, User
from portal.compute.models import VM, Flavor, Image
from portal.compute.plans import Plan

FOLDER = "hopsight"  # what all keys of ours in a store begin with


class BackupStore(models.Model):
    """Where backups are kept, away from the hosts. Operators set it up.

    A folder that the worker has mounted, or a bucket of an S3-compatible store, whose secret is kept sealed.
    """

    class Kind(models.TextChoices):
        DIRECTORY = "directory", _("Directory")
        S3 = "s3", "S3"

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=40, unique=True)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.DIRECTORY)
    folder = models.CharField(max_length=300, default="", blank=True)
    endpoint = models.CharField(max_length=200, default="", blank=True)
    bucket = models.CharField(max_length=63, default="", blank=True)
    prefix = models.CharField(max_length=200, default="", blank=True, help_text="what all keys begin with")
    region = models.CharField(max_length=40, default="", blank=True)
    access_key = models.CharField(max_length=128, default="", blank=True)
    sealed_secret = models.TextField(default="", blank=True)
    is_enabled = models.BooleanField(default=True, help_text="new backups may go there; what is there stays there")
    is_marked = models.BooleanField(default=False, help_text="our mark lies in it: one without it is not this store")
    problem = models.CharField(max_length=300, default="", blank=True, help_text="why it could not be used, last time")
    free_bytes = models.BigIntegerField(null=True, blank=True)
    seen_at = models.DateTimeField(null=True, blank=True)
    try_asked_at = models.DateTimeField(null=True, blank=True, help_text="somebody waits for a try since")
    tried = models.JSONField(default=dict, blank=True, help_text="what the last try found, step by step")
    strays = models.JSONField(default=list, blank=True, help_text="folders of ours in it that no backup explains")
    listed_at = models.DateTimeField(null=True, blank=True, help_text="when it was looked through for them")

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def place(self) -> str:
        """Where it is, for people who may know."""
        if self.kind == self.Kind.DIRECTORY:
            return self.folder
        return "/".join(part for part in (self.endpoint, self.bucket, self.prefix) if part)


class Backup(models.Model):
    """A VM's disk, with volumes of its, as they were at one moment. It outlives the VM: `manifest` says all that a new VM needs.

    A full one stands alone; an incremental one has what was written since its `parent`, without which it is nothing.
    """

    class Kind(models.TextChoices):
        FULL = "full", _("Full")
        INCREMENTAL = "incremental", _("Incremental")

    class State(models.TextChoices):
        TAKING = "taking", _("Being taken")
        THERE = "there", _("There")
        DELETING = "deleting", _("Deleting")
        DAMAGED = "damaged", _("Damaged")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="backups")
    vm = models.ForeignKey(VM, on_delete=models.SET_NULL, null=True, blank=True, related_name="backups")
    vm_uuid = models.UUIDField()
    vm_name = models.CharField(max_length=63)
    store = models.ForeignKey(BackupStore, on_delete=models.PROTECT, related_name="backups")
    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="children")
    kind = models.CharField(max_length=12, choices=Kind.choices, default=Kind.FULL)
    reason = models.CharField(max_length=200, default="", blank=True, help_text="why a full one was taken")
    state = models.CharField(max_length=10, choices=State.choices, default=State.TAKING)
    problem = models.CharField(max_length=300, default="", blank=True, help_text="what a restore found wrong with it")
    has_checkpoint = models.BooleanField(
        default=False, help_text="the host notes what is written since: the next one may be incremental"
    )
    host = models.CharField(max_length=100, default="", blank=True, help_text="where that checkpoint is")
    image = models.ForeignKey(Image, on_delete=models.PROTECT, related_name="+")
    flavor = models.ForeignKey(Flavor, on_delete=models.PROTECT, related_name="+")
    disk_gib = models.PositiveIntegerField(help_text="what a VM restored from it has, and its team's quota gives")
    size_bytes = models.BigIntegerField(default=0, help_text="what its own disk takes in the store")
    sha256 = models.CharField(max_length=64, default="", blank=True)
    manifest = models.JSONField(default=dict)
    is_scheduled = models.BooleanField(default=False)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["team", "vm_uuid"], name="backup_by_vm")]

    def __str__(self) -> str:
        return f"{self.vm_name} {self.created_at:%Y-%m-%d %H:%M:%S}"

    @property
    def checkpoint(self) -> str:
        """What libvirt calls the moment; the bitmap in the disk has the same name."""
        return f"hs-{self.uuid.hex}"

    @property
    def key(self) -> str:
        """Its folder in the store: made of uuids, so that no name of a person's is a path."""
        return f"{FOLDER}/{self.vm_uuid}/{self.uuid}"

    @property
    def disk_key(self) -> str:
        """Its disk in the store."""
        return f"{self.key}/disk.qcow2"

    @property
    def manifest_key(self) -> str:
        """Its description in the store, from which it could be restored without our database."""
        return f"{self.key}/manifest.json"

    @property
    def scratch_name(self) -> str:
        """The file beside the VM's disk that the host writes it to, on its way to the store."""
        return f"hs-{self.vm_uuid}-{self.uuid.hex[:12]}.backup"

    @property
    def total_bytes(self) -> int:
        """What it takes in the store with its volumes."""
        return self.size_bytes + sum(one.size_bytes for one in self.volumes.all())


class BackupVolume(models.Model):
    """A volume in a backup, as it was at the same moment. It outlives the volume; a restore makes a new one of it.

    An incremental one lies on the same volume's in the backup's parent. A volume that came later, or whose pool notes no
    writes (raw), is full in an incremental backup.
    """

    backup = models.ForeignKey(Backup, on_delete=models.CASCADE, related_name="volumes")
    volume_uuid = models.UUIDField()
    name = models.CharField(max_length=63)
    size_gib = models.PositiveIntegerField()
    bus = models.CharField(max_length=6)
    target = models.CharField(max_length=4)
    disk_format = models.CharField(max_length=5, help_text="of the volume that it was taken of")
    kind = models.CharField(max_length=12, choices=Backup.Kind.choices, default=Backup.Kind.FULL)
    size_bytes = models.BigIntegerField(default=0, help_text="what it takes in the store")
    sha256 = models.CharField(max_length=64, default="", blank=True)

    class Meta:
        ordering = ["target"]
        constraints = [models.UniqueConstraint(fields=["backup", "volume_uuid"], name="volume_once_in_backup")]

    def __str__(self) -> str:
        return self.name

    @property
    def is_noted(self) -> bool:
        """Whether the next one may hold only what is written since: a raw disk has no place for a bitmap."""
        return self.disk_format == "qcow2"

    @property
    def disk_key(self) -> str:
        """Its file in the store."""
        return f"{self.backup.key}/volume-{self.volume_uuid}.qcow2"

    @property
    def scratch_name(self) -> str:
        """The file beside the VM's disk that the host writes it to, on its way to the store."""
        return f"hs-{self.backup.vm_uuid}-{self.backup.uuid.hex[:12]}-{self.volume_uuid.hex[:12]}.backup"


class BackupPlan(Plan):
    """A backup every so often: a full one after so many incremental ones; the last so many full ones are kept with theirs."""

    vm = models.OneToOneField(VM, on_delete=models.CASCADE, related_name="backup_plan")
    store = models.ForeignKey(BackupStore, on_delete=models.CASCADE, related_name="+")
    full_every = models.PositiveIntegerField(help_text="every so many-th is a full one")
    keep = models.PositiveIntegerField(help_text="full ones, with what lies on them")
    is_with_volumes = models.BooleanField(default=True, help_text="with all volumes that the VM then has")

    def __str__(self) -> str:
        return f"every {self.every_hours} h, a full one every {self.full_every}, the last {self.keep} kept"
