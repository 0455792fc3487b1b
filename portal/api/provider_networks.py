"""The API of provider networks, for operators. Problems are NetworkProblem's, each with its field."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Query, Status
from ninja import Router as Routes
from pydantic import Field

from portal.accounts.access import require
from portal.accounts.views import person
from portal.api.names import Given
from portal.api.networks import (
    NetworkIn,
    NetworkOut,
    Number,
    SubnetIn,
    SubnetOut,
    network_as_json,
    subnet_as_json,
    subnet_spec_of,
)
from portal.api.paging import Page, PageQuery, as_page, page_of
from portal.networks.models import Network, Subnet
from portal.networks.network_requests import NetworkSpec, add_subnet, delete_subnet
from portal.networks.provider_requests import KINDS, ProviderSpec, create_provider, delete_provider, share_provider

routes = Routes()


class ProviderIn(NetworkIn):
    kind: str = Field("vlan", description="vlan or flat, which is the untagged segment")
    vid: int | None = Field(None, description="1 to 4094; nothing for flat")
    teams: list[str] = Field(description="slugs: the first is its owner, the others share it")


class ProviderChange(Given):
    shared_with: list[str] = Field(description="slugs of the teams that share it with its owner, all of them")


class ProviderOut(NetworkOut):
    shared_with: list[str]


def provider_as_json(row: Network) -> dict[str, Any]:
    """A provider network with the teams that share it."""
    return network_as_json(row) | {"shared_with": [team.slug for team in row.shared_with.all()]}


@routes.get("/provider-networks", response=Page[ProviderOut], summary="The provider networks")
def list_providers(request: HttpRequest, paging: Query[PageQuery]) -> Any:
    found, after = page_of(_providers(request), paging)
    return as_page([provider_as_json(row) for row in found], after)


@routes.post("/provider-networks", response={201: ProviderOut}, summary="Make a provider network")
def post_provider(request: HttpRequest, asked: ProviderIn) -> Any:
    require(request, "provider.manage")
    spec = NetworkSpec(asked.name, subnet_spec_of(asked), asked.mtu, kind=asked.kind, vid=asked.vid)
    made = create_provider(ProviderSpec(spec, tuple(asked.teams)), person(request))
    return Status(201, provider_as_json(made))


@routes.get("/provider-networks/{uuid}", response=ProviderOut, summary="One provider network")
def get_provider(request: HttpRequest, uuid: UUID) -> Any:
    return provider_as_json(get_object_or_404(_providers(request), uuid=uuid))


@routes.patch("/provider-networks/{uuid}", response=ProviderOut, summary="Change a provider network's sharing")
def patch_provider(request: HttpRequest, uuid: UUID, asked: ProviderChange) -> Any:
    row = get_object_or_404(_providers(request), uuid=uuid)
    share_provider(row, asked.shared_with, person(request))
    return provider_as_json(get_object_or_404(_providers(request), uuid=uuid))


@routes.delete("/provider-networks/{uuid}", response={204: None}, summary="Delete a provider network")
def remove_provider(request: HttpRequest, uuid: UUID) -> Any:
    delete_provider(get_object_or_404(_providers(request), uuid=uuid), person(request))
    return Status(204, None)


@routes.post(
    "/provider-networks/{uuid}/subnets", response={201: SubnetOut}, summary="Add a subnet to a provider network"
)
def post_provider_subnet(request: HttpRequest, uuid: UUID, asked: SubnetIn) -> Any:
    made = add_subnet(get_object_or_404(_providers(request), uuid=uuid), subnet_spec_of(asked))
    return Status(201, subnet_as_json(made))


@routes.delete("/provider-networks/{uuid}/subnets/{number}", response={204: None}, summary="Delete a provider network's subnet")  # fmt: skip
def remove_provider_subnet(request: HttpRequest, uuid: UUID, number: Number) -> Any:
    delete_subnet(get_object_or_404(Subnet, network=get_object_or_404(_providers(request), uuid=uuid), pk=number))
    return Status(204, None)


def _providers(request: HttpRequest) -> Any:
    require(request, "provider.manage")
    rows = Network.objects.filter(kind__in=KINDS).select_related("team")
    return rows.prefetch_related("subnets__router_port__router", "shared_with")
