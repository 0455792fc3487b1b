"""A subnet's pool, its exclusions and name servers changed later, and addresses kept for VMs that are not made yet."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext

from portal.accounts.audit import record
from portal.accounts.models import Team
from portal.networks.audited import audit
from portal.networks.intent import NO_PORT, bump_generation, lock_intent, only_ports
from portal.networks.ipam import AddressProblem, check_address, free_spans, reserve_port
from portal.networks.models import FixedAddress, Network, Port, PortKind, Subnet, format_key
from portal.networks.problems import Address, Cidr, Findings, check_name, parse_address, shown

MOST_EXCLUSIONS, MOST_DNS = 32, 4
MOVING = "moving-"  # ports that hold a moving NIC's addresses (portal/compute/nics.py): nobody's to release


@dataclass(frozen=True, slots=True)
class SubnetChange:
    """What is to be changed; None leaves it. Exclusions are addresses, or ranges "10.20.0.50-10.20.0.60"."""

    pool_start: str | None = None
    pool_end: str | None = None
    exclusions: tuple[str, ...] | None = None
    dns: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Use:
    """How full a subnet's pool is."""

    given: int
    free: int


def change_subnet(subnet: Subnet, change: SubnetChange) -> Subnet:
    """The subnet as it is now; addresses that ports have stay theirs. Raises NetworkProblem with everything that is wrong."""
    with transaction.atomic():
        bump_generation(NO_PORT)
        row = Subnet.objects.select_related("network__team").get(pk=subnet.pk)
        before = _told(row)
        findings = Findings()
        _take(row, change, findings)
        findings.stop()
        row.save(update_fields=["pool_start", "pool_end", "exclusions", "dns"])
        audit("subnet_change", row.network, before=before, after=_told(row))
        return row


def reserve(network: Network, name: str, address: str) -> Port:
    """A port without a VM that keeps the address, or the lowest free ones, and a MAC. Raises NetworkProblem."""
    with transaction.atomic():
        lock_intent()
        findings = Findings()
        findings.add("name", check_name(name))
        if name.startswith(MOVING):
            findings.add(
                "name",
                gettext("%(name)s was given; names that begin with %(moving)s are kept for NICs on the move")
                % {"name": shown(name), "moving": MOVING},
            )
        if not findings.errors and network.ports.filter(name=name).exists():
            findings.add(
                "name",
                gettext("%(network)s has a port %(name)s already: choose another name")
                % {"network": network.name, "name": name},
            )
        _find_address(network, address, findings)
        findings.stop()
        port = reserve_port(network, name=name, address=address or None)
        bump_generation(only_ports([port.pk]))
        given = [one.address for one in port.addresses.all()]
        record("port.reserve", network.team, None, ("port", str(port.uuid), name), after={"addresses": given})
        return port


def release(port: Port) -> None:
    """The reservation's addresses are free again."""
    with transaction.atomic():
        bump_generation(only_ports([port.pk]))
        given = [one.address for one in port.addresses.all()]
        record(
            "port.release", port.network.team, None, ("port", str(port.uuid), port.name), before={"addresses": given}
        )
        port.delete()


def reservations(network: Network) -> QuerySet[Port]:
    """The network's ports that wait for a VM."""
    return _waiting().filter(network=network)


def reservations_of(team: Team) -> QuerySet[Port]:
    """Those of all of the team's networks: what a new VM or NIC may ask for."""
    return _waiting().filter(network__team=team)


def _waiting() -> QuerySet[Port]:
    rows = Port.objects.filter(kind=PortKind.RESERVED).exclude(name__startswith=MOVING)
    return rows.select_related("network").prefetch_related("addresses").order_by("pk")


def use_of_subnet(subnet: Subnet) -> Use:
    """How many addresses of the pool are given, and how many may still be."""
    spans = free_spans(subnet)
    rows = FixedAddress.objects.filter(subnet=subnet)
    given = sum(rows.filter(key__range=(format_key(first), format_key(last))).count() for first, last in spans)
    return Use(rows.count(), sum(last - first + 1 for first, last in spans) - given)


def exclusion_texts(subnet: Subnet) -> list[str]:
    """The exclusions as people write them."""
    return [first if first == last else f"{first}-{last}" for first, last in subnet.exclusions]


