"""What leaves a router: through the tunnel to its gateway host, and translated there.

A floating address goes before the router's own. Both directions of a connection meet the same `ct(nat)` in the router's
zone, so what is known is translated as it began. `translated` then lets out only what has an address that the router
has now: a connection of a floating address that was taken away stops at once, and no private address ever leaks.
"""

from __future__ import annotations

from collections.abc import Iterator

from sdn.compiler.build import Match, drop, flow, goto, load, reg
from sdn.compiler.routing import Routed
from sdn.compiler.tunnels import encapsulate
from sdn.model.cookie import Cause, CauseKind
from sdn.model.flow import Flow
from sdn.model.intent import Address, Cidr, FloatingIntent
from sdn.pipeline import FLAG_PROBE, PROBE_VNI_BIT, TABLE_BY_NAME, Register


def nat_flows(routed: Routed, tunnel_ofport: int | None) -> Iterator[Flow]:
    """The router's flows of the tables nat and translated, and its way in from the tunnel on its gateway host."""
    if routed.external is None:
        return
    if not routed.is_gateway:
        yield flow("nat", 100, routed.cause, routed.mark, _to_gateway(routed, tunnel_ofport))
        return
    yield from _arrivals(routed, tunnel_ofport)
    yield from _translations(routed)
    yield from _guards(routed)


def floating_cause(floating: FloatingIntent) -> Cause:
    """Why a flow of a floating address is there."""
    return Cause(CauseKind.FLOATING_ADDRESS, floating.id)


def _to_gateway(routed: Routed, tunnel_ofport: int | None) -> tuple[str, ...]:
    if routed.gateway is None or tunnel_ofport is None:
        return drop("nat", "external_down")
    return (*encapsulate(routed.router.vni, routed.gateway, tunnel_ofport), goto("nat", "output"))


def _arrivals(routed: Routed, tunnel_ofport: int | None) -> Iterator[Flow]:
    """From the other hosts' tunnels: routed there already."""
    if tunnel_ofport is None:
        return
    vni = routed.router.vni
    known = (load(vni, Register.VNI), load(vni, Register.ROUTER), goto("classify", "nat"))
    tunnel = {"in_port": str(tunnel_ofport)}
    yield flow("classify", 100, routed.cause, {**tunnel, "tun_id": f"{vni:#x}"}, known)
    probe = {**tunnel, "tun_id": f"{vni | PROBE_VNI_BIT:#x}"}
    yield flow("classify", 100, routed.cause, probe, (load(FLAG_PROBE, Register.FLAGS), *known))


def _translations(routed: Routed) -> Iterator[Flow]:
    served = _served(routed)
    for floating in routed.router.floating:
        if any(floating.fixed in cidr for cidr in served):
            own = {**routed.mark, **_from(floating.fixed)}
            yield flow("nat", 110, floating_cause(floating), own, _source(routed, str(floating.address)))
    seen_as = {4: routed.router.external_address, 6: routed.address6}
    for cidr in served:
        if (address := seen_as[cidr.version]) is not None:
            kind, field = ("ip", "nw_src") if cidr.version == 4 else ("ipv6", "ipv6_src")
            own = {**routed.mark, kind: "", **({field: str(cidr)} if cidr.prefixlen else {})}
            yield flow("nat", 100, routed.cause, own, _source(routed, str(address)))
    yield flow("nat", 50, routed.cause, routed.mark, drop("nat", "not_attached"))


def _from(address: Address) -> Match:
    return {"ip": "", "nw_src": str(address)} if address.version == 4 else {"ipv6": "", "ipv6_src": str(address)}


def _served(routed: Routed) -> list[Cidr]:
    """Whose packets the router takes outside: its subnets', and those that it has a route to. Another's answers would not
    find back, and a subnet that is not attached stays inside."""
    cidrs = {leg.subnet.cidr for leg in routed.legs} | {route.destination for route in routed.router.routes}
    return sorted(cidrs, key=str)


def _source(routed: Routed, address: str) -> tuple[str, ...]:
    there = TABLE_BY_NAME["translated"].table_id
    return (f"ct(commit,table={there},zone={routed.router.zone},nat(src={address}))",)


def _guards(routed: Routed) -> Iterator[Flow]:
    router, external = routed.router, routed.external
    assert external is not None
    invalid = {**routed.mark, "ct_state": "+inv+trk"}
    yield flow("translated", 110, routed.cause, invalid, drop("translated", "invalid_state"))
    leave = (
        f"set_field:{router.external_mac}->eth_src",
        load(external.id & 0xFFFFFFFF, Register.EXTERNAL),
        load(0, Register.ROUTER),
        goto("translated", "external_route"),
    )
    for own in (router.external_address, routed.address6):
        if own is not None:
            yield flow("translated", 100, routed.cause, {**routed.mark, **_from(own)}, leave)
    for floating in router.floating:
        yield flow("translated", 100, floating_cause(floating), {**routed.mark, **_from(floating.address)}, leave)


def external_mark(external_id: int) -> Match:
    """The match of packets that go to, or came from, an external network."""
    return {reg(Register.EXTERNAL): f"{external_id & 0xFFFFFFFF:#x}"}
