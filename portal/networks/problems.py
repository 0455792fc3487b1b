"""What is wrong with a request about networks: every field's sentences at once, and the small checks they share."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeVar

from django.db import transaction
from django.utils.translation import gettext

T = TypeVar("T")
Address = IPv4Address | IPv6Address
Cidr = IPv4Network | IPv6Network
Errors = dict[str, list[str]]

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
SHOWN = 45  # characters of what was given that are repeated


class NetworkProblem(Exception):
    """Nothing was changed. `errors` holds field → sentences, all at once."""

    def __init__(self, errors: Errors) -> None:
        super().__init__("; ".join(line for lines in errors.values() for line in lines))
        self.errors = errors


class Findings:
    """Collects what is wrong, field by field, and raises it all at once."""

    def __init__(self) -> None:
        self.errors: Errors = {}

    def add(self, field: str, sentence: str) -> None:
        """One more sentence about a field; an empty one is nothing wrong."""
        if sentence:
            self.errors.setdefault(field, []).append(sentence)

    def stop(self) -> None:
        """Raise NetworkProblem when anything was found."""
        if self.errors:
            raise NetworkProblem(self.errors)


def all_at_once(errors: Errors, make: Callable[[], T]) -> T:
    """What `make` makes. Where the form was wrong by itself (a number that is none) nothing is, and NetworkProblem tells
    that together with everything that `make` finds wrong."""
    try:
        with transaction.atomic():
            made = make()
            if errors:
                raise NetworkProblem({})
            return made
    except NetworkProblem as problem:
        raise NetworkProblem({**problem.errors, **errors}) from None


def shown(text: str) -> str:
    """What was given, short enough for a sentence."""
    return gettext("“%(text)s”") % {"text": text if len(text) <= SHOWN else text[:SHOWN] + "…"}


def check_name(text: str) -> str:
    """What is wrong with a name, or nothing."""
    if NAME.fullmatch(text):
        return ""
    return gettext("%(text)s was given; allowed are 1 to 40 of a-z, 0-9 and -, not at either end") % {
        "text": shown(text)
    }


def parse_address(text: str, field: str, findings: Findings) -> Address | None:
    """The address, or None with a sentence about the field."""
    try:
        return ip_address(text.strip())
    except ValueError:
        findings.add(
            field, gettext("%(text)s was given; an IP address such as 10.20.0.1 is allowed") % {"text": shown(text)}
        )
        return None


def parse_ends(gateway: str, pool_start: str, pool_end: str, findings: Findings) -> dict[str, Address | None]:
    """A subnet's gateway and the ends of its pool, as far as they were given; None with a sentence about the field."""
    texts = {"gateway": gateway, "pool_start": pool_start, "pool_end": pool_end}
    return {field: parse_address(text, field, findings) for field, text in texts.items() if text.strip()}


def check_ends(
    cidr: Cidr,
    hosts: tuple[Address, Address],
    gateway: Address | None,
    pool: tuple[Address, Address],
    findings: Findings,
) -> None:
    """Finds what lies outside of the addresses that hosts may have, and a pool that ends before it starts."""
    (first, last), (start, end) = hosts, pool
    for field, address in (("gateway", gateway), ("pool_start", start), ("pool_end", end)):
        if address is None or (address.version == cidr.version and int(first) <= int(address) <= int(last)):
            continue
        findings.add(
            field,
            gettext("%(address)s was given; %(first)s to %(last)s are the addresses of %(cidr)s")
            % {"address": address, "first": first, "last": last, "cidr": cidr},
        )
    if int(start) > int(end):
        findings.add(
            "pool_end",
            gettext("%(end)s was given, which is before the pool's start %(start)s") % {"end": end, "start": start},
        )


def parse_cidr(text: str, field: str, findings: Findings) -> Cidr | None:
    """The network, or None with a sentence about the field; bits behind the prefix are told with what was meant."""
    try:
        loose = ip_network(text.strip(), strict=False)
    except ValueError:
        findings.add(
            field,
            gettext("%(text)s was given; an address and a prefix length such as 10.20.0.0/24 is allowed")
            % {"text": shown(text)},
        )
        return None
    if "/" not in text:
        findings.add(
            field,
            gettext("%(text)s was given without a prefix length; %(network_address)s/24 is allowed")
            % {"text": shown(text), "network_address": loose.network_address},
        )
        return None
    try:
        return ip_network(text.strip())
    except ValueError:
        findings.add(
            field,
            gettext("%(text)s was given, which has bits set behind its prefix; %(loose)s is allowed")
            % {"text": shown(text), "loose": loose},
        )
        return None


def overlaps(one: Cidr, other: Cidr) -> bool:
    """Whether they share an address; networks of different families never do."""
    return one.version == other.version and one.overlaps(other)