def _find_address(network: Network, address: str, findings: Findings) -> None:
    taken = Port.objects.filter(
        network=network, kind=PortKind.RESERVED, addresses__address__in=re.split(r"[,\s]+", address)
    )
    try:
        check_address(network, address or None)
    except (AddressProblem, ValueError) as problem:
        findings.add("address", str(problem))
        return
    if address and (port := taken.first()) is not None:
        findings.add("address", gettext("%(address)s was given; it is reserved already, as %(port)s: choose another, or leave it out") % {"address": shown(address), "port": port.name})  # fmt: skip


def _take(row: Subnet, change: SubnetChange, findings: Findings) -> None:
    cidr = ip_network(row.cidr)
    for field, text in (("pool_start", change.pool_start), ("pool_end", change.pool_end)):
        if text is not None and (one := _inside(text, field, cidr, findings)) is not None:
            setattr(row, field, str(one))
    if int(ip_address(row.pool_start)) > int(ip_address(row.pool_end)):
        findings.add(
            "pool_end",
            gettext("%(pool_end)s was given, which is before the pool’s start %(pool_start)s")
            % {"pool_end": row.pool_end, "pool_start": row.pool_start},
        )
    if change.exclusions is not None:
        row.exclusions = _exclusions(change.exclusions, cidr, findings)
    if change.dns is not None:
        row.dns = _servers(change.dns, findings)
    if not findings.errors and not free_spans(row):
        findings.add(
            "exclusions",
            gettext("nothing of %(pool_start)s to %(pool_end)s is left: no guest would get an address")
            % {"pool_start": row.pool_start, "pool_end": row.pool_end},
        )


def _exclusions(texts: tuple[str, ...], cidr: Cidr, findings: Findings) -> list[list[str]]:
    if len(texts) > MOST_EXCLUSIONS:
        findings.add(
            "exclusions",
            gettext("%(count)s exclusions were given; at most %(most_exclusions)s are allowed")
            % {"count": len(texts), "most_exclusions": MOST_EXCLUSIONS},
        )
        return []
    found: list[tuple[Address, Address]] = []
    for text in texts:
        ends = [_inside(part, "exclusions", cidr, findings) for part in text.split("-", 1)]
        first, last = ends[0], ends[-1]
        if first is None or last is None:
            continue
        if int(first) > int(last):
            findings.add(
                "exclusions", gettext("%(text)s was given, which ends before it begins") % {"text": shown(text)}
            )
        for one, other in found:
            if int(first) <= int(other) and int(one) <= int(last):
                findings.add(
                    "exclusions",
                    gettext("%(text)s was given, which shares addresses with %(one)s-%(other)s")
                    % {"text": shown(text), "one": one, "other": other},
                )
        found.append((first, last))
    return [[str(first), str(last)] for first, last in sorted(found, key=lambda pair: int(pair[0]))]


def _servers(texts: tuple[str, ...], findings: Findings) -> list[str]:
    if len(texts) > MOST_DNS:
        findings.add(
            "dns",
            gettext("%(count)s name servers were given; at most %(most_dns)s are allowed")
            % {"count": len(texts), "most_dns": MOST_DNS},
        )
    found = [parse_address(text, "dns", findings) for text in texts]
    return [str(one) for one in found if one is not None]


def _inside(text: str, field: str, cidr: Cidr, findings: Findings) -> Address | None:
    """The address, if it is a guest's of the subnet; else None and a sentence."""
    one = parse_address(text, field, findings)
    first, last = cidr[1], cidr[-2] if cidr.version == 4 else cidr[-1]
    if one is None:
        return None
    if one.version != cidr.version or not int(first) <= int(one) <= int(last):
        findings.add(
            field,
            gettext("%(one)s was given; %(first)s to %(last)s are the addresses of %(cidr)s")
            % {"one": one, "first": first, "last": last, "cidr": cidr},
        )
        return None
    return one


def _told(row: Subnet) -> dict[str, object]:
    return {
        "cidr": row.cidr,
        "pool": [row.pool_start, row.pool_end],
        "exclusions": exclusion_texts(row),
        "dns": row.dns,
    }
