"""Routers, external networks and floating addresses. Read through `portal.networks.models`.

An address of an external network is one row of ExternalAddress, whoever has it, so that one unique constraint keeps it
from being given twice.
"""

from __future__ import annotations

import uuid
from ipaddress import IPv6Address, IPv6Network

from django.db import models

from portal.accounts.models import Team
from portal.hosts.models import Host
from sdn.model.addresses import eui64


def family_of(address: str) -> int:
    """4 or 6: which IP the written address is of."""
    return 6 if ":" in address else 4


class ExternalNetwork(models.Model):
    """A segment behind `br-ex` of the hosts: operators make it, every team may use it."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=40, unique=True)
    vid = models.PositiveIntegerField(null=True, blank=True, unique=True, help_text="VLAN 1 … 4094; empty: untagged")
    mtu = models.PositiveIntegerField(default=1500)
    cidr = models.CharField(max_length=18)
    cidr6 = models.CharField(max_length=43, default="", blank=True, help_text="a /64: IPv6 leaves as an address of it")
    gateway = models.GenericIPAddressField(protocol="IPv4", null=True, blank=True)
    pool_start = models.GenericIPAddressField(protocol="IPv4")
    pool_end = models.GenericIPAddressField(protocol="IPv4")

    class Meta:
        ordering = ["name"]

    @property
    def families(self) -> tuple[int, ...]:
        """The IP families that it has floating addresses of."""
        return (4, 6) if self.cidr6 and self.gateway else (4,)

    def __str__(self) -> str:
        return self.name


class ExternalAddress(models.Model):
    """One address of an external network in use: a router's own of IPv4, or a floating one of either family."""

    network = models.ForeignKey(ExternalNetwork, on_delete=models.PROTECT, related_name="taken")
    address = models.GenericIPAddressField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["network", "address"], name="one_use_per_external_address")]

    def __str__(self) -> str:
        return self.address


class Router(models.Model):
    """A team's distributed router. `gateway_host` is chosen by portal.networks.gateways and moves when it is lost."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="routers")
    name = models.CharField(max_length=40)
    vni = models.PositiveIntegerField(unique=True, help_text="carries what goes to the gateway host")
    zone = models.PositiveIntegerField(unique=True, help_text="conntrack zone of its translations, 1 … 65535")
    external = models.ForeignKey(
        ExternalNetwork, on_delete=models.PROTECT, null=True, blank=True, related_name="routers"
    )
    external_address = models.OneToOneField(
        ExternalAddress, on_delete=models.PROTECT, null=True, blank=True, related_name="router"
    )
    external_mac = models.CharField(max_length=17)
    gateway_host = models.ForeignKey(Host, on_delete=models.SET_NULL, null=True, blank=True, related_name="gateway_of")

    @property
    def external_address6(self) -> IPv6Address | None:
        """What its networks are seen as over IPv6; None where that has no way outside."""
        if self.external is None or not self.external.cidr6 or not self.external.gateway:
            return None
        return eui64(IPv6Network(self.external.cidr6), self.external_mac)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["team", "name"], name="router_name_per_team")]

    def __str__(self) -> str:
        return self.name


class RouterPort(models.Model):
    """A router's leg in a subnet, with the subnet's gateway address."""

    router = models.ForeignKey(Router, on_delete=models.CASCADE, related_name="ports")
    subnet = models.OneToOneField("networks.Subnet", on_delete=models.PROTECT, related_name="router_port")

    class Meta:
        ordering = ["id"]


class StaticRoute(models.Model):
    """What goes to `destination` is handed to `next_hop`, an address of one of the router's subnets."""

    router = models.ForeignKey(Router, on_delete=models.CASCADE, related_name="routes")
    destination = models.CharField(max_length=43)
    next_hop = models.GenericIPAddressField()

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["router", "destination"], name="one_route_per_destination")]


class FloatingAddress(models.Model):
    """An external address of a team; stands for `fixed`, which is of its family, when it has one."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="floating_addresses")
    address = models.OneToOneField(ExternalAddress, on_delete=models.PROTECT, related_name="floating")
    fixed = models.OneToOneField(
        "networks.FixedAddress", on_delete=models.SET_NULL, null=True, blank=True, related_name="floating"
    )

    class Meta:
        ordering = ["id"]

    @property
    def family(self) -> int:
        """4 or 6."""
        return family_of(self.address.address)

    def __str__(self) -> str:
        return self.address.address
