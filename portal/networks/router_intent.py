"""Rows of routers and external networks as the network core's values."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network

from portal.networks.models import ExternalNetwork, FloatingAddress, Router, RouterPort, StaticRoute
from sdn.model.addresses import HostName, Mac, Vni
from sdn.model.intent import ExternalIntent, FloatingIntent, RouteIntent, RouterIntent, RouterPortIntent


def read_externals() -> tuple[ExternalIntent, ...]:
    """Every external network, by id."""
    return tuple(
        ExternalIntent(
            row.id,
            row.name,
            row.vid,
            row.mtu,
            IPv4Network(row.cidr),
            _address(row.gateway),
            IPv6Network(row.cidr6) if row.cidr6 else None,
        )
        for row in ExternalNetwork.objects.order_by("id")
    )


def read_routers() -> tuple[RouterIntent, ...]:
    """Every router with its legs, routes and floating addresses, by id; four queries."""
    legs: dict[int, list[RouterPortIntent]] = {}
    router_of_subnet: dict[int, int] = {}
    for leg in RouterPort.objects.select_related("subnet").order_by("subnet_id"):
        legs.setdefault(leg.router_id, []).append(RouterPortIntent(leg.subnet.network_id, leg.subnet_id))
        router_of_subnet[leg.subnet_id] = leg.router_id
    routes: dict[int, list[RouteIntent]] = {}
    for route in StaticRoute.objects.order_by("id"):
        wanted = RouteIntent(ip_network(route.destination), ip_address(route.next_hop))
        routes.setdefault(route.router_id, []).append(wanted)
    rows = list(Router.objects.select_related("external_address", "gateway_host").order_by("id"))
    externals = {row.id: row.external_id for row in rows}
    floating: dict[int, list[FloatingIntent]] = {}
    for one in FloatingAddress.objects.filter(fixed__isnull=False).select_related("address", "fixed").order_by("id"):
        assert one.fixed is not None
        router_id = router_of_subnet.get(one.fixed.subnet_id)
        if router_id is not None and externals.get(router_id) == one.address.network_id:
            fixed = ip_address(one.fixed.address)
            stands = FloatingIntent(one.id, ip_address(one.address.address), one.fixed.port_id, fixed)
            floating.setdefault(router_id, []).append(stands)
    return tuple(
        _router(row, tuple(legs.get(row.id, ())), tuple(routes.get(row.id, ())), tuple(floating.get(row.id, ())))
        for row in rows
    )


def _router(row: Router, legs: tuple[RouterPortIntent, ...], routes: tuple[RouteIntent, ...], floating: tuple[FloatingIntent, ...]) -> RouterIntent:  # fmt: skip
    return RouterIntent(
        row.id, row.name, Vni(row.vni), row.zone, legs, routes, row.external_id,
        IPv4Address(row.external_address.address) if row.external_address else None,
        Mac(row.external_mac) if row.external_mac else None,
        HostName(row.gateway_host.name) if row.gateway_host else None, floating,
    )  # fmt: skip


def _address(text: str | None) -> IPv4Address | None:
    return IPv4Address(text) if text else None
