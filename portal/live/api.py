"""Live topics over REST: the stream; snapshots are in portal.api.api."""

from __future__ import annotations

import re
from typing import Any

from django.http import Http404, HttpRequest, HttpResponseBase, StreamingHttpResponse
from ninja import Router

from portal.accounts.access import token_of
from portal.accounts.callers import key_of_request
from portal.accounts.views import person
from portal.api.problems import FieldProblem, problem
from portal.live.stream import MAX_STREAMS, open_streams, stream
from portal.live.topics import refusal_of

router = Router()
NUMBER = re.compile(r"[0-9]{1,15}")
LAST = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": f"^{NUMBER.pattern}$"},
    "description": "number of the last event that you have: those after it come first",
}
TOLD: dict[str, Any] = {
    "responses": {
        200: {"description": "server-sent events", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
    },
    "parameters": [LAST],
}


@router.get(
    "/events/{path:topic}", summary="A live topic's events as they happen, as server-sent events", openapi_extra=TOLD
)
def live_events(request: HttpRequest, topic: str) -> HttpResponseBase:
    user = person(request)
    if "\0" in topic or refusal_of(user, topic, token_of(request)):
        raise Http404
    if open_streams[user.pk] >= MAX_STREAMS:
        refused = problem(429, f"{MAX_STREAMS} streams of yours are open already: close one first")
        refused.headers["Retry-After"] = "15"
        return refused
    given = request.headers.get("Last-Event-ID", "")
    if given and not NUMBER.fullmatch(given):
        raise FieldProblem("Last-Event-ID", f"“{given[:40]}” was given; the number of an event is allowed")
    last = int(given) if given else None
    answer = StreamingHttpResponse(stream(user, key_of_request(request), topic, last), content_type="text/event-stream")
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["X-Accel-Buffering"] = "no"  # nginx would gather it
    return answer
