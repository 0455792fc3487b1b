"""Packets that come from outside: to which addresses they may be asked about, and where they come from."""

from __future__ import annotations

from ipaddress import ip_address

from django.utils.translation import gettext

from portal.accounts.models import Team
from portal.networks.models import ExternalNetwork, FloatingAddress, Port
from portal.networks.router_models import family_of

Errors = dict[str, list[str]]
FROM_OUTSIDE = ("icmp", "tcp", "udp", "sctp")
SHOWN_CHARS = 60
SOMEBODY_4, SOMEBODY_6 = "198.51.100.1", "2001:db8::1"  # of the documentation: RFC 5737, RFC 3849
NO_FLOATING = "nothing outside reaches it: give it a floating address on its page"


def floating_of(port: Port) -> FloatingAddress | None:
    """The floating address that stands for the port, with its network, IPv4 first; None where nothing outside reaches it."""
    rows = FloatingAddress.objects.filter(fixed__port=port).select_related("address__network", "fixed")
    return min(rows, key=lambda row: row.family, default=None)


def find_floating(team: Team, text: str, family: int = 0) -> tuple[FloatingAddress | None, str]:
    """(floating address, problem) of what was typed as the target of a packet from outside: it, or its VM's name.

    Of a VM's several it is that of the `family`, where one is asked for and there is one.
    """
    given = _as_written(text.strip())
    of_team = FloatingAddress.objects.filter(team=team).select_related("address__network", "fixed__port")
    rows = sorted(of_team, key=lambda row: (row.family != family, row.family))
    named = [row for row in rows if row.fixed is not None and given in (row.fixed.port.name, str(row.fixed.port.uuid))]
    found = next(iter(named), None) or next((row for row in rows if row.address.address == given), None)
    if found is None:
        have = ", ".join(row.address.address for row in rows[:6]) or "none"
        return None, gettext("target %(given)s was given; from outside a floating address is reached, or its VM's name (%(team)s has %(have)s)") % {"given": f"{given[:SHOWN_CHARS]!r}", "team": team.name, "have": have}  # fmt: skip
    if found.fixed is None:
        return None, gettext("floating address %(found)s stands for no VM now: give it to one first") % {"found": found}
    return found, ""


def _as_written(text: str) -> str:
    """An address as its row has it; anything else as it is."""
    try:
        return str(ip_address(text))
    except ValueError:
        return text


def outside_errors(address: str, source_address: str, protocol: str) -> Errors:
    """What is wrong with a packet from outside; the rest of the question is checked like any other's."""
    errors: Errors = {}
    if not address:
        errors["target"] = [NO_FLOATING]
    if protocol not in FROM_OUTSIDE:
        errors["protocol"] = [gettext("%(protocol)s stays on one network; from outside come %(from_outside)s") % {"protocol": protocol[:SHOWN_CHARS], "from_outside": ', '.join(FROM_OUTSIDE)}]  # fmt: skip
    if source_address and (problem := _source_problem(source_address, family_of(address) if address else 4)):
        errors["source_address"] = [problem]
    return errors


def _source_problem(text: str, family: int) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        return gettext(
            "%(text)s was given; an IPv%(family)s address is allowed, or nothing for the network's gateway"
        ) % {"text": f"{text[:SHOWN_CHARS]!r}", "family": family}
    if (
        address.version != family
        or address.is_multicast
        or address.is_unspecified
        or address == ip_address("255.255.255.255")
    ):
        return gettext(
            "%(text)s is no address of a single IPv%(family)s host, which that floating address is reached from"
        ) % {"text": text, "family": family}
    return ""


def source_of(external: ExternalNetwork, given: str = "", family: int = 4) -> str:
    """The address that a packet from there comes from: the given one, the network's gateway, or one of the documentation's."""
    if family == 6:
        return given or SOMEBODY_6
    return given or external.gateway or SOMEBODY_4


def outside_address(text: str) -> str:
    """A browser's address where it is one that packets come from outside with; "" for none of use."""
    return text if text and not _source_problem(text, 4) and not ip_address(text).is_loopback else ""
