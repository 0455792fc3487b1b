"""Hints and conflicts as rows: what was seen is noted here, forgotten when it is old, and judged into `Port.conflicts`.

`judge` is a reconcile: it looks at every hint that IPAM does not explain, whatever happened since it looked last, and
writes and tells only what differs. So a conflict ends by itself when the guest or IPAM was changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from portal.live.publishers import vm_changed
from portal.networks.claims import Claim, Conflict, Given, find_conflicts
from portal.networks.models import AddressHint, AllowedAddressPair, FixedAddress, HintSource, Port, Subnet
from portal.networks.owners import owner_id_of

KEPT = timedelta(minutes=10)  # after it was seen last
FRESH = timedelta(seconds=5)  # an older row's time is written anew
BY_HAND_AFTER = timedelta(minutes=2)  # an agent may answer before we have noted that the guest asked DHCP
MOST_OF_PORT = 16  # hints: a guest can claim any number of addresses
MOST_SHOWN = 8  # conflicts of a port
MOST_JUDGED = 5000
ANOTHER_TEAM = "a port of another team"


@dataclass(frozen=True, slots=True)
class Seen:
    """A port's guest uses the address, says the source."""

    port_id: int
    address: str
    source: str


def note_hints(seen: Iterable[Seen], now: datetime | None = None) -> int:
    """Write down what was seen; how many rows are new. Of a port the latest `MOST_OF_PORT` are kept."""
    at, wanted = now or timezone.now(), set(seen)
    ports = set(Port.objects.filter(pk__in={one.port_id for one in wanted}).values_list("pk", flat=True))
    known = {
        Seen(row.port_id, row.address, row.source): row
        for row in AddressHint.objects.filter(port_id__in=ports).order_by("last_at", "id")
    }
    again = [row.pk for one, row in known.items() if one in wanted and at - row.last_at > FRESH]
    fresh = [one for one in sorted(wanted, key=str) if one.port_id in ports and one not in known]
    fresh = _fitting(fresh)
    rows = [AddressHint(port_id=one.port_id, address=one.address, source=one.source, first_at=at, last_at=at) for one in fresh]  # fmt: skip
    with transaction.atomic():
        AddressHint.objects.filter(pk__in=again).update(last_at=at)
        AddressHint.objects.filter(pk__in=_too_many(known, fresh, set(again))).delete()
        AddressHint.objects.bulk_create(rows, ignore_conflicts=True)  # another process may have seen the same
    return len(rows)


def _fitting(fresh: Iterable[Seen]) -> list[Seen]:
    counts: dict[int, int] = defaultdict(int)
    kept = []
    for one in fresh:
        counts[one.port_id] += 1
        if counts[one.port_id] <= MOST_OF_PORT:
            kept.append(one)
    return kept


def _too_many(known: Mapping[Seen, AddressHint], fresh: Iterable[Seen], again: set[int]) -> list[int]:
    """The rows that make room, those seen longest ago first."""
    room: dict[int, int] = defaultdict(lambda: MOST_OF_PORT)
    for one in fresh:
        room[one.port_id] -= 1
    newest_first = sorted(known.values(), key=lambda row: (row.pk in again, row.last_at, row.pk), reverse=True)
    gone = []
    for row in newest_first:
        room[row.port_id] -= 1
        if room[row.port_id] < 0:
            gone.append(row.pk)
    return gone


def agent_said(told: Mapping[int, frozenset[str]], now: datetime | None = None) -> None:
    """What the agents of these ports' guests say now, whole: an address that an agent no longer tells is forgotten."""
    rows = AddressHint.objects.filter(port_id__in=list(told), source=HintSource.AGENT)
    gone = [row.pk for row in rows if row.address not in told[row.port_id]]
    if gone:
        AddressHint.objects.filter(pk__in=gone).delete()
    note_hints((Seen(port, one, HintSource.AGENT) for port, addresses in told.items() for one in addresses), now)


