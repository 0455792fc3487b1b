"""Ports and addresses of both families: fixed ones, those that a MAC makes (SLAAC), and the lowest free of a pool.

The unique constraints are the truth. Rows of one network are changed under its row lock, so that fifty creates at once get
fifty addresses. The lowest free address is found by counting: an IPv6 pool is never listed.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from uuid import UUID

from django.utils.translation import gettext

from portal.compute.models import VM
from portal.networks.groups import default_group
from portal.networks.models import FixedAddress, Network, Port, PortKind, Subnet, format_key
from sdn.model.addresses import eui64

Address = IPv4Address | IPv6Address
Span = tuple[int, int]  # both ends included


class AddressProblem(Exception):
    """No address can be given; the message is for people, and names the network and everything that is wrong."""


@dataclass(frozen=True, slots=True)
class Plugged:
    """A NIC that is there already: the interface id and the MAC that its port must have."""

    uuid: UUID
    mac: str


def allocate_port(
    network: Network,
    *,
    name: str,
    vm: VM | None = None,
    kind: str = PortKind.VM,
    address: str | None = None,
    plugged: Plugged | None = None,
) -> Port:
    """A port with one address of each family that the network has.

    `address` fixes one or one of each ("10.20.0.5, fd20::5"); an address of a reserved port takes that port over, its MAC
    and other addresses too. Runs in the caller's transaction; takes the network's row lock.
    """
    locked = Network.objects.select_for_update().get(pk=network.pk)
    subnets = list(locked.subnets.order_by("id"))
    fixed, reserved = _given(locked, subnets, address)
    if reserved is not None and plugged is not None:
        raise AddressProblem(
            gettext("address %(address)s is reserved, as %(reserved)s, for a NIC with the MAC %(mac)s")
            % {"address": address, "reserved": reserved.name, "mac": reserved.mac}
        )
    if reserved is not None:
        return _take_over(reserved, name, vm, kind)
    mac = plugged.mac if plugged else new_mac()
    chosen = fixed + _automatic(locked, subnets, {one.version for _, one in fixed}, mac)
    known = {"uuid": plugged.uuid} if plugged else {}
    port = Port.objects.create(network=locked, vm=vm, kind=kind, name=name, mac=mac, **known)
    for subnet, one in sorted(chosen, key=lambda pair: pair[1].version):
        FixedAddress.objects.create(port=port, subnet=subnet, address=str(one))
    port.groups.add(default_group(vm.team_id if vm else locked.team_id))
    return port


def check_address(network: Network, address: str | None = None) -> None:
    """Raises AddressProblem when a port with this address, or with any, could not be made now. Stores and locks nothing."""
    subnets = list(network.subnets.order_by("id"))
    fixed, reserved = _given(network, subnets, address)
    if reserved is None:
        _automatic(network, subnets, {one.version for _, one in fixed}, "52:54:00:00:00:01")


def _given(
    network: Network, subnets: list[Subnet], address: str | None
) -> tuple[list[tuple[Subnet, Address]], Port | None]:
    """The addresses that were asked for, which can be had, and the reserved port that one of them is of."""
    if not subnets:
        raise AddressProblem(
            gettext("network %(network)s has no subnet: add one, or choose another network") % {"network": network.name}
        )
    fixed = _parse_fixed(address or "", network, subnets)
    reserved = _reserved(fixed)
    problems = [problem for subnet, one in fixed if (problem := _why_not(subnet, one))]
    if problems and reserved is None:
        raise AddressProblem("; ".join(problems))
    return fixed, reserved


def reserve_port(network: Network, *, name: str, address: str | None = None) -> Port:
    """A port without a VM that holds its MAC and addresses until a VM is made with one of them."""
    return allocate_port(network, name=name, kind=PortKind.RESERVED, address=address)


def address_ports(subnet: Subnet) -> int:
    """Give every port of the network that has no address of the subnet's family one of it; how many got one.

    What makes a network dual-stack that was not: its guests are told by the next router advertisement or lease. Raises
    AddressProblem when the pool is too small, in a transaction that then should be given up.
    """
    version = ip_network(subnet.cidr).version
    network = Network.objects.select_for_update().get(pk=subnet.network_id)
    given = 0
    for port in network.ports.prefetch_related("addresses").order_by("id"):
        if any(ip_address(row.address).version == version for row in port.addresses.all()):
            continue
        one = _give(subnet, port.mac)
        if one is None:
            raise AddressProblem(
                gettext("subnet %(cidr)s has too few addresses for the ports of %(network)s: make it larger")
                % {"cidr": subnet.cidr, "network": network.name}
            )
        FixedAddress.objects.create(port=port, subnet=subnet, address=str(one))
        given += 1
    return given


def lowest_free(subnet: Subnet) -> Address | None:
    """The lowest address of the pool that is nobody's, not excluded and not the gateway; None when there is none."""
    family = IPv6Address if ip_network(subnet.cidr).version == 6 else IPv4Address
    for first, last in free_spans(subnet):
        taken = _count(subnet, first, last)
        if taken <= last - first:
            return family(_first_gap(subnet, first, taken))
    return None


def free_spans(subnet: Subnet) -> list[Span]:
    """The pool without the gateway and the exclusions, in order."""
    spans = [(int(ip_address(subnet.pool_start)), int(ip_address(subnet.pool_end)))]
    gateway = int(ip_address(subnet.gateway))
    holes = [
        (gateway, gateway),
        *((int(ip_address(first)), int(ip_address(last))) for first, last in subnet.exclusions),
    ]
    for low, high in holes:
        spans = [part for first, last in spans for part in ((first, min(last, low - 1)), (max(first, high + 1), last))]
        spans = [(first, last) for first, last in spans if first <= last]
    return sorted(set(spans))


