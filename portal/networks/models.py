"""Networks, subnets, ports and addresses: what teams ask for. The controller makes it true on the hosts."""

from __future__ import annotations

import uuid
from ipaddress import ip_address
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from portal.accounts.models import Team
from portal.hosts.models import Host
from portal.networks.hint_models import AddressHint, HintSource
from portal.networks.router_models import (
    ExternalAddress,
    ExternalNetwork,
    FloatingAddress,
    Router,
    RouterPort,
    StaticRoute,
)
from sdn.model.mtu import PROVIDER_KINDS

__all__ = [
    "AddressHint",
    "ExternalAddress",
    "ExternalNetwork",
    "FixedAddress",
    "FloatingAddress",
    "Generation",
    "HintSource",
    "Mirror",
    "Network",
    "NetworkKind",
    "Port",
    "PortKind",
    "Router",
    "RouterPort",
    "StaticRoute",
    "Subnet",
]


class Generation(models.Model):
    """One row: counts changes of the network intent, so that a stale compiler's work is told from a fresh one's."""

    value = models.PositiveBigIntegerField(default=0)


class NetworkKind(models.TextChoices):
    """How a network is carried between hosts: `sdn.model.mtu.Encapsulation`."""

    VXLAN = "vxlan", _("VXLAN overlay")
    GENEVE = "geneve", _("Geneve overlay")
    VLAN = "vlan", "VLAN"
    FLAT = "flat", _("flat")


class Network(models.Model):
    """One network of a team: an overlay, or (made by operators) a provider network, which lies on `br-ex` of the hosts.

    A provider network may be shared with other teams. `vni` is a provider network's number inside the switches alone.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="networks")
    name = models.CharField(max_length=40)
    kind = models.CharField(max_length=6, choices=NetworkKind.choices, default=NetworkKind.VXLAN)
    vni = models.PositiveIntegerField(unique=True)
    vid = models.PositiveIntegerField(
        null=True, blank=True, unique=True, help_text="VLAN 1 … 4094 of a provider network"
    )
    shared_with = models.ManyToManyField(Team, related_name="shared_networks", blank=True)
    mtu = models.PositiveIntegerField(default=1450, help_text="bytes, told to guests")
    router_mac = models.CharField(max_length=17)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["team", "name"], name="network_name_per_team"),
            models.UniqueConstraint(fields=["kind"], condition=models.Q(kind="flat"), name="one_flat_network"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_provider(self) -> bool:
        """Does it lie on a segment of the hosts' wire, with its gateways outside?"""
        return self.kind in PROVIDER_KINDS

    @property
    def carried_by(self) -> str:
        """How it is carried, in words: "VXLAN, VNI 4097", "VLAN 200 on br-ex"."""
        if self.kind == NetworkKind.VLAN:
            return f"VLAN {self.vid} on br-ex"
        if self.kind == NetworkKind.FLAT:
            return "untagged on br-ex"
        return f"{'Geneve' if self.kind == NetworkKind.GENEVE else 'VXLAN'}, VNI {self.vni}"


class Subnet(models.Model):
    """One subnet, of either family. Addresses are given from pool_start to pool_end, both included, but the exclusions.

    In a SLAAC subnet (IPv6, a /64) a port's address is made of its MAC, and guests make the same by themselves; in any
    other IPv6 subnet they get it by DHCPv6.
    """

    network = models.ForeignKey(Network, on_delete=models.CASCADE, related_name="subnets")
    cidr = models.CharField(max_length=43)
    gateway = models.GenericIPAddressField()
    pool_start = models.GenericIPAddressField()
    pool_end = models.GenericIPAddressField()
    exclusions = models.JSONField(
        default=list, blank=True, help_text="list of [first, last], never given by themselves"
    )
    is_slaac = models.BooleanField(default=False)
    dns = models.JSONField(default=list, blank=True, help_text="list of addresses that the gateway asks")
    routes = models.JSONField(default=list, blank=True, help_text="list of [destination, next hop], told by DHCP")

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.cidr


class Direction(models.TextChoices):
    INGRESS = "ingress", _("in")
    EGRESS = "egress", _("out")


class Protocol(models.TextChoices):
    ANY = "any", _("any")
    TCP = "tcp", "tcp"
    UDP = "udp", "udp"
    ICMP = "icmp", "icmp"
    SCTP = "sctp", "sctp"


