"""Allowed address pairs: what a port may send from beside its own addresses. For addresses that move (VRRP), for routers.

A pair loosens port security, so what would make an impostor of the port is refused: a gateway's address, an address of
another team on a shared network, and a range so wide that nothing would be held to anything: for that an owner switches
port security off.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from django.db import transaction
from django.utils.translation import gettext

from portal.accounts.audit import record
from portal.accounts.models import User
from portal.networks.intent import bump_generation, only_ports
from portal.networks.models import AllowedAddressPair, FixedAddress, Port
from portal.networks.owners import owned_by, owner_of
from portal.networks.problems import SHOWN, Cidr, Findings, shown

MOST_PAIRS = 16
SHORTEST_PREFIX = {4: 16, 6: 48}
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


@dataclass(frozen=True, slots=True)
class PairSpec:
    """A pair as it was asked for: an address or a range, and a MAC, or "" for the port's own."""

    cidr: str
    mac: str = ""


@transaction.atomic
def set_pairs(port: Port, specs: Sequence[PairSpec], actor: User | None = None) -> None:
    """The port's pairs, all of them, in force at once; audited. Raises NetworkProblem: fields are `pairs.<number>.cidr`,
    `pairs.<number>.mac` and `pairs`."""
    bump_generation(only_ports([port.pk]))
    findings = Findings()
    found = [_checked(port, number, spec, findings) for number, spec in enumerate(specs)]
    if len(specs) > MOST_PAIRS:
        findings.add(
            "pairs",
            gettext("%(count)s pairs were given; at most %(most_pairs)s are allowed")
            % {"count": len(specs), "most_pairs": MOST_PAIRS},
        )
    _find_twice(found, findings)
    findings.stop()
    before = pairs_of(port)
    port.pairs.all().delete()
    rows = [AllowedAddressPair(port=port, cidr=str(cidr), mac=mac) for cidr, mac in found if cidr is not None]
    AllowedAddressPair.objects.bulk_create(rows)
    what = ("vm", str(port.vm.uuid), port.vm.name) if port.vm else ("port", str(port.uuid), port.name)
    record("port.pairs", owner_of(port), actor, what, before={"pairs": before}, after={"pairs": pairs_of(port)})


def pairs_of(port: Port) -> list[dict[str, str]]:
    """The port's pairs, in the order that they were given in."""
    return [{"cidr": row.cidr, "mac": row.mac} for row in AllowedAddressPair.objects.filter(port=port).order_by("id")]


def _checked(port: Port, number: int, spec: PairSpec, findings: Findings) -> tuple[Cidr | None, str]:
    field, mac = f"pairs.{number}", spec.mac.strip().lower()
    if mac and (not MAC.fullmatch(mac) or int(mac[:2], 16) & 1):
        findings.add(f"{field}.mac", gettext("%(mac)s was given; a single machine’s MAC such as 52:54:00:12:34:56 is allowed, or nothing") % {"mac": shown(spec.mac)})  # fmt: skip
    elif mac and mac == port.network.router_mac:
        findings.add(
            f"{field}.mac",
            gettext("%(mac)s was given, which is the gateway’s: nobody else may send with it") % {"mac": mac},
        )
    elif mac and Port.objects.filter(mac=mac).exclude(owned_by(owner_of(port))).exists():
        findings.add(f"{field}.mac", gettext("%(mac)s was given, which is another team’s") % {"mac": mac})
    cidr = _parse(spec.cidr, f"{field}.cidr", findings)
    if cidr is not None:
        findings.add(f"{field}.cidr", _why_not(port, cidr))
    return cidr, "" if mac == port.mac else mac


def _parse(text: str, field: str, findings: Findings) -> Cidr | None:
    """The range; an address alone is a range of one."""
    try:
        loose = ip_network(text.strip(), strict=False)
    except ValueError:
        findings.add(field, gettext("%(text)s was given; an address such as 10.20.0.200, or a range such as 10.20.0.192/28, is allowed") % {"text": shown(text)})  # fmt: skip
        return None
    if "/" in text and str(loose.network_address) != str(ip_address(text.strip().partition("/")[0])):
        findings.add(
            field,
            gettext("%(text)s was given, which has bits set behind its prefix; %(loose)s is allowed")
            % {"text": shown(text), "loose": loose},
        )
        return None
    return loose


def _why_not(port: Port, cidr: Cidr) -> str:
    least = SHORTEST_PREFIX[cidr.version]
    if cidr.prefixlen < least:
        return gettext(
            "%(cidr)s was given; prefix lengths from /%(least)s on are allowed: for more, an owner switches port security off"
        ) % {"cidr": cidr, "least": least}
    for subnet in port.network.subnets.all():
        gateway = ip_address(subnet.gateway)
        if gateway.version == cidr.version and gateway in cidr:
            return gettext(
                "%(cidr)s was given, which holds the gateway’s address %(gateway)s: nobody else may send from it"
            ) % {"cidr": cidr, "gateway": gateway}
    if cidr.is_multicast or cidr.is_loopback or cidr.is_unspecified:
        return gettext("%(cidr)s was given, which no machine may send from") % {"cidr": cidr}
    others = FixedAddress.objects.filter(port__network=port.network).exclude(owned_by(owner_of(port), "port__"))
    if any(ip_address(one) in cidr for one in others.values_list("address", flat=True)):
        return gettext("%(cidr)s was given, which holds an address of another team on %(network)s") % {
            "cidr": cidr,
            "network": port.network.name,
        }
    return ""


def _find_twice(found: list[tuple[Cidr | None, str]], findings: Findings) -> None:
    for number, pair in enumerate(found):
        if pair[0] is not None and pair in found[:number]:
            findings.add(
                f"pairs.{number}.cidr",
                gettext("%(pair)s was given twice with the same MAC") % {"pair": str(pair[0])[:SHOWN]},
            )
