"""Ports and addresses. The unique constraints are the truth; this picks the lowest free address and a random MAC."""

from __future__ import annotations

import secrets
from ipaddress import AddressValueError, IPv4Address

from portal.compute.models import VM
from portal.networks.models import FixedAddress, Network, Port, PortKind, Subnet


class AddressProblem(Exception):
    """No address can be given; the message is for people and names the network."""


def allocate_port(
    network: Network, *, name: str, vm: VM | None = None, kind: str = PortKind.VM, address: str | None = None
) -> Port:
    """A port with one address; runs in the caller's transaction, after it locked the network's team or the network."""
    Network.objects.select_for_update().get(pk=network.pk)
    subnet = network.subnets.first()
    if subnet is None:
        raise AddressProblem(f"network {network.name} has no subnet: add one, or choose another network")
    chosen = _given(subnet, address) if address else _lowest_free(network, subnet)
    port = Port.objects.create(network=network, vm=vm, kind=kind, name=name, mac=_new_mac())
    FixedAddress.objects.create(port=port, subnet=subnet, address=chosen)
    return port


def _given(subnet: Subnet, text: str) -> str:
    try:
        address = IPv4Address(text)
    except AddressValueError:
        raise AddressProblem(f"address {text!r} was given; an IPv4 address of {subnet.cidr} is allowed") from None
    pool = (IPv4Address(subnet.pool_start), IPv4Address(subnet.pool_end))
    if not pool[0] <= address <= pool[1]:
        raise AddressProblem(f"address {text} was given; {pool[0]} to {pool[1]} are allowed on {subnet.network.name}")
    taken = FixedAddress.objects.filter(subnet=subnet, address=text).select_related("port").first()
    if taken is not None or text == subnet.gateway:
        owner = taken.port.name if taken else "the gateway"
        raise AddressProblem(f"address {text} was given; it is {owner}'s: leave it out to get the lowest free one")
    return str(address)


def _lowest_free(network: Network, subnet: Subnet) -> str:
    taken = {int(IPv4Address(row)) for row in subnet.addresses.values_list("address", flat=True)}
    taken.add(int(IPv4Address(subnet.gateway)))
    first, last = int(IPv4Address(subnet.pool_start)), int(IPv4Address(subnet.pool_end))
    for number in range(first, last + 1):
        if number not in taken:
            return str(IPv4Address(number))
    raise AddressProblem(
        f"network {network.name} is full: all {last - first + 1} addresses of {subnet.pool_start} to "
        f"{subnet.pool_end} are taken; delete a VM or choose another network"
    )


def _new_mac() -> str:
    """QEMU's own prefix, then 24 random bits that no port has."""
    while True:
        tail = secrets.token_bytes(3)
        mac = "52:54:00:" + ":".join(f"{byte:02x}" for byte in tail)
        if not Port.objects.filter(mac=mac).exists():
            return mac
