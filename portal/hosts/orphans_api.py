"""What no row explains on the hosts, over REST, for operators."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema, Status
from pydantic import Field

from portal.accounts.access import require
from portal.accounts.views import person
from portal.api.names import Given
from portal.api.paging import Page, PageQuery
from portal.api.schemas import Accepted
from portal.hosts.models import Host, Orphan
from portal.hosts.on_hosts import OnHost, page_on_hosts
from portal.hosts.orphans import MOST_AT_ONCE, clean_orphans
from portal.operations.serialize import operation_as_json

router = Router()


class OrphanOut(Schema):
    uuid: UUID
    host: str
    kind: str = Field(description="domain, file, volume or port")
    name: str
    where: str = Field(description="its whole path, or its state")
    size_bytes: int | None
    changed_at: datetime | None
    was: str = Field(description="what it was, as far as the books tell")
    found_at: datetime
    why_not: str = Field(description="why it cannot be cleaned now; empty where it can")
    command: str = Field(description="what shows it on the host")


class CleanIn(Given):
    orphans: list[UUID] = Field(max_length=MOST_AT_ONCE)
    typed: Annotated[str, Field(max_length=40)] = Field(description="the host's name: the consent")


@router.get("/orphans", response=Page[OrphanOut], summary="What is on hosts that no row explains")
def list_orphans(request: HttpRequest, paging: Query[PageQuery], host: OnHost = "") -> Any:
    require(request, "host.see")
    return page_on_hosts(Orphan.objects.all(), OrphanOut, paging, host)


@router.post(
    "/hosts/{host}/clean", response={202: Accepted}, summary="Remove from a host what no row explains, each one named"
)
def post_clean(request: HttpRequest, host: str, asked: CleanIn) -> Any:
    require(request, "host.change")
    row = get_object_or_404(Host, name=host.replace("\0", ""))
    made = clean_orphans(row, person(request), [str(uuid) for uuid in asked.orphans], asked.typed)
    return Status(202, {"operation": operation_as_json(made)})
