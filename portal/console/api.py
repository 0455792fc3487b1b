"""A ticket for a VM's console over REST; the socket takes the same `Authorization` header as every request."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Router, Schema, Status

from portal.accounts.access import require, team_for
from portal.accounts.callers import key_of_request
from portal.accounts.views import person
from portal.api.names import Given
from portal.compute.models import VM
from portal.compute.requests import VMProblem
from portal.compute.views import vms_of
from portal.console.access import not_possible
from portal.console.screens import FRESH_S, KEPT_S, MEDIA_TYPE
from portal.console.tickets import LIFE_S, Holder, issue_ticket
from portal.console.views import picture_answer
from portal.console.wire import Kind

router = Router()
PICTURE = (
    f"A PNG of at most 320 × 240. It is taken when it is asked for: the first answer is 204, ask again a second later; while "
    f"you ask, it is seldom older than {FRESH_S} s, and it is kept for {KEPT_S} s."
)
AS_PNG = {"description": "The picture", "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}}


class TicketIn(Given):
    kind: Literal["serial", "screen"] = "serial"


class TicketOut(Schema):
    """Open `socket` within `expires_s`; the first message is `{"ticket": …}`. Bytes are binary messages, acknowledged
    by `{"ack": n}`; `{"take": true}` asks for the pen."""

    ticket: str
    socket: str
    expires_s: int


@router.post("/vms/{uuid}/console-ticket", response={201: TicketOut}, summary="A ticket of one use for a VM's console")
def post_console_ticket(request: HttpRequest, uuid: UUID, asked: TicketIn) -> Any:
    team = team_for(request, "vm.see")
    row = get_object_or_404(vms_of(team), uuid=uuid)
    require(request, "console.see", team)
    kind = Kind(asked.kind)
    if words := not_possible(row, kind):
        raise VMProblem({"kind": [f"{row.name} {words}"]})
    ticket = issue_ticket(Holder(person(request).pk, key_of_request(request), str(row.uuid), kind))
    path = f"/ws/vms/{row.uuid}/console/{kind}"
    return Status(201, {"ticket": ticket, "socket": path, "expires_s": LIFE_S})


@router.get(
    "/vms/{uuid}/screenshot", response={204: None}, summary="A small picture of a running VM's screen",
    description=PICTURE, openapi_extra={"responses": {200: AS_PNG}},
)  # fmt: skip
def get_screenshot(request: HttpRequest, uuid: UUID) -> Any:
    team = team_for(request, "vm.see")
    row = get_object_or_404(VM.objects.filter(team=team).select_related("team", "image"), uuid=uuid)
    require(request, "console.see", team)
    if words := not_possible(row, Kind.SCREEN):
        raise VMProblem({"vm": [f"{row.name} {words}"]})
    return picture_answer(row)
