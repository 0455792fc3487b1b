"""Networks, subnets, ports and addresses: what teams ask for. The controller makes it true on the hosts."""

from __future__ import annotations

import uuid

from django.db import models

from portal.accounts.models import Team
from portal.hosts.models import Host


class Generation(models.Model):
    """One row: counts changes of the network intent, so that a stale compiler's work is told from a fresh one's."""

    value = models.PositiveBigIntegerField(default=0)


class Network(models.Model):
    """One VXLAN overlay network of a team."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="networks")
    name = models.CharField(max_length=40)
    vni = models.PositiveIntegerField(unique=True)
    zone = models.PositiveIntegerField(unique=True, help_text="conntrack zone, 1 … 65535")
    mtu = models.PositiveIntegerField(default=1450, help_text="bytes, told to guests")
    router_mac = models.CharField(max_length=17)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["team", "name"], name="network_name_per_team")]

    def __str__(self) -> str:
        return self.name


class Subnet(models.Model):
    """One IPv4 subnet. Addresses are given from pool_start to pool_end, both included."""

    network = models.ForeignKey(Network, on_delete=models.CASCADE, related_name="subnets")
    cidr = models.CharField(max_length=18)
    gateway = models.GenericIPAddressField(protocol="IPv4")
    pool_start = models.GenericIPAddressField(protocol="IPv4")
    pool_end = models.GenericIPAddressField(protocol="IPv4")
    dns = models.JSONField(default=list, help_text="list of IPv4 addresses")

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.cidr


class PortKind(models.TextChoices):
    VM = "vm", "VM"
    ACCESS = "access", "Access from the lab's machine"


class Port(models.Model):
    """One NIC's place on a network. `uuid` is the iface-id in OVS; the columns from `tap` on are observed."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    network = models.ForeignKey(Network, on_delete=models.PROTECT, related_name="ports")
    vm = models.ForeignKey("compute.VM", on_delete=models.CASCADE, null=True, blank=True, related_name="ports")
    host = models.ForeignKey(Host, on_delete=models.PROTECT, null=True, blank=True, related_name="ports")
    kind = models.CharField(max_length=10, choices=PortKind.choices, default=PortKind.VM)
    name = models.CharField(max_length=63)
    mac = models.CharField(max_length=17, unique=True)

    tap = models.CharField(max_length=15, default="", blank=True)
    ofport = models.PositiveIntegerField(null=True, blank=True)
    nic_model = models.CharField(max_length=20, default="virtio", blank=True)
    backend = models.CharField(max_length=20, default="qemu", blank=True)
    wired_generation = models.PositiveBigIntegerField(null=True, blank=True)
    wired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]


class FixedAddress(models.Model):
    """One address of a port. The unique constraint is what makes double allocation impossible."""

    port = models.ForeignKey(Port, on_delete=models.CASCADE, related_name="addresses")
    subnet = models.ForeignKey(Subnet, on_delete=models.PROTECT, related_name="addresses")
    address = models.GenericIPAddressField(protocol="IPv4")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["subnet", "address"], name="one_port_per_address")]
