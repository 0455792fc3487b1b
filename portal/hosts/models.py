"""Hosts: hypervisors with libvirt and Open vSwitch. Columns up to `enabled` are asked for, the rest is observed."""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import override


class Accelerator(models.TextChoices):
    UNKNOWN = "", _("not probed")
    KVM = "kvm", "KVM"
    TCG = "tcg", _("TCG (emulated)")


class Plug(models.TextChoices):
    DIRECT = "direct", _("br-int itself")
    BRIDGE = "bridge", _("a Linux bridge")


class Host(models.Model):
    """One hypervisor and the ways to reach its three daemons."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.SlugField(max_length=40, unique=True)
    libvirt_uri = models.CharField(max_length=300)
    ovsdb = models.CharField(max_length=300, help_text="unix:/…/db.sock or ssl:address:port")
    ovs_rundir = models.CharField(max_length=300, help_text="folder of ovs-vswitchd's control socket")
    controller_target = models.CharField(max_length=300, help_text="where br-int finds the controller")
    datapath_type = models.CharField(max_length=10, default="system", help_text='"system" or "netdev"')
    disks_dir = models.CharField(max_length=300, help_text="folder for disks and seeds, same path on host and worker")
    underlay_ip = models.GenericIPAddressField(unique=True)
    underlay_mtu = models.PositiveIntegerField(default=1500)
    plug = models.CharField(
        max_length=6, choices=Plug.choices, default=Plug.DIRECT, help_text="what a guest's tap is put into"
    )
    enabled = models.BooleanField(default=True, help_text="takes new VMs")
    in_maintenance = models.BooleanField(default=False, help_text="takes no VMs at all, and its own are to leave")
    maintenance_note = models.CharField(max_length=120, default="", blank=True)

    vcpus = models.PositiveIntegerField(default=0)
    ram_mib = models.PositiveIntegerField(default=0)
    accelerator = models.CharField(max_length=5, choices=Accelerator.choices, default="", blank=True)
    accelerator_reason = models.CharField(max_length=200, default="", blank=True)
    capabilities = models.JSONField(
        default=dict, blank=True, help_text="what its libvirt offers guests: tasks.hypervisor.capabilities"
    )
    libvirt_version = models.CharField(max_length=40, default="", blank=True)
    ovs_version = models.CharField(max_length=40, default="", blank=True)
    dpid = models.CharField(max_length=16, default="", blank=True, help_text="datapath id of br-int, 16 hex digits")
    has_meters = models.BooleanField(
        null=True, blank=True, help_text="whether its datapath can hold ports to rate limits"
    )
    libvirt_seen_at = models.DateTimeField(null=True, blank=True)
    ovs_seen_at = models.DateTimeField(null=True, blank=True)
    libvirt_error = models.CharField(max_length=300, default="", blank=True)
    ovs_error = models.CharField(max_length=300, default="", blank=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def plug_english(self) -> str:
        """What guests are plugged into, as events and the API say it: they are for readers of every language."""
        with override("en"):
            return str(Plug(self.plug).label)

    @property
    def limits_words(self) -> str:
        """What is to be told of rate limits on it; nothing where they are in force, or not known yet."""
        return "rate limits are not enforced: its datapath has no meters" if self.has_meters is False else ""


class OrphanKind(models.TextChoices):
    DOMAIN = "domain", "Domain"
    FILE = "file", "File"
    VOLUME = "volume", "Volume"
    PORT = "port", "Port of br-int"


class Orphan(models.Model):
    """Something on a host that has our mark and that no row explains. Observed: the finder writes it, and takes it away when
    it is gone or explained (tasks/reconcile/orphans.py). `refusal` says why it is not to be cleaned from here."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="orphans")
    kind = models.CharField(max_length=6, choices=OrphanKind.choices)
    name = models.CharField(
        max_length=300, help_text="the domain, the file in the host's folder, pool/volume, the port"
    )
    where = models.CharField(max_length=400, default="", blank=True, help_text="its whole path, or its state")
    size_bytes = models.PositiveBigIntegerField(null=True, blank=True, help_text="on the disk")
    changed_at = models.DateTimeField(null=True, blank=True, help_text="when its content was changed last")
    was = models.CharField(max_length=300, default="", blank=True, help_text="what it was, as far as the books tell")
    refusal = models.CharField(max_length=300, default="", blank=True)
    found_at = models.DateTimeField()

    class Meta:
        ordering = ["host__name", "kind", "name"]
        constraints = [models.UniqueConstraint(fields=["host", "kind", "name"], name="one_orphan_per_name")]

    def __str__(self) -> str:
        return f"{self.get_kind_display().lower()} {self.name}"

    @property
    def why_not(self) -> str:
        """Why it cannot be cleaned now, or nothing."""
        young = self.found_at + timedelta(seconds=settings.ORPHAN_GRACE_S) - timezone.now()
        if self.refusal or young <= timedelta(0):
            return self.refusal
        return f"it was found a moment ago: it can be cleaned in {-(-int(young.total_seconds() + 1) // 60)} min"

    @property
    def command(self) -> str:
        """What shows it on the host."""
        pool, _, volume = self.name.partition("/")
        return {
            OrphanKind.DOMAIN: f"virsh dumpxml {self.name}",
            OrphanKind.FILE: f"qemu-img info -U {self.where}" if ".qcow2" in self.name else f"ls -l {self.where}",
            OrphanKind.VOLUME: f"virsh vol-dumpxml --pool {pool} {volume}",
            OrphanKind.PORT: f"ovs-vsctl list Interface {self.name}",
        }[OrphanKind(self.kind)]


class ForeignDomain(models.Model):
    """A domain of a host that is no VM of ours, as the worker read it last: what an operator may adopt. Observed; nothing here
    touches it. `facts` are portal.compute.foreign.Facts as JSON, `digest` is that of the definition that they were read of."""

    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="foreign_domains")
    name = models.CharField(max_length=200)
    uuid = models.UUIDField()
    state = models.CharField(max_length=10)
    facts = models.JSONField(default=dict)
    digest = models.CharField(max_length=64)
    seen_at = models.DateTimeField()

    class Meta:
        ordering = ["host__name", "name"]
        constraints = [models.UniqueConstraint(fields=["host", "name"], name="one_foreign_domain_per_name")]

    def __str__(self) -> str:
        return self.name
