"""What-ifs about flows over REST, for operators."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Router, Schema, Status
from pydantic import Field

from portal.accounts.access import require
from portal.accounts.views import person
from portal.api.names import Given
from portal.api.schemas import Accepted
from portal.checks.flow_apply import apply_flow_what_if
from portal.checks.flow_requests import MOST_CHARS, FlowWhatIfSpec, ask_flow_what_if
from portal.checks.models import FlowWhatIf
from portal.operations.serialize import operation_as_json

router = Router()


class FlowWhatIfIn(Given):
    host: str = Field(max_length=64)
    bridge: str = Field("br-int", max_length=64)
    action: str = Field("add", max_length=10, description="add, edit or remove")
    flow: str = Field(max_length=MOST_CHARS, description="as ovs-ofctl takes it; without actions to remove it")
    packet: str = Field("", max_length=MOST_CHARS, description="followed before and after: in_port=3,tcp,…")


class FlowWhatIfOut(Schema):
    """`result.lines` are [sign, flow, whether it is Hopsight's]; `result.fate` says what would become of the change."""

    uuid: UUID
    title: str
    flow: str
    packet: str
    state: str
    created_at: datetime
    generation: int | None
    result: dict[str, Any] | None
    error: str
    applied_at: datetime | None


class ConsentIn(Given):
    typed: str = Field(max_length=64, description="the bridge's name: the consent")


@router.post("/flow-what-ifs", response={202: FlowWhatIfOut}, summary="Ask what a flow more, less or other would change; nothing is changed")  # fmt: skip
def post_flow_what_if(request: HttpRequest, asked: FlowWhatIfIn) -> Any:
    require(request, "flow.try")
    spec = FlowWhatIfSpec(asked.host, asked.bridge, asked.action, asked.flow, asked.packet)
    return Status(202, ask_flow_what_if(person(request), spec))


@router.get("/flow-what-ifs/{uuid}", response=FlowWhatIfOut, summary="A what-if about a flow with its answer")
def get_flow_what_if(request: HttpRequest, uuid: UUID) -> Any:
    require(request, "flow.try")
    return get_object_or_404(FlowWhatIf.objects.select_related("host"), uuid=uuid)


@router.post("/flow-what-ifs/{uuid}/apply", response={202: Accepted}, summary="Send exactly the change that was tried to a bridge that is not Hopsight’s")  # fmt: skip
def post_apply_flow(request: HttpRequest, uuid: UUID, asked: ConsentIn) -> Any:
    require(request, "flow.change")
    made = apply_flow_what_if(get_object_or_404(FlowWhatIf, uuid=uuid), person(request), asked.typed)
    return Status(202, {"operation": operation_as_json(made)})
