"""Asking for routers, and what they join: checked whole, stored in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network

from django.db import transaction

from portal.accounts.models import Team
from portal.networks import numbers
from portal.networks.audited import audit
from portal.networks.external_requests import take_address
from portal.networks.gateways import assign_gateway
from portal.networks.intent import NO_PORT, bump_generation
from portal.networks.models import (
    ExternalNetwork,
    FixedAddress,
    FloatingAddress,
    Router,
    RouterPort,
    StaticRoute,
    Subnet,
)
from portal.networks.problems import Findings, check_name, overlaps, parse_address, parse_cidr


@dataclass(frozen=True, slots=True)
class RouterSpec:
    """A router as it was asked for."""

    name: str
    subnets: tuple[Subnet, ...] = ()
    external: ExternalNetwork | None = None


def create_router(team: Team, spec: RouterSpec) -> Router:
    """The stored router. Raises NetworkProblem, and then nothing is stored."""
    with transaction.atomic():
        bump_generation(NO_PORT)
        findings = Findings()
        findings.add("name", check_name(spec.name))
        if not check_name(spec.name) and Router.objects.filter(team=team, name=spec.name).exists():
            findings.add("name", f"{team.name} has a router {spec.name} already: choose another name")
        router = Router(
            team=team, name=spec.name, vni=numbers.next_router_vni(), zone=numbers.next_router_zone(),
            external_mac=numbers.new_external_mac(), external=spec.external,
        )  # fmt: skip
        joined: list[Subnet] = []
        for subnet in spec.subnets:
            _check_leg(router, subnet, joined, findings)
            joined.append(subnet)
        findings.stop()
        router.save()
        RouterPort.objects.bulk_create(RouterPort(router=router, subnet=subnet) for subnet in joined)
        if spec.external is not None:
            _lead_outside(router, spec.external)
        audit("create", router, after={"subnets": [subnet.cidr for subnet in joined], "external": _name(spec.external)})
        return router


def delete_router(router: Router) -> None:
    """Raises NetworkProblem with the floating addresses that still need it."""
    with transaction.atomic():
        bump_generation(NO_PORT)
        findings = Findings()
        for floating in floating_of(router):
            findings.add(
                "router", f"floating address {floating} leads through {router.name}: take it from its VM first"
            )
        findings.stop()
        address = router.external_address
        audit("delete", router)
        router.delete()
        if address is not None:
            address.delete()


def attach_subnet(router: Router, subnet: Subnet) -> RouterPort:
    """One more leg. Raises NetworkProblem about the field `subnet`."""
    with transaction.atomic():
        bump_generation(NO_PORT)
        findings = Findings()
        _check_leg(router, subnet, [leg.subnet for leg in router.ports.select_related("subnet")], findings)
        findings.stop()
        audit("attach", router, after={"subnet": subnet.cidr})
        return RouterPort.objects.create(router=router, subnet=subnet)


def detach_subnet(port: RouterPort) -> None:
    """Raises NetworkProblem with the floating addresses and routes that still need it."""
    with transaction.atomic():
        bump_generation(NO_PORT)
        findings = Findings()
        cidr = ip_network(port.subnet.cidr)
        for floating in floating_of(port.router).filter(fixed__subnet=port.subnet):
            findings.add("subnet", f"floating address {floating} stands for one of {cidr}: take it from its VM first")
        for route in port.router.routes.all():
            next_hop = parse_address(route.next_hop, "subnet", findings)
            if next_hop is not None and next_hop in cidr:
                findings.add("subnet", f"the route to {route.destination} has its next hop in {cidr}: remove it first")
        findings.stop()
        audit("detach", port.router, before={"subnet": port.subnet.cidr})
        port.delete()


def check_route(router: Router, destination: str, next_hop: str, *, is_replacing: bool = False) -> tuple[str, str]:
    """A new route's destination and next hop, as they would be stored. Raises NetworkProblem. `is_replacing`: it takes
    the place of the one to the same destination."""
    findings = Findings()
    to, via = parse_cidr(destination, "destination", findings), parse_address(next_hop, "next_hop", findings)
    legs = [leg.subnet for leg in router.ports.select_related("subnet")]
    home = next((one for one in legs if via is not None and via in ip_network(one.cidr)), None)
    if via is not None and home is None:
        allowed = " or ".join(one.cidr for one in legs) or "a subnet: attach one first"
        findings.add("next_hop", f"{via} was given; an address of {allowed} is allowed")
    if home is not None and str(via) == home.gateway:
        findings.add("next_hop", f"{via} was given, which is {router.name} itself: packets would go round in it")
    if to is not None and via is not None and to.version != via.version:
        findings.add("next_hop", f"{via} was given; a route to {to} needs an IPv{to.version} address")
    if to is not None and any(to == ip_network(one.cidr) for one in legs):
        findings.add("destination", f"{to} was given, which is attached to {router.name}: no route is needed")
    if to is not None and not is_replacing and router.routes.filter(destination=str(to)).exists():
        findings.add("destination", f"{to} was given; there is a route to it already: remove that one first")
    findings.stop()
    return str(to), str(via)


def add_route(router: Router, destination: str, next_hop: str) -> StaticRoute:
    """A static route. Raises NetworkProblem."""
    with transaction.atomic():
        bump_generation(NO_PORT)
        to, via = check_route(router, destination, next_hop)
        audit("route_add", router, after={"destination": to, "next_hop": via})
        return StaticRoute.objects.create(router=router, destination=to, next_hop=via)


def remove_route(route: StaticRoute) -> None:
    """Forget a static route."""
    with transaction.atomic():
        bump_generation(NO_PORT)
        audit("route_remove", route.router, before={"destination": route.destination, "next_hop": route.next_hop})
        route.delete()


def set_external(router: Router, external: ExternalNetwork | None) -> None:
    """Lead outside by this network, or by none. Raises NetworkProblem about the field `external`."""
    with transaction.atomic():
        bump_generation(NO_PORT)
        findings = Findings()
        if external != router.external:
            for floating in floating_of(router):
                findings.add(
                    "external", f"floating address {floating} is in use on {router.external}: take it from its VM first"
                )
        for leg in router.ports.select_related("subnet"):
            if external is not None and overlaps(ip_network(leg.subnet.cidr), ip_network(external.cidr)):
                findings.add(
                    "external", f"{external.name} has {external.cidr}, which shares addresses with {leg.subnet.cidr}"
                )
        findings.stop()
        if external == router.external:
            return
        audit("external", router, before={"external": _name(router.external)}, after={"external": _name(external)})
        before, router.external_address, router.external, router.gateway_host = (
            router.external_address,
            None,
            None,
            None,
        )
        router.save()
        if before is not None:
            before.delete()
        if external is not None:
            _lead_outside(router, external)


def _name(external: ExternalNetwork | None) -> str | None:
    return external.name if external else None


def floating_of(router: Router):  # type: ignore[no-untyped-def]
    """The floating addresses in use through the router."""
    rows = FloatingAddress.objects.filter(fixed__subnet__router_port__router=router)
    return rows.select_related("address", "fixed")


def _lead_outside(router: Router, external: ExternalNetwork) -> None:
    router.external, router.external_address = external, take_address(external)
    assign_gateway(router)
    router.save()


def _check_leg(router: Router, subnet: Subnet, joined: list[Subnet], findings: Findings) -> None:
    cidr = ip_network(subnet.cidr)
    if subnet.network.is_provider:
        findings.add(
            "subnet",
            f"{subnet.cidr} of {subnet.network} has its router outside, at {subnet.gateway}: no other can be attached",
        )
        return
    taken = RouterPort.objects.filter(subnet=subnet).select_related("router").first()
    if taken is not None:
        findings.add(
            "subnet", f"{subnet.cidr} is attached to router {taken.router.name} already: detach it there first"
        )
        return
    for other in joined:
        if overlaps(cidr, ip_network(other.cidr)):
            findings.add(
                "subnet",
                f"{subnet.cidr} of {subnet.network} shares addresses with {other.cidr} of {other.network}: one router can't lead to both",
            )
    sibling = RouterPort.objects.filter(subnet__network=subnet.network).exclude(router_id=router.pk).first()
    if sibling is not None:
        findings.add(
            "subnet",
            f"network {subnet.network} is attached to router {sibling.router.name} by {sibling.subnet.cidr}: a network has one router",
        )
    if router.external is not None and overlaps(cidr, ip_network(router.external.cidr)):
        findings.add(
            "subnet",
            f"{subnet.cidr} shares addresses with the external network {router.external} ({router.external.cidr})",
        )
    owner = FixedAddress.objects.filter(subnet=subnet, address=subnet.gateway).select_related("port").first()
    if owner is not None:
        findings.add(
            "subnet",
            f"the gateway address {subnet.gateway} of {subnet.cidr} is {owner.port.name}'s: delete that port first",
        )
