"""A trace's real traffic over the API: asking for it is looking, so that the controller reads the datapaths meanwhile."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

import redis
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Router, Schema

from portal.accounts.access import team_for
from portal.live.transient import keep_watched, transient_snapshot
from portal.traces.models import TraceRequest

router = Router()


class ObservedOut(Schema):
    """`looking`: nothing was read yet, ask again in a second."""

    state: Literal["looking", "seen"]
    forward: dict[str, Any] | None
    back: dict[str, Any] | None


@router.get("/traces/{uuid}/observed", response=ObservedOut, summary="What real traffic on a trace's way does now")
def get_observed(request: HttpRequest, uuid: UUID) -> Any:
    row = get_object_or_404(TraceRequest, uuid=uuid, team=team_for(request, "trace.see"))
    topic = f"observed:{row.uuid}"
    try:
        keep_watched(topic)
        state = transient_snapshot(topic)["state"]
    except redis.RedisError:
        state = {}
    return {"state": "seen" if state else "looking", "forward": state.get("forward"), "back": state.get("return")}
