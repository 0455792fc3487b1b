"""VMs and what they are made from. What is asked for is an operation; `state` is what the hosts told."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django.db import models
from django.db.models import Q, QuerySet
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from portal.accounts.models import Team, User
from portal.compute.foreign import ForeignNic, nic_from_json
from portal.compute.hardware import Hardware
from portal.compute.os_families import Family, family_of
from portal.hosts.models import Host


class Offered(models.Manager[Any]):
    """What people choose from: not the rows that stand for what an adopted VM was made of."""

    def get_queryset(self) -> models.QuerySet[Any]:
        return super().get_queryset().filter(is_hidden=False)


class Image(models.Model):
    """A disk image, or a kernel with an initramfs and an empty disk. Paths are on the image cache."""

    class Boot(models.TextChoices):
        DISK = "disk", _("from its disk")
        KERNEL = "kernel", _("kernel given by the host")

    slug = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=60)
    note = models.CharField(max_length=120, default="", blank=True)
    boot = models.CharField(max_length=10, choices=Boot.choices, default=Boot.DISK)
    disk_path = models.CharField(max_length=300)
    disk_format = models.CharField(max_length=10, default="qcow2")
    kernel_path = models.CharField(max_length=300, default="", blank=True)
    initrd_path = models.CharField(max_length=300, default="", blank=True)
    cmdline = models.CharField(max_length=300, default="", blank=True)
    login_user = models.CharField(max_length=32, default="root")
    min_ram_mib = models.PositiveIntegerField(default=64)
    min_disk_gib = models.PositiveIntegerField(default=1)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, null=True, blank=True, help_text="none: for every team")
    os_family = models.CharField(max_length=10, default="", blank=True, help_text="portal.compute.os_families")
    size_bytes = models.PositiveBigIntegerField(default=0, help_text="of its file; 0: not known")
    shared_with = models.ManyToManyField(
        Team, blank=True, related_name="+", help_text="teams that may boot it beside its own"
    )
    is_public = models.BooleanField(default=False, help_text="a team's image that every team may boot")
    created_at = models.DateTimeField(auto_now_add=True)
    is_hidden = models.BooleanField(default=False, help_text="stands for whatever an adopted VM was made of")

    objects = Offered()
    everything = models.Manager["Image"]()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.name

    @property
    def family(self) -> Family:
        """What kind of system is in it."""
        return family_of(self.os_family)

    @classmethod
    def for_team(cls, team: Team) -> QuerySet[Image]:
        """What the team may boot: everybody's, its own, and what others share with it."""
        shared = cls.shared_with.through.objects.filter(team=team).values("image_id")
        return cls.objects.filter(Q(team=None) | Q(team=team) | Q(is_public=True) | Q(pk__in=shared))


class Flavor(models.Model):
    """A size."""

    name = models.CharField(max_length=20, unique=True)
    vcpus = models.PositiveIntegerField()
    ram_mib = models.PositiveIntegerField()
    disk_gib = models.PositiveIntegerField()
    is_hidden = models.BooleanField(default=False, help_text="stands for whatever size an adopted VM has")

    objects = Offered()
    everything = models.Manager["Flavor"]()

    class Meta:
        ordering = ["ram_mib"]

    def __str__(self) -> str:
        return self.name


class KeyPair(models.Model):
    """The public half of a person's SSH key."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="keys")
    name = models.CharField(max_length=60)
    public_key = models.TextField()
    fingerprint = models.CharField(max_length=60)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["user", "name"], name="key_name_per_person")]

    def __str__(self) -> str:
        return self.name


class VMState(models.TextChoices):
    CREATING = "creating", _("Creating")
    RUNNING = "running", _("Running")
    STOPPED = "stopped", _("Stopped")
    PAUSED = "paused", _("Paused")
    CRASHED = "crashed", _("Crashed")
    DELETING = "deleting", _("Deleting")
    DELETED = "deleted", _("Deleted")  # kept until purge_at, and can be had back
    UNKNOWN = "unknown", _("Unknown")


def domain_name(own: uuid.UUID, adopted: Mapping[str, Any] | None) -> str:
    """The libvirt domain's name of a VM with this uuid, and this in `VM.adopted`."""
    return str(adopted["domain"]) if adopted else f"hs-{own}"