def new_mac() -> str:
    """QEMU's own prefix, then 24 random bits that no port has."""
    while True:
        tail = secrets.token_bytes(3)
        mac = "52:54:00:" + ":".join(f"{byte:02x}" for byte in tail)
        if not Port.objects.filter(mac=mac).exists():
            return mac


def _parse_fixed(text: str, network: Network, subnets: list[Subnet]) -> list[tuple[Subnet, Address]]:
    """The addresses that a person wrote, each with its subnet. Raises AddressProblem with all that is wrong."""
    found: list[tuple[Subnet, Address]] = []
    problems: list[str] = []
    allowed = " or ".join(subnet.cidr for subnet in subnets)
    for word in re.split(r"[,\s]+", text.strip()) if text.strip() else ():
        shown = word if len(word) <= 45 else f"{word[:45]}…"
        try:
            one = ip_address(word)
        except ValueError:
            problems.append(
                gettext("address %(shown)s was given; an address of %(allowed)s is allowed")
                % {"shown": f"{shown!r}", "allowed": allowed}
            )
            continue
        home = next((subnet for subnet in subnets if one in ip_network(subnet.cidr)), None)
        if home is None:
            problems.append(
                gettext("address %(one)s was given; %(network)s has %(allowed)s")
                % {"one": one, "network": network.name, "allowed": allowed}
            )
        elif any(one.version == other.version for _, other in found):
            problems.append(
                gettext("address %(one)s was given; at most one IPv%(version)s address is allowed here")
                % {"one": one, "version": one.version}
            )
        else:
            found.append((home, one))
    if problems:
        raise AddressProblem("; ".join(problems))
    return found


def _why_not(subnet: Subnet, address: Address) -> str:
    """Why a port cannot have this very address; "" when it can."""
    cidr = ip_network(subnet.cidr)
    if subnet.is_slaac:
        return gettext(
            "address %(address)s was given; %(cidr)s is a SLAAC subnet, where the address is made of the port's MAC: leave it out"
        ) % {"address": address, "cidr": cidr}
    if address == ip_address(subnet.gateway):
        return gettext(
            "address %(address)s was given; it is the gateway's: leave it out to get the lowest free one"
        ) % {"address": address}
    if address == cidr.network_address or (cidr.version == 4 and address == cidr.broadcast_address):
        return gettext("address %(address)s was given; it is %(cidr)s's own: choose one between its first and last") % {
            "address": address,
            "cidr": cidr,
        }
    taken = FixedAddress.objects.filter(subnet=subnet, address=str(address)).select_related("port").first()
    if taken is not None:
        return gettext("address %(address)s was given; it is %(port)s's: leave it out to get the lowest free one") % {
            "address": address,
            "port": taken.port.name,
        }
    return ""


def _automatic(network: Network, subnets: list[Subnet], but: set[int], mac: str) -> list[tuple[Subnet, Address]]:
    """One address of every family but those, of the first subnet that has one."""
    found: list[tuple[Subnet, Address]] = []
    for version in sorted({ip_network(subnet.cidr).version for subnet in subnets} - but):
        family = [subnet for subnet in subnets if ip_network(subnet.cidr).version == version]
        given = next(((subnet, one) for subnet in family if (one := _give(subnet, mac)) is not None), None)
        if given is None:
            pools = ", ".join(f"{subnet.pool_start} to {subnet.pool_end}" for subnet in family)
            size = sum(last - first + 1 for subnet in family for first, last in free_spans(subnet))
            raise AddressProblem(
                gettext(
                    "network %(network)s is full: all %(size)s addresses of %(pools)s are taken; delete a VM or choose another network"
                )
                % {"network": network.name, "size": size, "pools": pools}
            )
        found.append(given)
    return found


def _give(subnet: Subnet, mac: str) -> Address | None:
    if subnet.is_slaac:
        return eui64(IPv6Network(subnet.cidr), mac)
    return lowest_free(subnet)


def _reserved(fixed: list[tuple[Subnet, Address]]) -> Port | None:
    for subnet, one in fixed:
        row = FixedAddress.objects.filter(subnet=subnet, address=str(one), port__kind=PortKind.RESERVED).first()
        if row is not None:
            return row.port
    return None


def _take_over(port: Port, name: str, vm: VM | None, kind: str) -> Port:
    if kind == PortKind.RESERVED:
        raise AddressProblem(
            gettext("the address is reserved already, as %(port)s: choose another, or leave it out")
            % {"port": port.name}
        )
    port.vm, port.name, port.kind = vm, name, kind
    port.save(update_fields=["vm", "name", "kind"])
    return port


def _count(subnet: Subnet, first: int, last: int) -> int:
    return FixedAddress.objects.filter(subnet=subnet, key__range=(format_key(first), format_key(last))).count()


def _first_gap(subnet: Subnet, first: int, taken: int) -> int:
    """The lowest number from `first` on that nobody has, when `taken` of what follows are had: at most `taken` on."""
    low, high = 0, taken  # the gap is at first+low … first+high: below it every number is taken
    while low < high:
        middle = (low + high) // 2
        if _count(subnet, first, first + middle) == middle + 1:
            low = middle + 1
        else:
            high = middle
    return first + low
