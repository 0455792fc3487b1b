"""The API of networks, routers, floating addresses and external networks. Problems are NetworkProblem's, each with its field."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Path, Query, Schema, Status
from ninja import Router as Routes
from pydantic import Field

from portal.accounts.access import require, team_for
from portal.accounts.models import Team
from portal.api.names import Given
from portal.api.paging import Page, PageQuery, as_page, page_of
from portal.api.schemas import MAX_ID
from portal.networks.external_requests import ExternalSpec, create_external, delete_external
from portal.networks.floating_requests import (
    allocate_floating,
    associate,
    disassociate,
    give_floating,
    release_floating,
)
from portal.networks.models import (
    ExternalNetwork,
    FloatingAddress,
    Network,
    Port,
    Router,
    RouterPort,
    StaticRoute,
    Subnet,
)
from portal.networks.network_requests import (
    OVERLAYS,
    NetworkSpec,
    SubnetSpec,
    add_subnet,
    create_network,
    delete_network,
    delete_subnet,
)
from portal.networks.owners import owned_by, usable_networks
from portal.networks.problems import NetworkProblem, check_name
from portal.networks.router_requests import (
    RouterSpec,
    add_route,
    attach_subnet,
    create_router,
    delete_router,
    detach_subnet,
    remove_route,
    set_external,
)
from portal.networks.subnet_requests import SubnetChange, change_subnet

routes = Routes()


Number = Annotated[int, Path(ge=1, le=MAX_ID)]


class SubnetIn(Given):
    cidr: str = Field(description="10.30.0.0/24")
    gateway: str = Field("", description="empty: the first address")
    pool_start: str = ""
    pool_end: str = ""
    dns: list[str] = Field([], description="whom the gateway asks for names it does not know")


class SubnetPatch(Given):
    """What is left out stays. Exclusions are addresses, or ranges "10.20.0.50-10.20.0.60", that no VM gets by itself."""

    pool_start: str | None = None
    pool_end: str | None = None
    exclusions: list[str] | None = None
    dns: list[str] | None = None


class NetworkIn(SubnetIn):
    name: str
    mtu: int | None = None
    kind: str = Field("vxlan", description="vxlan or geneve: how it is carried between hosts")


class SubnetOut(Schema):
    id: int
    cidr: str
    gateway: str
    pool: list[str]
    exclusions: list[list[str]] = Field(description="[first, last] of what no VM gets by itself")
    dns: list[str]
    router: str | None


class NetworkOut(Schema):
    uuid: str
    name: str
    kind: str = Field(description="vxlan or geneve (an overlay), vlan or flat (a segment of the hosts' wire)")
    team: str = Field(description="slug of the team that it is of; another one's where it is shared")
    vni: int = Field(description="of a provider network: its number inside the switches alone")
    vid: int | None
    mtu: int
    subnets: list[SubnetOut]


class RouterIn(Given):
    name: str
    subnets: list[Annotated[int, Field(ge=1, le=MAX_ID)]] = []
    external: str | None = Field(None, description="name of an external network")


class RouterChange(Given):
    external: str | None


class LegOut(Schema):
    id: int
    subnet: int
    cidr: str


class RouteOut(Schema):
    id: int
    destination: str
    next_hop: str


class RouterOut(Schema):
    uuid: str
    name: str
    vni: int
    external: str | None
    external_address: str | None
    external_address6: str | None
    gateway_host: str | None
    ports: list[LegOut]
    routes: list[RouteOut]


class RouterPortIn(Given):
    subnet: int = Field(ge=1, le=MAX_ID)


class RouteIn(Given):
    destination: str
    next_hop: str


class FloatingIn(Given):
    external: str | None = None
    family: Literal[4, 6] = Field(4, description="of the lowest free one, where no address is named")
    address: str = ""
    port: UUID | None = None


class FloatingChange(Given):
    port: UUID | None


class FloatingOut(Schema):
    uuid: str
    address: str
    external: str
    port: str | None
    fixed: str | None


class ExternalIn(Given):
    name: str
    cidr: str
    gateway: str = ""
    pool_start: str = ""
    pool_end: str = ""
    vid: int | None = None
    mtu: int = 1500
    cidr6: str = Field("", description="a /64: IPv6 leaves as a router's address of it; empty: it has no way outside")


class ExternalOut(Schema):
    uuid: UUID
    name: str
    cidr: str
    cidr6: str
    gateway: str | None
    vid: int | None
    mtu: int
    pool_start: str
    pool_end: str


def network_as_json(row: Network) -> dict[str, Any]:
    """A network with its subnets."""
    subnets = [subnet_as_json(one) for one in row.subnets.all()]
    return {
        "uuid": str(row.uuid), "name": row.name, "kind": row.kind, "team": row.team.slug, "vni": row.vni, "vid": row.vid,
        "mtu": row.mtu, "subnets": subnets,
    }  # fmt: skip


def subnet_as_json(row: Subnet) -> dict[str, Any]:
    """A subnet and its router."""
    return {
        "id": row.pk, "cidr": row.cidr, "gateway": row.gateway, "pool": [row.pool_start, row.pool_end], "exclusions": row.exclusions, "dns": row.dns,
        "router": str(row.router_port.router.uuid) if hasattr(row, "router_port") else None,
    }  # fmt: skip


def router_as_json(row: Router) -> dict[str, Any]:
    """A router with all that it joins."""
    return {
        "uuid": str(row.uuid), "name": row.name, "vni": row.vni,
        "external": row.external.name if row.external else None,
        "external_address": row.external_address.address if row.external_address else None,
        "external_address6": str(row.external_address6) if row.external_address6 else None,
        "gateway_host": row.gateway_host.name if row.gateway_host else None,
        "ports": [{"id": leg.pk, "subnet": leg.subnet_id, "cidr": leg.subnet.cidr} for leg in row.ports.all()],
        "routes": [{"id": one.pk, "destination": one.destination, "next_hop": one.next_hop} for one in row.routes.all()],
    }  # fmt: skip


def floating_as_json(row: FloatingAddress) -> dict[str, Any]:
    """A floating address and what it stands for."""
    fixed = row.fixed
    return {
        "uuid": str(row.uuid), "address": row.address.address, "external": row.address.network.name,
        "port": str(fixed.port.uuid) if fixed else None, "fixed": fixed.address if fixed else None,
    }  # fmt: skip


@routes.get("/networks", response=Page[NetworkOut], summary="The networks")
def list_networks(request: HttpRequest, paging: Query[PageQuery]) -> Any:
    found, after = page_of(_networks(team_for(request, "network.see")), paging)
    return as_page([network_as_json(row) for row in found], after)


@routes.get("/networks/{uuid}", response=NetworkOut, summary="One network")
def get_network(request: HttpRequest, uuid: UUID) -> Any:
    return network_as_json(get_object_or_404(_networks(team_for(request, "network.see")), uuid=uuid))


@routes.post("/networks", response={201: NetworkOut}, summary="Make a network")
def post_network(request: HttpRequest, asked: NetworkIn) -> Any:
    made = create_network(_writing(request), NetworkSpec(asked.name, subnet_spec_of(asked), asked.mtu, kind=asked.kind))
    return Status(201, network_as_json(made))


@routes.delete("/networks/{uuid}", response={204: None}, summary="Delete a network")
def remove_network(request: HttpRequest, uuid: UUID) -> Any:
    delete_network(get_object_or_404(_own_networks(_writing(request)), uuid=uuid))
    return Status(204, None)


@routes.post("/networks/{uuid}/subnets", response={201: SubnetOut}, summary="Add a subnet")
def post_subnet(request: HttpRequest, uuid: UUID, asked: SubnetIn) -> Any:
    row = get_object_or_404(_own_networks(_writing(request)), uuid=uuid)
    made = add_subnet(row, subnet_spec_of(asked))
    return Status(201, subnet_as_json(made))


@routes.get("/networks/{uuid}/subnets/{number}", response=SubnetOut, summary="One subnet")
def get_subnet(request: HttpRequest, uuid: UUID, number: Number) -> Any:
    row = get_object_or_404(_networks(team_for(request, "network.see")), uuid=uuid)
    return subnet_as_json(get_object_or_404(Subnet, network=row, pk=number))


@routes.patch("/networks/{uuid}/subnets/{number}", response=SubnetOut, summary="Change a subnet's pool or name servers")
def patch_subnet(request: HttpRequest, uuid: UUID, number: Number, asked: SubnetPatch) -> Any:
    row = get_object_or_404(Subnet, network=get_object_or_404(_own_networks(_writing(request)), uuid=uuid), pk=number)
    exclusions, dns = (tuple(one) if one is not None else None for one in (asked.exclusions, asked.dns))
    return subnet_as_json(change_subnet(row, SubnetChange(asked.pool_start, asked.pool_end, exclusions, dns)))


@routes.delete("/networks/{uuid}/subnets/{number}", response={204: None}, summary="Delete a subnet")
def remove_subnet(request: HttpRequest, uuid: UUID, number: Number) -> Any:
    row = get_object_or_404(_own_networks(_writing(request)), uuid=uuid)
    delete_subnet(get_object_or_404(Subnet, network=row, pk=number))
    return Status(204, None)


@routes.get("/routers", response=Page[RouterOut], summary="The routers")
def list_routers(request: HttpRequest, paging: Query[PageQuery]) -> Any:
    found, after = page_of(_routers(team_for(request, "network.see")), paging)
    return as_page([router_as_json(row) for row in found], after)


@routes.get("/routers/{uuid}", response=RouterOut, summary="One router")
def get_router(request: HttpRequest, uuid: UUID) -> Any:
    return router_as_json(get_object_or_404(_routers(team_for(request, "network.see")), uuid=uuid))


@routes.post("/routers", response={201: RouterOut}, summary="Make a router")
def post_router(request: HttpRequest, asked: RouterIn) -> Any:
    team = _writing(request)
    subnets = tuple(_subnet(team, number) for number in asked.subnets)
    return Status(201, router_as_json(create_router(team, RouterSpec(asked.name, subnets, _external(asked.external)))))


@routes.patch("/routers/{uuid}", response=RouterOut, summary="Change a router")
def patch_router(request: HttpRequest, uuid: UUID, asked: RouterChange) -> Any:
    row = get_object_or_404(_routers(_writing(request)), uuid=uuid)
    set_external(row, _external(asked.external))
    return router_as_json(row)


@routes.delete("/routers/{uuid}", response={204: None}, summary="Delete a router")
def remove_router(request: HttpRequest, uuid: UUID) -> Any:
    delete_router(get_object_or_404(_routers(_writing(request)), uuid=uuid))
    return Status(204, None)


@routes.post("/routers/{uuid}/ports", response={201: LegOut}, summary="Attach a subnet")
def post_router_port(request: HttpRequest, uuid: UUID, asked: RouterPortIn) -> Any:
    team = _writing(request)
    made = attach_subnet(get_object_or_404(_routers(team), uuid=uuid), _subnet(team, asked.subnet))
    return Status(201, {"id": made.pk, "subnet": made.subnet_id, "cidr": made.subnet.cidr})


@routes.delete("/routers/{uuid}/ports/{number}", response={204: None}, summary="Delete a router's leg")
def remove_router_port(request: HttpRequest, uuid: UUID, number: Number) -> Any:
    row = get_object_or_404(_routers(_writing(request)), uuid=uuid)
    detach_subnet(get_object_or_404(RouterPort, router=row, pk=number))
    return Status(204, None)


@routes.post("/routers/{uuid}/routes", response={201: RouteOut}, summary="Add a static route")
def post_route(request: HttpRequest, uuid: UUID, asked: RouteIn) -> Any:
    made = add_route(get_object_or_404(_routers(_writing(request)), uuid=uuid), asked.destination, asked.next_hop)
    return Status(201, {"id": made.pk, "destination": made.destination, "next_hop": made.next_hop})


@routes.delete("/routers/{uuid}/routes/{number}", response={204: None}, summary="Delete a static route")
def remove_router_route(request: HttpRequest, uuid: UUID, number: Number) -> Any:
    row = get_object_or_404(_routers(_writing(request)), uuid=uuid)
    remove_route(get_object_or_404(StaticRoute, router=row, pk=number))
    return Status(204, None)


@routes.get("/floating-addresses", response=Page[FloatingOut], summary="The floating addresses")
def list_floating(request: HttpRequest, paging: Query[PageQuery]) -> Any:
    found, after = page_of(_floating(team_for(request, "network.see")), paging)
    return as_page([floating_as_json(row) for row in found], after)


@routes.post("/floating-addresses", response={201: FloatingOut}, summary="Make a floating address")
def post_floating(request: HttpRequest, asked: FloatingIn) -> Any:
    """With a port and no address: the one click, which takes one that stands for nothing first."""
    team = _writing(request)
    if asked.port is not None and not asked.address:
        return Status(201, floating_as_json(give_floating(team, _port(team, asked.port), asked.family)))
    external = _external(asked.external)
    if external is None:
        raise NetworkProblem({"external": ["no external network was given, nor a port whose router leads to one"]})
    made = allocate_floating(team, external, asked.address, asked.family)
    if asked.port is not None:
        associate(made, _port(team, asked.port))
    return Status(201, floating_as_json(made))


@routes.get("/floating-addresses/{uuid}", response=FloatingOut, summary="One floating address")
def get_floating(request: HttpRequest, uuid: UUID) -> Any:
    return floating_as_json(get_object_or_404(_floating(team_for(request, "network.see")), uuid=uuid))


@routes.patch("/floating-addresses/{uuid}", response=FloatingOut, summary="Change a floating address")
def patch_floating(request: HttpRequest, uuid: UUID, asked: FloatingChange) -> Any:
    team = _writing(request)
    row = get_object_or_404(_floating(team), uuid=uuid)
    if asked.port is None:
        disassociate(row)
    else:
        associate(row, _port(team, asked.port))
    return floating_as_json(row)


@routes.delete("/floating-addresses/{uuid}", response={204: None}, summary="Delete a floating address")
def remove_floating(request: HttpRequest, uuid: UUID) -> Any:
    release_floating(get_object_or_404(_floating(_writing(request)), uuid=uuid))
    return Status(204, None)


@routes.get("/external-networks", response=Page[ExternalOut], summary="The external networks")
def list_external(request: HttpRequest, paging: Query[PageQuery]) -> Any:
    team_for(request, "network.see")
    return as_page(*page_of(ExternalNetwork.objects.all(), paging))


@routes.post("/external-networks", response={201: ExternalOut}, summary="Make an external network")
def post_external(request: HttpRequest, asked: ExternalIn) -> Any:
    require(request, "external.manage")
    made = create_external(ExternalSpec(**asked.dict()))
    return Status(201, made)


@routes.delete("/external-networks/{uuid}", response={204: None}, summary="Delete an external network")
def remove_external(request: HttpRequest, uuid: UUID) -> Any:
    require(request, "external.manage")
    delete_external(get_object_or_404(ExternalNetwork, uuid=uuid))
    return Status(204, None)


def _writing(request: HttpRequest) -> Team:
    return team_for(request, "network.change")


def _networks(team: Team) -> Any:
    return usable_networks(team).select_related("team").prefetch_related("subnets__router_port__router")


def _own_networks(team: Team) -> Any:
    """Those that the team itself changes: its overlays."""
    return Network.objects.filter(team=team, kind__in=OVERLAYS).select_related("team")


def _routers(team: Team) -> Any:
    rows = Router.objects.filter(team=team).select_related("team", "external", "external_address", "gateway_host")
    return rows.prefetch_related("ports__subnet", "routes")


def _floating(team: Team) -> Any:
    return FloatingAddress.objects.filter(team=team).select_related("address__network", "fixed__port")


def subnet_spec_of(asked: SubnetIn) -> SubnetSpec:
    return SubnetSpec(asked.cidr, asked.gateway, asked.pool_start, asked.pool_end, tuple(asked.dns))


def _subnet(team: Team, number: int) -> Subnet:
    found = Subnet.objects.filter(network__team=team, pk=number).select_related("network").first()
    if found is None:
        raise NetworkProblem({"subnet": [f"subnet {number} is none of {team.name}'s"]})
    return found


def _external(name: str | None) -> ExternalNetwork | None:
    if name is None:
        return None
    found = ExternalNetwork.objects.filter(name=name).first() if not check_name(name) else None
    if found is None:
        raise NetworkProblem({"external": ["there is no external network of that name"]})
    return found


def _port(team: Team, uuid: UUID) -> Port:
    found = Port.objects.filter(owned_by(team), uuid=uuid).first()
    if found is None:
        raise Http404
    return found
