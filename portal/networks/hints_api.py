"""What addresses guests really use, and where that differs from what IPAM gave, over REST."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema
from pydantic import Field

from portal.accounts.access import require, team_for
from portal.api.paging import Page, PageQuery, as_page, page_of
from portal.networks.conflicts import conflicted_ports, conflicts_as_json
from portal.networks.models import Port
from portal.networks.owners import owned_by_person, owner_of

router = Router()
KindName = Literal["gateway", "another", "twice", "not_given", "outside", "claimed", "static"]


class ConflictOut(Schema):
    """`words` is the finding, `advice` what to change; `is_bad`: somebody else has the address."""

    kind: KindName
    address: str
    is_bad: bool
    words: str
    advice: str
    evidence: str
    since: datetime


class PortConflictsOut(Schema):
    port: UUID
    name: str
    network: str
    vm: UUID | None
    addresses: list[str] = Field(description="what IPAM gave")
    conflicts: list[ConflictOut]


class HintOut(Schema):
    """One address that the guest was seen with. Forgotten ten minutes after it was seen last."""

    address: str
    source: Literal["agent", "arp", "nd", "ip"] = Field(
        description="the guest agent; or a packet that port security dropped"
    )
    first_at: datetime
    last_at: datetime


class PortHintsOut(PortConflictsOut):
    asked_dhcp_at: datetime | None = Field(description="when the guest last asked for its address; null: never")
    hints: list[HintOut]


@router.get(
    "/address-conflicts", response=Page[PortConflictsOut], summary="Ports whose guests use other addresses than theirs"
)
def list_conflicts(
    request: HttpRequest,
    paging: Query[PageQuery],
    network: Annotated[UUID | None, Query(description="only of this network")] = None,
) -> Any:
    rows = conflicted_ports(team_for(request, "vm.see"))
    if network is not None:
        rows = rows.filter(network__uuid=network)
    found, after = page_of(rows, paging)
    return as_page([_conflicts(port) for port in found], after)


@router.get("/ports/{uuid}/hints", response=PortHintsOut, summary="What addresses a port's guest was seen with")
def get_hints(request: HttpRequest, uuid: UUID) -> Any:
    rows = Port.objects.filter(owned_by_person(request.user.pk or 0)).select_related("network__team", "vm__team")
    port = get_object_or_404(rows.prefetch_related("addresses", "hints"), uuid=uuid)
    require(request, "vm.see", owner_of(port))
    hints = [
        {"address": one.address, "source": one.source, "first_at": one.first_at, "last_at": one.last_at}
        for one in port.hints.all()
    ]
    return {**_conflicts(port), "asked_dhcp_at": port.dhcp_at, "hints": hints}


def _conflicts(port: Port) -> dict[str, Any]:
    return {
        "port": str(port.uuid), "name": port.name, "network": port.network.name, "vm": port.vm.uuid if port.vm else None,
        "addresses": [one.address for one in port.addresses.all()], "conflicts": conflicts_as_json(port),
    }  # fmt: skip
