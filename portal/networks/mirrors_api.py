"""Mirrors of ports over REST."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema, Status
from pydantic import Field

from portal.accounts.access import require, team_for
from portal.accounts.views import person
from portal.api.names import Given
from portal.api.paging import Page, PageQuery, as_page, page_of
from portal.networks.mirrors import MirrorSpec, end_mirror, mirrors_of, port_of, set_mirror, what_of
from portal.networks.models import Mirror, Port
from portal.networks.owners import owned_by_person, owner_of

router = Router()


class MirrorIn(Given):
    to: UUID = Field(description="the port that receives the copies, of a VM of the same team, on any host")
    what: str = Field("both", description="of the watched guest: sends, receives, or both")


class EndOut(Schema):
    port: UUID
    name: str
    network: str
    host: str | None


class MirrorOut(Schema):
    """`watched` is whose packets are copied, `to` who gets the copies."""

    uuid: UUID
    watched: EndOut
    to: EndOut
    what: str
    vni: int = Field(description="that copies carry between hosts")


@router.get("/mirrors", response=Page[MirrorOut], summary="The team's mirrors of ports")
def list_mirrors(request: HttpRequest, paging: Query[PageQuery]) -> Any:
    found, after = page_of(mirrors_of(team_for(request, "mirror.see")), paging)
    return as_page([mirror_as_json(row) for row in found], after)


@router.get("/ports/{uuid}/mirror", response=MirrorOut, summary="Where copies of a port's packets go")
def get_mirror(request: HttpRequest, uuid: UUID) -> Any:
    return mirror_as_json(_mirror(_port(request, uuid, "mirror.see")))


@router.put("/ports/{uuid}/mirror", response=MirrorOut, summary="Copy a port's packets to another port, at once")
def put_mirror(request: HttpRequest, uuid: UUID, asked: MirrorIn) -> Any:
    port = _port(request, uuid, "mirror.change")
    set_mirror(port, MirrorSpec(port_of(owner_of(port), str(asked.to)), asked.what), person(request))
    return mirror_as_json(_mirror(port))


@router.delete("/ports/{uuid}/mirror", response={204: None}, summary="Make no more copies of a port's packets")
def delete_mirror(request: HttpRequest, uuid: UUID) -> Any:
    port = _port(request, uuid, "mirror.change")
    row = mirrors_of(owner_of(port)).filter(source=port).first()
    if row is not None:
        end_mirror(row, person(request))
    return Status(204, None)


def mirror_as_json(row: Mirror) -> dict[str, Any]:
    """The mirror with both its ends."""
    return {
        "uuid": str(row.uuid), "watched": _end(row.source), "to": _end(row.target), "what": what_of(row), "vni": row.vni,
    }  # fmt: skip


def _end(port: Port) -> dict[str, Any]:
    host = port.host.name if port.host else None
    return {"port": str(port.uuid), "name": port.vm.name if port.vm else port.name, "network": port.network.name, "host": host}  # fmt: skip


def _mirror(port: Port) -> Mirror:
    row = mirrors_of(owner_of(port)).filter(source=port).first()
    if row is None:
        raise Http404
    return row


def _port(request: HttpRequest, uuid: UUID, right: str) -> Port:
    ports = Port.objects.filter(owned_by_person(request.user.pk or 0))
    port = get_object_or_404(ports.select_related("network__team", "vm__team"), uuid=uuid)
    require(request, right, owner_of(port))
    return port
