"""Drops over REST: what the team's ports lost, and why."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema, Status
from pydantic import Field

from portal.accounts.access import require, team_for
from portal.accounts.views import person
from portal.api.names import Given
from portal.api.paging import Page, PageQuery, as_page, page_of
from portal.drops.presentation import drops_as_json, drops_of_port
from portal.drops.sampling import ask_sample, sample_of, stop_sample
from portal.networks.models import Port
from portal.networks.owners import owned_by, owned_by_person, owner_of

router = Router()


class ReasonOut(Schema):
    """`pps` is of the last two seconds, and told by the topic `drops:<team>`; it is 0 here."""

    reason: str
    words: str
    packets: int
    bytes: int
    pps: float
    last_at: datetime


class PortDropsOut(Schema):
    port: UUID
    name: str
    network: str
    packets: int
    bytes: int
    reasons: list[ReasonOut]


@router.get("/drops", response=Page[PortDropsOut], summary="The team's ports that lost packets, with the reasons")
def list_drops(
    request: HttpRequest,
    paging: Query[PageQuery],
    reason: Annotated[str | None, Query(description="only ports that lost some for this reason")] = None,
) -> Any:
    rows = Port.objects.filter(owned_by(team_for(request, "vm.see")), drops__isnull=False).distinct()
    if reason is not None:
        rows = rows.filter(drops__reason=reason.replace("\0", ""))
    found, after = page_of(rows.select_related("network"), paging)
    return as_page([_as_json(port) for port in found], after)


class SampleIn(Given):
    seconds: int = Field(60, description="30, 60 or 300")


class SampledOut(Schema):
    """A dropped packet: `layers` are its headers, [name, words], from the outside in."""

    number: int
    at: datetime
    host: str
    reason: str
    words: str
    table: str
    summary: str
    layers: list[list[str]]
    bytes: int


class SampleOut(Schema):
    """`until` is null when no copies are made; `packets` are the last 50, the latest first."""

    until: datetime | None
    seen: int
    packets: list[SampledOut]


@router.get("/ports/{uuid}/sample", response=SampleOut, summary="The last packets that were dropped for a port")
def get_sample(request: HttpRequest, uuid: UUID) -> Any:
    return _sample_as_json(_port(request, uuid, "sample.see"))


@router.post("/ports/{uuid}/sample", response={201: SampleOut}, summary="Copy what is dropped for a port, for a time")
def post_sample(request: HttpRequest, uuid: UUID, asked: SampleIn) -> Any:
    port = _port(request, uuid, "sample.ask")
    ask_sample(port, asked.seconds, person(request))
    return Status(201, _sample_as_json(port))


@router.delete("/ports/{uuid}/sample", response={204: None}, summary="Make no more copies, forget those there are")
def delete_sample(request: HttpRequest, uuid: UUID) -> Any:
    stop_sample(_port(request, uuid, "sample.ask"), person(request))
    return Status(204, None)


@router.get("/ports/{uuid}/drops", response=PortDropsOut, summary="What one port lost, and why")
def get_drops(request: HttpRequest, uuid: UUID) -> Any:
    return _as_json(_port(request, uuid, "vm.see"))


def _port(request: HttpRequest, uuid: UUID, right: str) -> Port:
    ports = Port.objects.filter(owned_by_person(request.user.pk or 0))
    port = get_object_or_404(ports.select_related("network__team", "vm__team"), uuid=uuid)
    require(request, right, owner_of(port))
    return port


def _sample_as_json(port: Port) -> dict[str, Any]:
    sample = sample_of(port)
    if sample is None:
        return {"until": None, "seen": 0, "packets": []}
    return {"until": sample.until, "seen": sample.seen, "packets": sample.packets}


def _as_json(port: Port) -> dict[str, Any]:
    head = {"port": str(port.uuid), "name": port.name, "network": port.network.name}
    return head | drops_as_json(drops_of_port(port), {})
