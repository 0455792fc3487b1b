"""Asking for networks and subnets, and for their end: checked whole, stored in one transaction."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.utils.translation import gettext, ngettext

from portal.accounts.models import Team
from portal.networks import numbers, quota
from portal.networks.audited import audit
from portal.networks.intent import bump_generation
from portal.networks.ipam import AddressProblem, address_ports
from portal.networks.models import Network, NetworkKind, Port, PortKind, Subnet
from portal.networks.mtu import network_mtu
from portal.networks.owners import network_named
from portal.networks.problems import (
    Address,
    Cidr,
    Findings,
    check_ends,
    check_name,
    overlaps,
    parse_address,
    parse_cidr,
    parse_ends,
    shown,
)
from sdn.model.mtu import Encapsulation

PREFIX_LENGTHS = {4: (8, 29), 6: (64, 64)}
SLAAC_POOL = (0x10, 0xFFFF)  # of an IPv6 subnet, where addresses are made of MACs and the pool is for the rest
MOST_DNS = 4
OVERLAYS = quota.OVERLAYS  # what a team makes by itself
NAMED_IN_USE = 5  # how many users of a thing are named in the reason why it stays


@dataclass(frozen=True, slots=True)
class SubnetSpec:
    """A subnet as it was asked for; empty means: work it out."""

    cidr: str
    gateway: str = ""
    pool_start: str = ""
    pool_end: str = ""
    dns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """A network as it was asked for, with its first subnet."""

    name: str
    subnet: SubnetSpec
    mtu: int | None = None
    vni: int | None = None  # for operators
    kind: str = NetworkKind.VXLAN
    vid: int | None = None


@dataclass(frozen=True, slots=True)
class _Checked:
    cidr: Cidr
    gateway: Address
    pool: tuple[Address, Address]
    dns: tuple[Address, ...]


def create_network(team: Team, spec: NetworkSpec) -> Network:
    """The stored network. Raises NetworkProblem, and then nothing is stored."""
    with transaction.atomic():
        bump_generation()
        findings = Findings()
        if spec.kind not in OVERLAYS:
            findings.add(
                "kind",
                gettext("%(kind)s was given; %(overlays)s are allowed")
                % {"kind": shown(spec.kind), "overlays": gettext(" and ").join(OVERLAYS)},
            )
        findings.add("name", quota.network_refusal(team))
        made = store_network(team, spec, findings)
        audit("create", made, after={"cidr": spec.subnet.cidr, "vni": made.vni, "mtu": made.mtu})
        return made


def store_network(team: Team | None, spec: NetworkSpec, findings: Findings) -> Network:
    """The stored network, of whichever kind, when nothing was found before or is found now; `team` is None when it was not
    found. In the caller's transaction, which holds the intent's lock. Raises NetworkProblem."""
    findings.add("name", check_name(spec.name))
    if team is not None and not check_name(spec.name) and (taken := network_named(team, spec.name)):
        words = (
            gettext("%(team)s has a network %(name)s already: choose another name")
            if taken.team_id == team.pk
            else gettext("%(team)s shares a network %(name)s already: choose another name")
        )
        findings.add("name", words % {"team": taken.team.name, "name": spec.name})
    kind: Encapsulation = spec.kind if spec.kind in NetworkKind.values else "vxlan"  # type: ignore[assignment]
    findings.add("mtu", _check_mtu(spec.mtu, kind))
    findings.add("vni", _check_vni(spec.vni))
    checked = _check_subnet(spec.subnet, [], findings)
    findings.stop()
    assert checked is not None and team is not None
    vni = spec.vni or numbers.next_network_vni()
    network = Network.objects.create(
        team=team, name=spec.name, kind=kind, vni=vni, vid=spec.vid, mtu=spec.mtu or network_mtu(kind),
        router_mac=numbers.router_mac(vni),
    )  # fmt: skip
    _store_subnet(network, checked)
    return network


def add_subnet(network: Network, spec: SubnetSpec) -> Subnet:
    """One more subnet of the network; ports that have no address of its family get one. Raises NetworkProblem."""
    with transaction.atomic():
        bump_generation()
        findings = Findings()
        checked = _check_subnet(spec, list(network.subnets.all()), findings)
        findings.stop()
        assert checked is not None
        made = _store_subnet(network, checked)
        try:
            address_ports(made)
        except AddressProblem as problem:
            findings.add("cidr", str(problem))
        findings.stop()
        audit("subnet_add", network, after={"cidr": made.cidr})
        return made


def delete_network(network: Network) -> None:
    """Raises NetworkProblem with everything that still uses it."""
    with transaction.atomic():
        bump_generation()
        findings = Findings()
        for reason in uses_of_network(network):
            findings.add("network", reason)
        findings.stop()
        if network.kind in OVERLAYS:  # a provider network's end is told by its own requests
            audit("delete", network)
        network.delete()


def delete_subnet(subnet: Subnet) -> None:
    """Raises NetworkProblem with everything that still uses it."""
    with transaction.atomic():
        bump_generation()
        findings = Findings()
        for reason in _uses_of_subnet(subnet):
            findings.add("subnet", reason)
        findings.stop()
        audit("subnet_delete", subnet.network, before={"cidr": subnet.cidr})
        subnet.delete()


def uses_of_network(network: Network) -> list[str]:
    """Why the network can't be deleted now: sentences, none when it can."""
    reasons = []
    ports = list(network.ports.select_related("vm"))
    vms = [port.vm.name for port in ports if port.vm]
    if vms:
        reasons.append(
            ngettext(
                "%(vms)s is on %(network)s: delete it first", "%(vms)s are on %(network)s: delete them first", len(vms)
            )
            % {"vms": _named(vms), "network": network.name}
        )
    kept = [port.name for port in ports if port.kind == PortKind.RESERVED]
    if kept:
        reasons.append(
            ngettext(
                "%(kept)s is reserved on %(network)s: release it first",
                "%(kept)s are reserved on %(network)s: release them first",
                len(kept),
            )
            % {"kept": _named(kept), "network": network.name}
        )
    others = [port.name for port in ports if not port.vm and port.kind != PortKind.RESERVED]
    if others:
        reasons.append(
            gettext("%(network)s carries the port %(others)s, which is no VM's: it goes with the lab")
            % {"network": network.name, "others": _named(others)}
        )
    for subnet in network.subnets.select_related("router_port__router"):
        if hasattr(subnet, "router_port"):
            reasons.append(
                gettext("router %(router)s is attached to %(cidr)s: detach it first")
                % {"router": subnet.router_port.router.name, "cidr": subnet.cidr}
            )
    return reasons


