"""What may be asked of any answer: only some fields of it, or a change only if nobody else changed the object meanwhile."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import parse_etags

from portal.api.models import KeptAnswer
from portal.api.names import as_condition
from portal.api.problems import problem
from portal.api.tags import tag_of
from portal.live.models import Event

KEPT_FOR = timedelta(hours=24)
MAX_FIELDS = 50
CHANGING = ("PUT", "PATCH", "DELETE")
FORM = "The request does not have the right form"
Next = Callable[[HttpRequest], HttpResponseBase]


def forget_old(now: datetime) -> int:
    """Drops answers kept for Idempotency-Key and events kept for Last-Event-ID that are a day old; how many."""
    answers, _ = KeptAnswer.objects.filter(created_at__lt=now - KEPT_FOR).delete()
    events, _ = Event.objects.filter(at__lt=now - KEPT_FOR).delete()
    return answers + events


def only_fields(request: HttpRequest, answer: HttpResponseBase) -> HttpResponseBase:
    """The answer with only what `?fields=name,state` names, of each item where it is a page or a list."""
    asked = request.GET.get("fields")
    if asked is None or request.method != "GET" or answer.status_code != 200 or not isinstance(answer, HttpResponse):
        return answer
    if not answer.headers.get("Content-Type", "").startswith("application/json"):
        return answer
    names = [name.strip() for name in asked.split(",")][: MAX_FIELDS + 1]
    value = json.loads(answer.content)
    items = _items(value)
    allowed = sorted({name for item in items for name in item})
    wrong = [name[:40] for name in names if items and name not in allowed]
    if wrong or len(names) > MAX_FIELDS:
        words = f"{', '.join(f'“{name}”' for name in wrong) or f'more than {MAX_FIELDS}'} were given"
        return problem(422, FORM, {"fields": [f"{words}; {', '.join(allowed)} are allowed"]})
    for item in items:
        for name in set(item) - set(names):
            del item[name]
    answer.content = json.dumps(value, ensure_ascii=False)
    return answer


def refuse_stale(request: HttpRequest, ask: Next) -> HttpResponse | None:
    """412 with the object's present ETag when an If-Match names none of its; None when the change may go on.

    The present ETag is that of GET on the same address, asked for in the caller's transaction.
    """
    wanted = request.headers.get("If-Match")
    if wanted is None or request.method not in CHANGING or wanted.strip() == "*":
        return None
    reading = copy.copy(request)
    reading.method = "GET"
    reading.META = {**request.META, "REQUEST_METHOD": "GET"}
    reading.GET = copy.copy(request.GET)
    as_condition(reading)
    present = ask(reading)
    if present.status_code >= 400 and present.status_code != 405:
        assert isinstance(present, HttpResponse)
        return present
    tag = ""
    if isinstance(present, HttpResponse) and present.status_code == 200:
        tag = tag_of(present)
    if tag and tag in parse_etags(wanted):
        return None
    words = (
        f"{tag} is its ETag now: read it again" if tag else "what has this address has no ETag: leave the header away"
    )
    refused = problem(412, "It was changed since you read it; nothing was done", {"If-Match": [words]})
    if tag:
        refused.headers["ETag"] = tag
    return refused


def _items(value: Any) -> list[dict[str, Any]]:
    rows = value["items"] if isinstance(value, dict) and {"items", "next"} == set(value) else value
    return [row for row in (rows if isinstance(rows, list) else [rows]) if isinstance(row, dict)]