class SecurityGroup(models.Model):
    """A named set of rules of a team. A port may do what any rule of any of its groups allows, and nothing else."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="security_groups")
    name = models.CharField(max_length=40)
    description = models.CharField(max_length=200, default="", blank=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["team", "name"], name="security_group_name_per_team")]

    def __str__(self) -> str:
        return self.name


class SecurityRule(models.Model):
    """One rule. Numbers are a range of ports (tcp, udp, sctp) or an ICMP type and code; null is all of them.

    The other end is `cidr`, or the members of `remote_group`, or with neither anybody.
    """

    group = models.ForeignKey(SecurityGroup, on_delete=models.CASCADE, related_name="rules")
    direction = models.CharField(max_length=7, choices=Direction.choices)
    family = models.PositiveSmallIntegerField(choices=[(4, "IPv4"), (6, "IPv6")])
    protocol = models.CharField(max_length=4, choices=Protocol.choices)
    number_first = models.PositiveIntegerField(null=True, blank=True, help_text="first port, or ICMP type")
    number_last = models.PositiveIntegerField(null=True, blank=True, help_text="last port, or ICMP code")
    cidr = models.CharField(max_length=43, default="", blank=True)
    remote_group = models.ForeignKey(
        SecurityGroup, on_delete=models.RESTRICT, null=True, blank=True, related_name="referring_rules"
    )

    class Meta:
        ordering = ["direction", "id"]


class PortKind(models.TextChoices):
    VM = "vm", "VM"
    ACCESS = "access", _("Access from the lab's machine")
    RESERVED = "reserved", _("Reserved")


class NicModel(models.TextChoices):
    VIRTIO = "virtio", _("virtio (paravirtual)")
    E1000E = "e1000e", _("e1000e (emulated Intel 82574)")
    E1000 = "e1000", _("e1000 (emulated Intel 82540, for old guests)")
    RTL8139 = "rtl8139", _("rtl8139 (emulated Realtek, for very old guests)")
    VMXNET3 = "vmxnet3", _("vmxnet3 (emulated VMware's, for guests that come from there)")


class Port(models.Model):
    """One NIC's place on a network. `uuid` is the iface-id in OVS; the columns from `tap` on are observed."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    network = models.ForeignKey(Network, on_delete=models.PROTECT, related_name="ports")
    vm = models.ForeignKey("compute.VM", on_delete=models.CASCADE, null=True, blank=True, related_name="ports")
    host = models.ForeignKey(Host, on_delete=models.PROTECT, null=True, blank=True, related_name="ports")
    kind = models.CharField(max_length=10, choices=PortKind.choices, default=PortKind.VM)
    name = models.CharField(max_length=63)
    mac = models.CharField(max_length=17, unique=True)
    groups = models.ManyToManyField(SecurityGroup, related_name="ports", blank=True)
    is_secured = models.BooleanField(default=True, help_text="held to its addresses, and filtered by its groups")
    sends_kbps = models.PositiveIntegerField(
        null=True, blank=True, help_text="limit of what the guest sends; none: no limit"
    )
    sends_burst_kbit = models.PositiveIntegerField(null=True, blank=True)
    receives_kbps = models.PositiveIntegerField(null=True, blank=True)
    receives_burst_kbit = models.PositiveIntegerField(null=True, blank=True)

    is_bridged = models.BooleanField(default=False, help_text="its tap is in a Linux bridge, cabled to br-int")
    model = models.CharField(max_length=10, choices=NicModel.choices, default=NicModel.VIRTIO, help_text="as asked for")
    tap = models.CharField(max_length=15, default="", blank=True)
    ofport = models.PositiveIntegerField(null=True, blank=True)
    nic_model = models.CharField(max_length=20, default="virtio", blank=True)
    backend = models.CharField(max_length=20, default="qemu", blank=True)
    device_chain = models.JSONField(default=dict, blank=True, help_text="sdn.model.device.DeviceChain")
    wired_generation = models.PositiveBigIntegerField(null=True, blank=True)
    wired_at = models.DateTimeField(null=True, blank=True)
    dhcp_at = models.DateTimeField(null=True, blank=True, help_text="when its guest last asked us for its address")
    conflicts = models.JSONField(default=list, blank=True, help_text="portal.networks.hints.judge writes it")

    class Meta:
        ordering = ["id"]


class FixedAddress(models.Model):
    """One address of a port. The unique constraint is what makes double allocation impossible.

    `key` is the address as a number of fixed width, so that ranges of either family are compared as text.
    """

    port = models.ForeignKey(Port, on_delete=models.CASCADE, related_name="addresses")
    subnet = models.ForeignKey(Subnet, on_delete=models.PROTECT, related_name="addresses")
    address = models.GenericIPAddressField()
    key = models.CharField(max_length=32, default="", editable=False)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["subnet", "address"], name="one_port_per_address")]
        indexes = [models.Index(fields=["subnet", "key"], name="address_by_number")]

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.key = format_key(int(ip_address(self.address)))
        super().save(*args, **kwargs)


def format_key(number: int) -> str:
    """An address's number as text that sorts as numbers do."""
    return f"{number:032x}"


class Mirror(models.Model):
    """Copies of what one port's guest sends, receives, or both, for another port of the team. A port has at most one.

    `vni` carries the copies between hosts.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    source = models.OneToOneField(Port, on_delete=models.CASCADE, related_name="mirror")
    target = models.ForeignKey(Port, on_delete=models.CASCADE, related_name="mirrors_to")
    sends = models.BooleanField(default=True, help_text="what the source's guest sends")
    receives = models.BooleanField(default=True)
    vni = models.PositiveIntegerField(unique=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.source.name} to {self.target.name}"


class AllowedAddressPair(models.Model):
    """What a port may send from beside its own addresses; without a MAC, with its own."""

    port = models.ForeignKey(Port, on_delete=models.CASCADE, related_name="pairs")
    cidr = models.CharField(max_length=43)
    mac = models.CharField(max_length=17, default="", blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["port", "cidr", "mac"], name="address_pair_once_per_port")]
