"""External networks, for operators, and the addresses of them that are given out."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network

from django.db import transaction
from django.utils.translation import gettext, ngettext

from portal.networks.audited import audit
from portal.networks.intent import NO_PORT, bump_generation
from portal.networks.models import ExternalAddress, ExternalNetwork
from portal.networks.problems import (
    Address,
    Findings,
    NetworkProblem,
    check_ends,
    check_name,
    overlaps,
    parse_address,
    parse_cidr,
    parse_ends,
)
from portal.networks.segments import check_vid

# Of a network's /64, by number: `::1:0` to `::1:ffff`. A router's own address there has ff:fe in its middle (EUI-64), and
# people number their routers and servers from ::1 up.
FIRST6, LAST6 = 0x10000, 0x1FFFF


@dataclass(frozen=True, slots=True)
class ExternalSpec:
    """An external network as it was asked for; empty means: work it out, or none."""

    name: str
    cidr: str
    gateway: str = ""
    pool_start: str = ""
    pool_end: str = ""
    vid: int | None = None
    mtu: int = 1500
    cidr6: str = ""


def create_external(spec: ExternalSpec) -> ExternalNetwork:
    """The stored network. Raises NetworkProblem, and then nothing is stored."""
    with transaction.atomic():
        bump_generation(NO_PORT)
        findings = Findings()
        findings.add("name", check_name(spec.name))
        if not check_name(spec.name) and ExternalNetwork.objects.filter(name=spec.name).exists():
            findings.add(
                "name",
                gettext("there is an external network %(spec)s already: choose another name") % {"spec": spec.name},
            )
        findings.add("vid", check_vid(spec.vid))
        if not 576 <= spec.mtu <= 9216:
            findings.add("mtu", gettext("%(mtu)s was given; 576 to 9216 are allowed") % {"mtu": spec.mtu})
        values = _check_addresses(spec, findings)
        cidr6 = _check_cidr6(spec, findings)
        findings.stop()
        made = ExternalNetwork.objects.create(name=spec.name, vid=spec.vid, mtu=spec.mtu, cidr6=cidr6, **values)
        audit("create", made, after={"cidr": made.cidr, "vid": made.vid})
        return made


def delete_external(network: ExternalNetwork) -> None:
    """Raises NetworkProblem with the routers and floating addresses that still use it."""
    with transaction.atomic():
        bump_generation(NO_PORT)
        findings = Findings()
        for router in network.routers.select_related("team"):
            findings.add(
                "external",
                gettext("router %(router)s of %(team)s leads to %(network)s")
                % {"router": router.name, "team": router.team.name, "network": network.name},
            )
        floating = network.taken.filter(floating__isnull=False).count()
        if floating:
            findings.add(
                "external",
                ngettext(
                    "%(count)s floating address of it is given out",
                    "%(count)s floating addresses of it are given out",
                    floating,
                )
                % {"count": floating},
            )
        findings.stop()
        audit("delete", network, before={"cidr": network.cidr, "vid": network.vid})
        network.delete()


def take_address(network: ExternalNetwork, wanted: str = "", family: int = 4) -> ExternalAddress:
    """The lowest free address of the family's range, or the wanted one. In the caller's transaction, which holds the
    intent's lock.

    Raises NetworkProblem about the field `address`.
    """
    findings = Findings()
    asked = parse_address(wanted, "address", findings) if wanted else None
    findings.stop()
    first, last = _range(network, asked.version if asked else family)
    taken = set(network.taken.values_list("address", flat=True)) | {network.gateway}
    if asked is not None:
        if not first <= asked <= last:  # type: ignore[operator]
            raise NetworkProblem(
                {
                    "address": [
                        gettext("%(wanted)s was given; %(first)s to %(last)s are allowed on %(network)s")
                        % {"wanted": wanted, "first": first, "last": last, "network": network.name}
                    ]
                }
            )
        if str(asked) in taken:
            raise NetworkProblem(
                {
                    "address": [
                        gettext("%(asked)s was given; it is in use: leave it out to get a free one") % {"asked": asked}
                    ]
                }
            )
        return ExternalAddress.objects.create(network=network, address=str(asked))
    for offset in range(int(last) - int(first) + 1):
        if (free := str(first + offset)) not in taken:
            return ExternalAddress.objects.create(network=network, address=free)
    size = int(last) - int(first) + 1
    raise NetworkProblem(
        {
            "address": [
                gettext("all %(size)s addresses of %(network)s are in use: release one, or ask an operator")
                % {"size": size, "network": network.name}
            ]
        }
    )


def _range(network: ExternalNetwork, family: int) -> tuple[Address, Address]:
    """First and last of the addresses that are given out. Raises NetworkProblem where the network has none of the family."""
    if family == 4:
        return IPv4Address(network.pool_start), IPv4Address(network.pool_end)
    if family not in network.families:
        raise NetworkProblem(
            {
                "address": [
                    gettext("%(network)s has no IPv6: an operator gives it a /64 and a next hop")
                    % {"network": network.name}
                ]
            }
        )
    cidr = IPv6Network(network.cidr6)
    return cidr[FIRST6], cidr[LAST6]


def _check_cidr6(spec: ExternalSpec, findings: Findings) -> str:
    """The /64 that IPv6 leaves as an address of; "" where none was asked for, or with sentences about `cidr6`."""
    if not spec.cidr6.strip():
        return ""
    cidr = parse_cidr(spec.cidr6, "cidr6", findings)
    if cidr is None:
        return ""
    if not isinstance(cidr, IPv6Network) or cidr.prefixlen != 64 or cidr.is_multicast or cidr.is_link_local:
        findings.add(
            "cidr6",
            gettext("%(cidr)s was given; an IPv6 network of /64 is allowed, as routers make their address in it")
            % {"cidr": cidr},
        )
    if not spec.gateway.strip():
        findings.add(
            "gateway", gettext("nothing was given; IPv6 leaves by the same next hop as IPv4: give its IPv4 address")
        )
    for other in ExternalNetwork.objects.exclude(cidr6=""):
        if overlaps(cidr, IPv6Network(other.cidr6)):
            findings.add(
                "cidr6",
                gettext("%(cidr)s was given; %(other)s has %(cidr6)s, which shares addresses with it")
                % {"cidr": cidr, "other": other.name, "cidr6": other.cidr6},
            )
    return str(cidr)


def _check_addresses(spec: ExternalSpec, findings: Findings) -> dict[str, str | None]:
    cidr = parse_cidr(spec.cidr, "cidr", findings)
    given = parse_ends(spec.gateway, spec.pool_start, spec.pool_end, findings)
    if cidr is None:
        return {}
    if not isinstance(cidr, IPv4Network) or cidr.prefixlen > 30:
        findings.add("cidr", gettext("%(cidr)s was given; an IPv4 network of /30 or wider is allowed") % {"cidr": cidr})
        return {}
    for other in ExternalNetwork.objects.all():
        if overlaps(cidr, IPv4Network(other.cidr)):
            findings.add(
                "cidr",
                gettext("%(cidr)s was given; %(other)s has %(cidr_2)s, which shares addresses with it")
                % {"cidr": cidr, "other": other.name, "cidr_2": other.cidr},
            )
    first, last = cidr[1], cidr[-2]
    gateway = given.get("gateway")
    start = given.get("pool_start") or (first + 1 if gateway == first else first)
    end = given.get("pool_end") or last
    check_ends(cidr, (first, last), gateway, (start, end), findings)
    return {
        "cidr": str(cidr), "gateway": str(gateway) if gateway else None, "pool_start": str(start), "pool_end": str(end)
    }  # fmt: skip