class VM(models.Model):
    """One virtual machine of a team. `uuid` is also the libvirt domain's uuid; `domain` is the domain's name."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="vms")
    name = models.CharField(max_length=63)
    image = models.ForeignKey(Image, on_delete=models.PROTECT)
    flavor = models.ForeignKey(Flavor, on_delete=models.PROTECT)
    key = models.ForeignKey(KeyPair, on_delete=models.SET_NULL, null=True, blank=True)
    public_key = models.TextField(default="", blank=True, help_text="the key as it was when the VM was made")
    user_data = models.TextField(default="", blank=True)
    host = models.ForeignKey(Host, on_delete=models.PROTECT, null=True, blank=True, related_name="vms")
    vcpus = models.PositiveIntegerField()
    ram_mib = models.PositiveIntegerField()
    disk_gib = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=VMState.choices, default=VMState.CREATING)
    state_reason = models.CharField(max_length=300, default="", blank=True)
    is_autostarted = models.BooleanField(default=False, help_text="starts again when its host starts")
    is_protected = models.BooleanField(default=False, help_text="cannot be deleted until this is taken off")
    request_key = models.CharField(max_length=64, help_text="made by the form: two posts of one form are one VM")
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True, help_text="libvirt reported it running")
    ssh_at = models.DateTimeField(null=True, blank=True, help_text="its SSH port first answered the controller")
    observed_at = models.DateTimeField(null=True, blank=True)
    live_vcpus = models.PositiveIntegerField(null=True, blank=True, help_text="what its running domain has")
    live_ram_mib = models.PositiveIntegerField(null=True, blank=True, help_text="what its running domain has")
    purge_at = models.DateTimeField(null=True, blank=True, help_text="a deleted VM is gone for good then")
    lease_until = models.DateTimeField(
        null=True, blank=True, help_text="it is shut down then, and after a grace deleted"
    )
    disk_name = models.CharField(
        max_length=100, default="", blank=True, help_text="the file of its disk; none: as its domain is called"
    )
    rescue_image = models.ForeignKey(
        Image,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="it boots from this, not from its disk",
    )

    adopted = models.JSONField(
        null=True,
        blank=True,
        help_text="of a domain that somebody else defined: its name, disks, and NICs that stayed theirs",
    )
    cpu_model = models.CharField(max_length=40, default="", blank=True)
    machine = models.CharField(max_length=10, default="q35")
    disk_bus = models.CharField(max_length=10, default="virtio")
    disk_cache = models.CharField(max_length=12, default="writeback")
    next_disk_bus = models.CharField(
        max_length=10, default="", blank=True, help_text="its disk's from its next start on"
    )
    next_nic_model = models.CharField(
        max_length=10, default="", blank=True, help_text="its NICs' from its next start on"
    )
    wanted_host = models.ForeignKey(Host, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    apart = models.CharField(
        max_length=40, default="", blank=True, help_text="VMs of the team with the same word lie on different hosts"
    )
    apart_must = models.BooleanField(default=False, help_text="rather not at all than on the same host")

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["team", "name"], name="vm_name_per_team"),
            models.UniqueConstraint(fields=["team", "request_key"], name="one_vm_per_form"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def foreign_nics(self) -> tuple[ForeignNic, ...]:
        """Of an adopted one: its NICs that are no ports."""
        return tuple(nic_from_json(nic) for nic in (self.adopted or {}).get("foreign_nics", ()))

    @property
    def domain(self) -> str:
        """The libvirt domain's name: unique on a host whatever teams call their VMs. An adopted one keeps its own."""
        return domain_name(self.uuid, self.adopted)

    @property
    def is_keyless(self) -> bool:
        """Was it made without anything that lets somebody log in? What an adopted one has, nobody told us."""
        return not (self.public_key or self.user_data or self.adopted)

    @property
    def why_not_changed(self) -> str:
        """Why its definition and disks are not changed from here; nothing for a VM of our own making."""
        return (
            gettext("it was adopted: its definition and disks are as somebody else made them, and stay so")
            if self.adopted
            else ""
        )

    @property
    def hardware(self) -> Hardware:
        """What its machine is made of, its NICs aside: those are its ports'."""
        return Hardware(self.cpu_model, self.machine, self.disk_bus, self.disk_cache)

    @property
    def pending(self) -> str:
        """What was changed and takes effect at the next start, in words; nothing when the guest has it all."""
        if self.state not in (VMState.RUNNING, VMState.PAUSED):
            return ""
        return " ".join(filter(None, (self._pending_size, self._pending_devices)))

    @property
    def _pending_devices(self) -> str:
        changed = (
            [gettext("its disk is on %(next_disk_bus)s") % {"next_disk_bus": self.next_disk_bus}]
            if self.next_disk_bus
            else []
        )
        changed += (
            [gettext("its NICs are %(next_nic_model)s") % {"next_nic_model": self.next_nic_model}]
            if self.next_nic_model
            else []
        )
        if not changed:
            return ""
        return gettext(
            "Shut it down and start it: from its next start on %(changed)s; a restart from inside is not enough."
        ) % {"changed": " and ".join(changed)}

    @property
    def _pending_size(self) -> str:
        runs, wanted = (self.live_vcpus, self.live_ram_mib), (self.vcpus, self.ram_mib)
        if runs == wanted or self.live_vcpus is None:
            return ""
        return gettext(
            "It runs with %(runs)s vCPU and %(runs_2)s MiB; from its next start on it has %(wanted)s vCPU and %(wanted_2)s MiB."
        ) % {"runs": runs[0], "runs_2": runs[1], "wanted": wanted[0], "wanted_2": wanted[1]}


class VMTag(models.Model):
    """A word that a team sorts its VMs by."""

    vm = models.ForeignKey(VM, on_delete=models.CASCADE, related_name="tags")
    name = models.CharField(max_length=30, db_index=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["vm", "name"], name="tag_once_per_vm")]

    def __str__(self) -> str:
        return self.name


class Snippet(models.Model):
    """User-data that a team keeps, to be taken for new VMs."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="snippets")
    name = models.CharField(max_length=60)
    text = models.TextField()
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["team", "name"], name="snippet_name_per_team")]

    def __str__(self) -> str:
        return self.name


class SavedFilter(models.Model):
    """A person's own view of a team's list: the query of its URL."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=40)
    query = models.CharField(max_length=600)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["user", "team", "name"], name="filter_name_per_person")]

    def __str__(self) -> str:
        return self.name
