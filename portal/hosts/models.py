"""Hosts: hypervisors with libvirt and Open vSwitch. Columns up to `enabled` are asked for, the rest is observed."""

from __future__ import annotations

import uuid

from django.db import models


class Accelerator(models.TextChoices):
    UNKNOWN = "", "not probed"
    KVM = "kvm", "KVM"
    TCG = "tcg", "TCG (emulated)"


class Plug(models.TextChoices):
    DIRECT = "direct", "br-int itself"
    BRIDGE = "bridge", "a Linux bridge"


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
    def limits_words(self) -> str:
        """What is to be told of rate limits on it; nothing where they are in force, or not known yet."""
        return "rate limits are not enforced: its datapath has no meters" if self.has_meters is False else ""