def forget_old(now: datetime | None = None) -> int:
    """Delete what was not seen for `KEPT`; how many rows."""
    return AddressHint.objects.filter(last_at__lt=(now or timezone.now()) - KEPT).delete()[0]


def note_dhcp(port_ids: Iterable[int], now: datetime | None = None) -> None:
    """These ports' guests asked for their addresses."""
    Port.objects.filter(pk__in=list(port_ids)).update(dhcp_at=now or timezone.now())


def judge(now: datetime | None = None) -> int:
    """Compare every hint with IPAM, write each port's conflicts and tell the teams whose VMs' differ; how many ports did."""
    found: dict[int, list[Conflict]] = defaultdict(list)
    for conflict in find_conflicts(*_read(now or timezone.now())):
        found[conflict.port].append(conflict)
    concerned = set(found) | {other for rows in found.values() for row in rows for other in row.others}
    rows = Port.objects.filter(Q(pk__in=concerned) | ~Q(conflicts=[])).select_related("vm__team", "network")
    ports = {port.pk: port for port in rows}
    changed = [
        (port, fresh)
        for port in ports.values()
        if (fresh := [_as_row(port, one, ports) for one in found.get(port.pk, ())][:MOST_SHOWN]) != port.conflicts
    ]
    for port, fresh in changed:
        _keep(port, fresh)
    return len(changed)


def _keep(port: Port, fresh: list[dict[str, Any]]) -> None:
    with transaction.atomic():
        Port.objects.filter(pk=port.pk).update(conflicts=fresh)
        if port.vm is not None:
            vm_changed(port.vm)


def _read(now: datetime) -> tuple[list[Claim], Given]:
    """The hints that IPAM does not explain, those of guests that never asked DHCP, and what IPAM says about them."""
    own = FixedAddress.objects.filter(port=OuterRef("port"), address=OuterRef("address"))
    by_hand = Q(source=HintSource.AGENT, port__dhcp_at=None, first_at__lt=now - BY_HAND_AFTER)
    rows = AddressHint.objects.annotate(is_own=Exists(own)).filter(Q(is_own=False) | by_hand)
    hints = list(rows.select_related("port").order_by("-last_at", "id")[:MOST_JUDGED])
    claims = [
        Claim(
            row.port_id, row.port.network_id, row.address, row.source, row.first_at,
            row.port.dhcp_at is not None, row.port.is_secured,
        )
        for row in hints
    ]  # fmt: skip
    networks = {claim.network for claim in claims}
    holders = FixedAddress.objects.filter(port__network__in=networks, address__in={claim.address for claim in claims})
    subnets: dict[int, tuple[str, ...]] = defaultdict(tuple)
    gateways = set()
    for network, cidr, gateway in Subnet.objects.filter(network__in=networks).values_list("network", "cidr", "gateway"):
        subnets[network] += (cidr,)
        gateways.add((network, gateway))
    pairs: dict[int, tuple[str, ...]] = defaultdict(tuple)
    for port, cidr in AllowedAddressPair.objects.filter(port__in={one.port for one in claims}).values_list(
        "port", "cidr"
    ):
        pairs[port] += (cidr,)
    held = {
        (network, address): port for network, address, port in holders.values_list("port__network", "address", "port")
    }
    return claims, Given(held, frozenset(gateways), subnets, pairs)


def _as_row(port: Port, one: Conflict, ports: Mapping[int, Port]) -> dict[str, Any]:
    """What is kept: another team's port has no name here, so that nobody who reads the row learns one."""
    names = [
        other.name if owner_id_of(other) == owner_id_of(port) else ANOTHER_TEAM
        for other in (ports[pk] for pk in one.others if pk in ports)
    ]
    return {
        "kind": one.kind, "address": one.address, "others": names, "sources": list(one.sources),
        "since": one.since.isoformat(),
    }  # fmt: skip
