"""Addresses reserved, and address pairs of ports, over REST."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema, Status
from pydantic import Field

from portal.accounts.access import require, team_for
from portal.accounts.views import person
from portal.api.names import Given
from portal.api.paging import Page, PageQuery, as_page, page_of
from portal.networks.models import Network, Port
from portal.networks.network_requests import OVERLAYS
from portal.networks.owners import owned_by_person, owner_of, usable_networks
from portal.networks.pairs import PairSpec, pairs_of, set_pairs
from portal.networks.subnet_requests import release, reservations, reserve

router = Router()


class ReservationIn(Given):
    name: str
    address: str = Field("", description="one, or one of each family; empty: the lowest free ones")


class ReservationOut(Schema):
    """A VM, or a NIC, that asks for one of the addresses gets them all and the MAC."""

    port: UUID
    name: str
    mac: str
    addresses: list[str]


class PairIn(Given):
    cidr: str = Field(description="10.20.0.200, or a range")
    mac: str = Field("", description="empty: the port's own")


class PairsIn(Given):
    pairs: list[PairIn]


class PairsOut(PairsIn):
    uuid: UUID
    name: str


@router.get("/networks/{uuid}/reservations", response=Page[ReservationOut], summary="Addresses that wait for a VM")
def list_reservations(request: HttpRequest, uuid: UUID, paging: Query[PageQuery]) -> Any:
    team = team_for(request, "network.see")
    network = get_object_or_404(usable_networks(team), uuid=uuid, team=team)
    found, after = page_of(reservations(network), paging)
    return as_page([reservation_as_json(port) for port in found], after)


@router.post("/networks/{uuid}/reservations", response={201: ReservationOut}, summary="Keep an address for a later VM")
def post_reservation(request: HttpRequest, uuid: UUID, asked: ReservationIn) -> Any:
    made = reserve(_own(request, uuid), asked.name.strip(), asked.address.strip())
    return Status(201, reservation_as_json(made))


@router.delete("/networks/{uuid}/reservations/{port}", response={204: None}, summary="Free a reserved address")
def delete_reservation(request: HttpRequest, uuid: UUID, port: UUID) -> Any:
    release(get_object_or_404(reservations(_own(request, uuid)), uuid=port))
    return Status(204, None)


@router.get("/ports/{uuid}/address-pairs", response=PairsOut, summary="What a port may send from beside its own")
def get_pairs(request: HttpRequest, uuid: UUID) -> Any:
    return _pairs_as_json(_port(request, uuid, "vm.see"))


@router.put("/ports/{uuid}/address-pairs", response=PairsOut, summary="Let a port send from other addresses, at once")
def put_pairs(request: HttpRequest, uuid: UUID, asked: PairsIn) -> Any:
    port = _port(request, uuid, "port.change")
    set_pairs(port, [PairSpec(one.cidr, one.mac) for one in asked.pairs], person(request))
    return _pairs_as_json(port)


def reservation_as_json(port: Port) -> dict[str, Any]:
    """The reservation with its addresses."""
    return {
        "port": str(port.uuid), "name": port.name, "mac": port.mac,
        "addresses": [one.address for one in port.addresses.all()],
    }  # fmt: skip


def _pairs_as_json(port: Port) -> dict[str, Any]:
    return {"uuid": str(port.uuid), "name": port.name, "pairs": pairs_of(port)}


def _own(request: HttpRequest, uuid: UUID) -> Network:
    team = team_for(request, "network.change")
    rows = Network.objects.filter(team=team, kind__in=OVERLAYS).select_related("team")
    return get_object_or_404(rows, uuid=uuid)


def _port(request: HttpRequest, uuid: UUID, right: str) -> Port:
    ports = Port.objects.filter(owned_by_person(request.user.pk or 0))
    port = get_object_or_404(ports.select_related("network__team", "vm__team"), uuid=uuid)
    require(request, right, owner_of(port))
    return port
