"""Every refusal of the API in RFC 9457's form, with all wrong fields at once."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError

from portal.accounts.activity import ActivityProblem
from portal.accounts.teams import TeamProblem
from portal.alerts.requests import AlertProblem
from portal.checks.requests import CheckProblem
from portal.compute.requests import VMProblem
from portal.dashboards.layout import BoardProblem
from portal.history.asked import HistoryProblem
from portal.networks.groups import GroupProblem
from portal.networks.problems import NetworkProblem
from portal.traces.requests import TraceProblem

log = logging.getLogger("hopsight.api")
READS = ("GET", "HEAD")
UNKNOWN = "extra_forbidden"  # as pydantic names a name that is not known
MEDIA_TYPE = "application/problem+json"
TITLES = {
    401: "Log in, or send a token: Authorization: Bearer hst_…",
    404: "Nothing of that name is in your teams",
    405: "This address does not take that method",
}
NO_ADDRESS = "The API has no such address; those that it has are on the page /api/docs/"
BAD_TOKEN = "This token is not known, or has ended: make another on the page API tokens"


class FieldProblem(Exception):
    """One field of a request is wrong."""

    def __init__(self, field: str, words: str) -> None:
        super().__init__(words)
        self.errors = {field: [words]}


def problem(status: int, title: str, errors: dict[str, list[str]] | None = None) -> HttpResponse:
    """RFC 9457's form."""
    body = {"type": "about:blank", "title": title, "status": status, "errors": errors or {}}
    answer = JsonResponse(body, status=status, content_type=MEDIA_TYPE)
    if status == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


Raised = Exception | type[Exception]  # as ninja types what a handler gets


def _field(error: Mapping[str, Any]) -> str:
    """What is wrong, as the caller calls it: a whole body has no name of its own but that of an argument here."""
    source, *inside = error["loc"]
    is_whole = source == "body" and len(inside) == 1 and error["type"] != UNKNOWN
    return "body" if is_whole else str(error["loc"][-1])


def _why_no_json(request: HttpRequest) -> str:
    try:
        json.loads(request.body)
    except RecursionError:
        return "it is nested too deep"
    except ValueError as problem:
        return f"it is no JSON: {problem}"
    return "it is no JSON"


def install(api: NinjaAPI) -> None:
    """Give an API these answers to whatever its operations raise."""

    def denied(request: HttpRequest, error: Raised) -> HttpResponse:
        return problem(403, str(error))

    def missing(request: HttpRequest, error: Raised) -> HttpResponse:
        return problem(404, TITLES[404])

    def unknown(request: HttpRequest, error: Raised) -> HttpResponse:
        is_token = request.headers.get("Authorization", "").lower().startswith("bearer ")
        return problem(401, BAD_TOKEN if is_token else TITLES[401])

    def refused(request: HttpRequest, error: Raised) -> HttpResponse:
        assert isinstance(
            error,
            VMProblem
            | FieldProblem
            | TeamProblem
            | GroupProblem
            | NetworkProblem
            | CheckProblem
            | HistoryProblem
            | BoardProblem
            | AlertProblem
            | TraceProblem
            | ActivityProblem,
        )
        begin = "Nothing can be shown" if request.method in READS else "Nothing was changed"
        return problem(422, f"{begin}: some fields need another value", error.errors)

    def malformed(request: HttpRequest, error: Raised) -> HttpResponse:
        assert isinstance(error, HttpError)
        field = {400: "body", 403: "X-CSRFToken"}.get(error.status_code)
        words = _why_no_json(request) if field == "body" else str(error)
        return problem(error.status_code, str(error), {field: [words]} if field else None)

    def invalid(request: HttpRequest, error: Raised) -> HttpResponse:
        assert isinstance(error, ValidationError)
        errors: dict[str, list[str]] = {}
        for one in error.errors:
            errors.setdefault(_field(one), []).append(str(one["msg"]))
        return problem(422, "The request does not have the right form", errors)

    def broken(request: HttpRequest, error: Raised) -> HttpResponse:
        log.exception("request failed path=%s", request.path)
        return problem(500, "Something broke on our side; the request id names it in the log")

    for kind, answer in (
        (PermissionDenied, denied), (Http404, missing), (AuthenticationError, unknown), (VMProblem, refused),
        (FieldProblem, refused), (TeamProblem, refused), (GroupProblem, refused), (NetworkProblem, refused), (CheckProblem, refused), (HistoryProblem, refused), (BoardProblem, refused), (AlertProblem, refused), (TraceProblem, refused), (ActivityProblem, refused),
         (HttpError, malformed), (ValidationError, invalid), (Exception, broken),
    ):  # fmt: skip
        api.add_exception_handler(kind, answer)
