"""Drops over REST: what the team's ports lost, and why."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema

from portal.accounts.access import require, team_for
from portal.api.paging import Page, PageQuery, as_page, page_of
from portal.drops.presentation import drops_as_json, drops_of_port
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


@router.get("/ports/{uuid}/drops", response=PortDropsOut, summary="What one port lost, and why")
def get_drops(request: HttpRequest, uuid: UUID) -> Any:
    ports = Port.objects.filter(owned_by_person(request.user.pk or 0))
    port = get_object_or_404(ports.select_related("network__team", "vm__team"), uuid=uuid)
    require(request, "vm.see", owner_of(port))
    return _as_json(port)


def _as_json(port: Port) -> dict[str, Any]:
    head = {"port": str(port.uuid), "name": port.name, "network": port.network.name}
    return head | drops_as_json(drops_of_port(port), {})
