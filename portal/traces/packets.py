"""The packets that a trace can be asked of: what the form offers, and what each needs to be complete."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from django.utils.translation import gettext, gettext_noop

from portal.networks.models import Port

Wire = Literal["icmp", "tcp", "udp", "sctp", "arp", "nd"]
ALL_HOSTS = "255.255.255.255"


@dataclass(frozen=True, slots=True)
class PacketKind:
    """`wire` is the protocol on the wire; `ports` (from, to) are given by it, else asked for where `asks_port`."""

    label: str
    wire: Wire
    asks_port: bool = False
    ports: tuple[int, int] | None = None
    family: int = 0  # the only IP version that has it
    has_answer: bool = True  # of its own: a way back that the same connection takes


KINDS: dict[str, PacketKind] = {
    "icmp": PacketKind("ICMP: ping", "icmp"),
    "tcp": PacketKind("TCP", "tcp", asks_port=True),
    "udp": PacketKind("UDP", "udp", asks_port=True),
    "sctp": PacketKind("SCTP", "sctp", asks_port=True),
    "arp": PacketKind(gettext_noop("ARP: who has this IPv4 address?"), "arp", family=4, has_answer=False),
    "nd": PacketKind(gettext_noop("ND: who has this IPv6 address?"), "nd", family=6, has_answer=False),
    "dhcp": PacketKind(gettext_noop("DHCP: which address is mine?"), "udp", ports=(68, 67), family=4, has_answer=False),
    "dns": PacketKind(gettext_noop("DNS: a question to a name server"), "udp", ports=(49152, 53)),
}
PROTOCOLS = tuple(KINDS)
WITH_PORTS = tuple(name for name, kind in KINDS.items() if kind.asks_port)


def target_of_itself(protocol: str, source: Port | None) -> str:
    """Where such a packet goes when nobody says: a DHCP question to all, a DNS one to the gateway; "" for the others."""
    if protocol == "dhcp":
        return ALL_HOSTS
    if protocol != "dns" or source is None:
        return ""
    gateways = [subnet.gateway for subnet in source.network.subnets.all()]
    return min(gateways, key=lambda one: ":" in one, default="")


def family_problem(protocol: str, versions: Collection[int], name: str) -> str:
    """Why these address families cannot send such a packet, in words; "" when they can."""
    family = KINDS[protocol].family if protocol in KINDS else 0
    if not family or family in versions or not versions:
        return ""
    return gettext("%(protocol)s is a question of IPv%(family)s, and %(name)s has no address of that family") % {
        "protocol": protocol,
        "family": family,
        "name": name,
    }