def _uses_of_subnet(subnet: Subnet) -> list[str]:
    reasons = []
    names = list(
        Port.objects.filter(addresses__subnet=subnet).exclude(kind=PortKind.ACCESS).values_list("name", flat=True)
    )
    names += list(Port.objects.filter(addresses__subnet=subnet, kind=PortKind.ACCESS).values_list("name", flat=True))
    if names:
        reasons.append(
            ngettext("%(names)s has an address of %(cidr)s", "%(names)s have an address of %(cidr)s", len(names))
            % {"names": _named(names), "cidr": subnet.cidr}
        )
    if hasattr(subnet, "router_port"):
        reasons.append(
            gettext("router %(router)s is attached to %(cidr)s: detach it first")
            % {"router": subnet.router_port.router.name, "cidr": subnet.cidr}
        )
    return reasons


def _named(names: list[str]) -> str:
    rest = len(names) - NAMED_IN_USE
    return ", ".join(names[:NAMED_IN_USE]) + (gettext(" and %(rest)s more") % {"rest": rest} if rest > 0 else "")


def _check_mtu(mtu: int | None, kind: Encapsulation) -> str:
    most = numbers.largest_mtu(kind)
    if mtu is None or numbers.SMALLEST_MTU <= mtu <= most:
        return ""
    less = gettext(", less the tunnel's headers") if kind in OVERLAYS else ""
    return gettext("%(mtu)s was given; %(smallest_mtu)s to %(most)s fit the hosts' underlay%(less)s") % {
        "mtu": mtu,
        "smallest_mtu": numbers.SMALLEST_MTU,
        "most": most,
        "less": less,
    }


