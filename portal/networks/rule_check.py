"""What a person says of a rule becomes its columns, or every problem with it at once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_interface, ip_network
from typing import Any

from django.utils.translation import gettext

from portal.networks.models import Direction, Protocol, SecurityGroup

WITH_PORTS = (Protocol.TCP, Protocol.UDP, Protocol.SCTP)
PORTS = re.compile(r"(\d{1,5})(?:\s*[-–:]\s*(\d{1,5}))?")
ICMP = re.compile(r"(\d{1,3})(?:\s*/\s*(\d{1,3}))?")
Errors = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """A rule as given: `ports` is "", "22", "80-90", or for icmp a type ("8") or type and code ("3/4")."""

    direction: str = "ingress"
    family: str = "4"
    protocol: str = "tcp"
    ports: str = ""
    cidr: str = ""
    remote_group: SecurityGroup | None = None


def check_rule(spec: RuleSpec) -> tuple[dict[str, Any], Errors]:
    """The columns of the rule's row, and field → what is wrong with it; the columns are whole when nothing is."""
    errors: Errors = {}
    columns: dict[str, Any] = {"remote_group": spec.remote_group, "cidr": ""}
    for field, given, choices in (
        ("direction", spec.direction, Direction.values),
        ("family", spec.family, ["4", "6"]),
        ("protocol", spec.protocol, Protocol.values),
    ):
        columns[field] = given
        if given not in choices:
            errors[field] = [
                gettext("“%(given)s” was given; allowed are %(choices)s")
                % {"given": _short(given), "choices": ", ".join(choices)}
            ]
    if "family" not in errors:
        columns["family"] = int(spec.family)
    if "protocol" not in errors:
        columns["number_first"], columns["number_last"], wrong = _numbers(spec.protocol, spec.ports.strip())
        if wrong:
            errors["ports"] = [wrong]
    if spec.cidr.strip():
        columns["cidr"], wrong = _cidr(spec.cidr.strip(), spec.family)
        if spec.remote_group is not None:
            wrong = gettext("%(cidr)s and the group %(remote_group)s were given; one of the two is allowed") % {
                "cidr": _short(spec.cidr),
                "remote_group": spec.remote_group.name,
            }
        if wrong:
            errors["cidr"] = [wrong]
    return columns, errors


def _numbers(protocol: str, text: str) -> tuple[int | None, int | None, str]:
    if not text:
        return None, None, ""
    if protocol == Protocol.ICMP:
        return _icmp(text)
    if protocol not in WITH_PORTS:
        return (
            None,
            None,
            gettext("“%(text)s” was given; only tcp, udp and sctp have ports: choose one, or leave it empty")
            % {"text": _short(text)},
        )
    found = PORTS.fullmatch(text)
    if not found:
        return (
            None,
            None,
            gettext("“%(text)s” was given; a port (22) or a range (8000-8080) is allowed, or nothing for all")
            % {"text": _short(text)},
        )
    first, last = int(found[1]), int(found[2] or found[1])
    if first > last:
        return (
            None,
            None,
            gettext("%(first)s-%(last)s was given; the first port must not be above the last: %(last)s-%(first)s?")
            % {"first": first, "last": last},
        )
    if not (first >= 1 and last <= 65535):
        return None, None, gettext("%(text)s was given; 1 to 65535 is allowed") % {"text": text}
    return first, last, ""


def _icmp(text: str) -> tuple[int | None, int | None, str]:
    found = ICMP.fullmatch(text)
    if not found or int(found[1]) > 255 or int(found[2] or 0) > 255:
        words = gettext(
            "icmp has no ports: a type (8 is ping), or type and code (3/4), each 0 to 255, is allowed, or nothing for all"
        )
        return None, None, gettext("“%(text)s” was given; %(words)s") % {"text": _short(text), "words": words}
    return int(found[1]), int(found[2]) if found[2] else None, ""


def _cidr(text: str, family: str) -> tuple[str, str]:
    try:
        network = ip_network(text)
    except ValueError:
        return "", _not_a_cidr(text)
    if str(network.version) != family:
        return "", gettext("%(network)s was given, which is IPv%(version)s; the rule is for IPv%(family)s") % {
            "network": network,
            "version": network.version,
            "family": _short(family),
        }
    return str(network), ""


def _not_a_cidr(text: str) -> str:
    try:
        meant = ip_interface(text)
    except ValueError:
        return gettext(
            "“%(text)s” was given; a network such as 10.0.0.0/8 or 2001:db8::/32 is allowed, or nothing for anybody"
        ) % {"text": _short(text)}
    return gettext(
        "%(text)s was given, which has host bits; the network is %(network)s, that one host is %(ip)s/%(max_prefixlen)s"
    ) % {"text": text, "network": meant.network, "ip": meant.ip, "max_prefixlen": meant.max_prefixlen}


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}… ({len(text)} characters)"
