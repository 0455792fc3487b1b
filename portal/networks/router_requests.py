"""Asking for routers, and what they join: checked whole, stored in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network

from django.db import transaction
from django.utils.translation import gettext

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
            findings.add(
                "name",
                gettext("%(team)s has a router %(spec)s already: choose another name")
                % {"team": team.name, "spec": spec.name},
            )
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
                "router",
                gettext("floating address %(floating)s leads through %(router)s: take it from its VM first")
                % {"floating": floating, "router": router.name},
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
            findings.add(
                "subnet",
                gettext("floating address %(floating)s stands for one of %(cidr)s: take it from its VM first")
                % {"floating": floating, "cidr": cidr},
            )
        for route in port.router.routes.all():
            next_hop = parse_address(route.next_hop, "subnet", findings)
            if next_hop is not None and next_hop in cidr:
                findings.add(
                    "subnet",
                    gettext("the route to %(destination)s has its next hop in %(cidr)s: remove it first")
                    % {"destination": route.destination, "cidr": cidr},
                )
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
        allowed = " or ".join(one.cidr for one in legs) or gettext("a subnet: attach one first")
        findings.add(
            "next_hop",
            gettext("%(via)s was given; an address of %(allowed)s is allowed") % {"via": via, "allowed": allowed},
        )
    if home is not None and str(via) == home.gateway:
        findings.add(
            "next_hop",
            gettext("%(via)s was given, which is %(router)s itself: packets would go round in it")
            % {"via": via, "router": router.name},
        )
    if to is not None and via is not None and to.version != via.version:
        findings.add(
            "next_hop",
            gettext("%(via)s was given; a route to %(to)s needs an IPv%(version)s address")
            % {"via": via, "to": to, "version": to.version},
        )
    if to is not None and any(to == ip_network(one.cidr) for one in legs):
        findings.add(
            "destination",
            gettext("%(to)s was given, which is attached to %(router)s: no route is needed")
            % {"to": to, "router": router.name},
        )
    if to is not None and not is_replacing and router.routes.filter(destination=str(to)).exists():
        findings.add(
            "destination",
            gettext("%(to)s was given; there is a route to it already: remove that one first") % {"to": to},
        )
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
                    "external",
                    gettext("floating address %(floating)s is in use on %(external)s: take it from its VM first")
                    % {"floating": floating, "external": router.external},
                )
        for leg in router.ports.select_related("subnet"):
            if external is not None and overlaps(ip_network(leg.subnet.cidr), ip_network(external.cidr)):
                findings.add(
                    "external",
                    gettext("%(external)s has %(cidr)s, which shares addresses with %(cidr_2)s")
                    % {"external": external.name, "cidr": external.cidr, "cidr_2": leg.subnet.cidr},
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
            gettext("%(cidr)s of %(network)s has its router outside, at %(gateway)s: no other can be attached")
            % {"cidr": subnet.cidr, "network": subnet.network, "gateway": subnet.gateway},
        )
        return
    taken = RouterPort.objects.filter(subnet=subnet).select_related("router").first()
    if taken is not None:
        findings.add(
            "subnet",
            gettext("%(cidr)s is attached to router %(router)s already: detach it there first")
            % {"cidr": subnet.cidr, "router": taken.router.name},
        )
        return
    for other in joined:
        if overlaps(cidr, ip_network(other.cidr)):
            findings.add(
                "subnet",
                gettext(
                    "%(cidr)s of %(network)s shares addresses with %(cidr_2)s of %(network_2)s: one router can't lead to both"
                )
                % {"cidr": subnet.cidr, "network": subnet.network, "cidr_2": other.cidr, "network_2": other.network},
            )
    sibling = RouterPort.objects.filter(subnet__network=subnet.network).exclude(router_id=router.pk).first()
    if sibling is not None:
        findings.add(
            "subnet",
            gettext("network %(network)s is attached to router %(router)s by %(cidr)s: a network has one router")
            % {"network": subnet.network, "router": sibling.router.name, "cidr": sibling.subnet.cidr},
        )
    if router.external is not None and overlaps(cidr, ip_network(router.external.cidr)):
        findings.add(
            "subnet",
            gettext("%(cidr)s shares addresses with the external network %(external)s (%(cidr_2)s)")
            % {"cidr": subnet.cidr, "external": router.external, "cidr_2": router.external.cidr},
        )
    owner = FixedAddress.objects.filter(subnet=subnet, address=subnet.gateway).select_related("port").first()
    if owner is not None:
        findings.add(
            "subnet",
            gettext("the gateway address %(gateway)s of %(cidr)s is %(port)s's: delete that port first")
            % {"gateway": subnet.gateway, "cidr": subnet.cidr, "port": owner.port.name},
        )
