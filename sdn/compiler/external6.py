"""IPv6 on an external network, on the gateway host: out as the router's own address there (docs/adr/0007) or a
floating one (docs/adr/0011), and in.

It leaves by the MAC of the IPv4 next hop, so that one ARP question serves both families. Others find our address by
neighbour discovery; as in neighbours.py the advertisement is made of the solicitation, in two passes of the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address

from sdn.compiler.build import Match, drop, flow, format_value, goto, load, reg
from sdn.compiler.neighbours import OVERRIDE, ROUTER, SLLA, SOLICITED, TLLA
from sdn.compiler.port_security import NA, NS
from sdn.compiler.responders import PORT_IN_PORT
from sdn.compiler.segments import vlan_tag
from sdn.model.addresses import Mac
from sdn.model.cookie import Cause
from sdn.model.flow import Flow
from sdn.model.intent import ExternalIntent, RouterIntent
from sdn.pipeline import TABLE_BY_NAME, Register

ECHO_REQUEST, ECHO_REPLY = "128", "129"


@dataclass(frozen=True, slots=True)
class Ours6:
    """One IPv6 address there that this host answers for: a router's own, or a floating one, which stands for `fixed`."""

    address: IPv6Address
    mac: Mac
    router: RouterIntent
    cause: Cause
    fixed: IPv6Address | None


def way_out6(external: ExternalIntent, mark: Match, cause: Cause) -> Iterator[Flow]:
    """What is translated goes to the next hop, whose MAC is known or asked for as for IPv4."""
    if external.cidr6 is not None and external.gateway is not None:
        leave = (load(int(external.gateway), Register.NEXT_HOP), goto("external_route", "external_neighbour"))
        yield flow("external_route", 90, cause, {**mark, "ipv6": ""}, leave)


def external6_flows(external: ExternalIntent, mark: Match, ours: Ours6) -> Iterator[Flow]:
    """The address's flows of external_in, of external_route for what comes from here, of route for what is part of nothing."""
    turn = ("ct_clear", "set_field:0->in_port", f"set_field:{ours.mac}->eth_dst")  # as in external.py
    from_here: Match = {**mark, "ipv6": "", "ipv6_dst": str(ours.address)}
    yield flow("external_route", 200, ours.cause, from_here, (*turn, goto("external_route", "external_in")))
    yield from _neighbour(external, mark, ours)
    to: Match = {**mark, "dl_dst": ours.mac, "ipv6": "", "ipv6_dst": str(ours.address)}
    for ttl in ("0", "1"):
        yield flow("external_in", 130, ours.cause, {**to, "nw_ttl": ttl}, drop("external_in", "ttl_exceeded"))
    if ours.fixed is None:
        yield from _echoes(external, mark, ours)
    there, nat = TABLE_BY_NAME["route"].table_id, f"nat(dst={ours.fixed})" if ours.fixed is not None else "nat"
    track = f"ct({'commit,' if ours.fixed is not None else ''}table={there},zone={ours.router.zone},{nat})"
    yield flow("external_in", 100, ours.cause, to, (load(ours.router.vni, Register.ROUTER), track))
    left: Match = {**mark, reg(Register.ROUTER): f"{ours.router.vni:#x}", "ipv6": "", "ipv6_dst": str(ours.address)}
    yield flow("route", 490, ours.cause, left, drop("route", "nobody_asked"))


def _echoes(external: ExternalIntent, mark: Match, ours: Ours6) -> Iterator[Flow]:
    """Ping of a router's own address, from outside and from another router of this host."""
    asked: Match = {**mark, "dl_dst": ours.mac, "icmp6": "", "icmp_type": ECHO_REQUEST, "ipv6_dst": str(ours.address)}
    reply = (
        "move:NXM_NX_IPV6_SRC[]->NXM_NX_IPV6_DST[]",
        f"set_field:{ours.address}->ipv6_src",
        f"set_field:{ECHO_REPLY}->icmpv6_type",
    )
    again = f"resubmit(,{TABLE_BY_NAME['external_route'].table_id})"
    yield flow("external_in", 120, ours.cause, {**asked, "in_port": "0"}, (*reply, again))
    yield flow("external_in", 110, ours.cause, asked, (*_swapped(ours), *reply, *_back(external)))


def _neighbour(external: ExternalIntent, mark: Match, ours: Ours6) -> Iterator[Flow]:
    asked: Match = {**mark, "icmp6": "", "icmp_type": NS, "icmp_code": "0", "nd_target": str(ours.address), "nd_options_type": SLLA}  # fmt: skip
    flags = SOLICITED | OVERRIDE | (ROUTER if ours.fixed is None else 0)
    tell = (
        *_swapped(ours),
        "move:NXM_NX_IPV6_SRC[]->NXM_NX_IPV6_DST[]",
        f"set_field:{ours.address}->ipv6_src",
        f"set_field:{NA}->icmpv6_type",
        f"set_field:{flags}->nd_reserved",
        f"set_field:{TLLA}->nd_options_type",
        load(PORT_IN_PORT, Register.OUT),
        f"resubmit(,{TABLE_BY_NAME['external_in'].table_id})",
    )
    yield flow("external_in", 140, ours.cause, asked, tell)
    made: Match = {**mark, "icmp6": "", "icmp_type": NA, "icmp_code": "0", "ipv6_src": str(ours.address), reg(Register.OUT): format_value(PORT_IN_PORT)}  # fmt: skip
    fill = ("move:NXM_OF_ETH_SRC[]->NXM_NX_ND_TLL[]", *vlan_tag(external.vid), goto("external_in", "output"))
    yield flow("external_in", 140, ours.cause, made, fill)


def _swapped(ours: Ours6) -> tuple[str, ...]:
    return ("move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]", f"set_field:{ours.mac}->eth_src")


def _back(external: ExternalIntent) -> tuple[str, ...]:
    return (*vlan_tag(external.vid), load(PORT_IN_PORT, Register.OUT), goto("external_in", "output"))