def _check_vni(vni: int | None) -> str:
    if vni is None:
        return ""
    if not 1 <= vni < numbers.FIRST_ROUTER_VNI:
        return gettext("%(vni)s was given; 1 to %(first_router_vni)s are allowed") % {
            "vni": vni,
            "first_router_vni": numbers.FIRST_ROUTER_VNI - 1,
        }
    return (
        gettext("VNI %(vni)s is in use: leave it out to get a free one") % {"vni": vni}
        if Network.objects.filter(vni=vni).exists()
        else ""
    )


def _check_subnet(spec: SubnetSpec, others: list[Subnet], findings: Findings) -> _Checked | None:
    cidr = parse_cidr(spec.cidr, "cidr", findings)
    dns = [parse_address(text, "dns", findings) for text in spec.dns]
    if len(dns) > MOST_DNS:
        findings.add(
            "dns",
            gettext("%(count)s name servers were given; at most %(most_dns)s are allowed")
            % {"count": len(dns), "most_dns": MOST_DNS},
        )
    given = parse_ends(spec.gateway, spec.pool_start, spec.pool_end, findings)
    if cidr is None:
        return None
    sentence = _check_cidr(cidr)
    findings.add("cidr", sentence)
    for other in others:
        if overlaps(cidr, _cidr_of(other)):
            findings.add(
                "cidr",
                gettext("%(cidr)s was given; the network has %(cidr_2)s, which shares addresses with it")
                % {"cidr": cidr, "cidr_2": other.cidr},
            )
    if sentence:
        return None
    first, last = _hosts(cidr)
    gateway = given.get("gateway") or first
    start = given.get("pool_start") or (first if cidr.version == 4 else cidr[SLAAC_POOL[0]])
    end = given.get("pool_end") or (last if cidr.version == 4 else cidr[SLAAC_POOL[1]])
    check_ends(cidr, (first, last), gateway, (start, end), findings)
    if int(start) == int(end) == int(gateway):
        findings.add("pool_end", gettext("the pool holds the gateway's address alone: no guest would get one"))
    return _Checked(cidr, gateway, (start, end), tuple(one for one in dns if one is not None))


def _check_cidr(cidr: Cidr) -> str:
    shortest, longest = PREFIX_LENGTHS[cidr.version]
    if not shortest <= cidr.prefixlen <= longest:
        return gettext("%(cidr)s was given; prefix lengths /%(shortest)s to /%(longest)s are allowed") % {
            "cidr": cidr,
            "shortest": shortest,
            "longest": longest,
        }
    if cidr.is_multicast or cidr.is_loopback or cidr.is_link_local or cidr.is_unspecified or str(cidr).startswith("0."):
        return gettext(
            "%(cidr)s was given, which no host can have an address of; 10.0.0.0/8, 172.16.0.0/12 and 192.168.0.0/16 are free to use"
        ) % {"cidr": cidr}
    return ""


def _hosts(cidr: Cidr) -> tuple[Address, Address]:
    return cidr[1], cidr[-2] if cidr.version == 4 else cidr[-1]


def _cidr_of(subnet: Subnet) -> Cidr:
    found = parse_cidr(subnet.cidr, "cidr", Findings())
    assert found is not None
    return found


def _store_subnet(network: Network, checked: _Checked) -> Subnet:
    return Subnet.objects.create(
        network=network, cidr=str(checked.cidr), gateway=str(checked.gateway), pool_start=str(checked.pool[0]),
        pool_end=str(checked.pool[1]), dns=[str(one) for one in checked.dns], is_slaac=checked.cidr.version == 6,
    )  # fmt: skip
