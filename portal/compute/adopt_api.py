"""Foreign domains over REST, for operators: what there are, what adopting one would do, adopting, letting go."""

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
from portal.compute.adoption import Wish, adopt, let_go, plan_of
from portal.compute.models import VM
from portal.compute.requests import VMProblem
from portal.hosts.models import ForeignDomain
from portal.hosts.on_hosts import OnHost, page_on_hosts
from portal.operations.serialize import operation_as_json

router = Router()
Word = Annotated[str, Field(max_length=100)]


class DiskOut(Schema):
    target: str
    source: str
    format: str
    bus: str
    device: str
    size_bytes: int


class NicOut(Schema):
    """One with an `interface_id` is in br-int itself and can be given a port."""

    mac: str
    model: str
    plugged: str
    interface_id: str


class FactsOut(Schema):
    vcpus: int
    ram_mib: int
    machine: str
    disks: list[DiskOut]
    nics: list[NicOut]


class ForeignOut(Schema):
    uuid: UUID
    host: str
    name: str
    state: str
    seen_at: datetime
    facts: FactsOut


class NicWish(Given):
    mac: Word
    network: Word = Field("", description="none: it stays a foreign NIC")
    address: Word = Field("", description="none: the lowest free one")


class AdoptIn(Given):
    domain: UUID
    team: Word
    name: Word
    nics: list[NicWish] = Field([], max_length=32)


class AdoptionPlanOut(Schema):
    changes: list[str]
    stays: list[str]
    problems: dict[str, list[str]] = Field(
        description="field and what is wrong with it; empty where it can be adopted so"
    )


@router.get("/foreign-domains", response=Page[ForeignOut], summary="Domains on the hosts that are no VM of Hopsight’s")
def list_foreign(request: HttpRequest, paging: Query[PageQuery], host: OnHost = "") -> Any:
    require(request, "host.see")
    return page_on_hosts(ForeignDomain.objects.all(), ForeignOut, paging, host)


@router.post("/adoption-plans", response=AdoptionPlanOut, summary="What adopting a domain would change, and what not")
def post_plan(request: HttpRequest, asked: AdoptIn) -> Any:
    require(request, "host.change")
    plan = plan_of(_domain(asked.domain), _wish(asked))
    return {"changes": list(plan.changes), "stays": list(plan.stays), "problems": plan.problems}


@router.post("/adoptions", response={202: Accepted}, summary="Make a foreign domain a VM of a team, as it is")
def post_adoption(request: HttpRequest, asked: AdoptIn) -> Any:
    require(request, "host.change")
    made = adopt(_domain(asked.domain), person(request), _wish(asked))
    return Status(202, {"operation": operation_as_json(made.operation)})


@router.delete("/adoptions/{uuid}", response={202: Accepted}, summary="Forget an adopted VM; its domain stays as it is")
def delete_adoption(request: HttpRequest, uuid: UUID) -> Any:
    require(request, "host.change")
    vm = get_object_or_404(VM.objects.select_related("team"), uuid=uuid)
    return Status(202, {"operation": operation_as_json(let_go(vm, person(request)))})


def _domain(uuid: UUID) -> ForeignDomain:
    found = ForeignDomain.objects.select_related("host").filter(uuid=uuid).first()
    if found is None:
        raise VMProblem({"domain": [f"there is no foreign domain {uuid}: was it adopted, or removed on its host?"]})
    return found


def _wish(asked: AdoptIn) -> Wish:
    networks = {nic.mac.lower(): nic.network.replace("\0", "") for nic in asked.nics}
    addresses = {nic.mac.lower(): nic.address.replace("\0", "") for nic in asked.nics if nic.address}
    return Wish(asked.team.replace("\0", ""), asked.name.replace("\0", ""), networks, addresses)
