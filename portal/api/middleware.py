"""What holds for every answer of the API: problems as problem+json, ETags, and creates that are done once."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.http import ConditionalGetMiddleware

from portal.accounts.reasons import HEADER, reason_refusal
from portal.api.answers import CHANGING, only_fields, refuse_stale
from portal.api.models import KeptAnswer
from portal.api.problems import MEDIA_TYPE, TITLES, problem
from portal.api.spoken import spoken
from portal.api.tags import is_always_whole
from portal.config.bodies import refusal_words, refused_status

PREFIX = "/api/"
UNKEPT = (
    PREFIX + "v1/log-ins",
    PREFIX + "v1/tokens",
    PREFIX + "v1/teams",
    PREFIX + "v1/invitations",
)  # their answers are secrets, which the database is not to hold
WRITING = ("POST", *CHANGING)
KEY = re.compile(r"[\x21-\x7e]{1,200}")


class ApiAnswers:
    """Outside of the API it does nothing."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.next = get_response
        self.conditional = ConditionalGetMiddleware(get_response)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path.startswith(PREFIX):
            return self.next(request)
        if status := refused_status(request):
            words = refusal_words(request, status)
            return problem(status, words, {"body": [words]})
        if request.method in WRITING and (words := reason_refusal(request)):
            return problem(422, "The request does not have the right form", {HEADER: [words]})
        response = self._once(request) if request.method == "POST" else self._unless_stale(request)
        response = only_fields(request, response)
        if response.status_code >= 400 and response.headers.get("Content-Type") != MEDIA_TYPE:
            allowed = response.headers.get("Allow")  # RFC 9110, 15.5.6: a 405 names what is allowed
            response = problem(response.status_code, TITLES.get(response.status_code, response.reason_phrase))
            if allowed:
                response.headers["Allow"] = allowed
        response.headers.setdefault("Cache-Control", "private, no-cache")
        return response if is_always_whole(response) else self.conditional.process_response(request, response)

    def _unless_stale(self, request: HttpRequest) -> HttpResponseBase:
        if "If-Match" not in request.headers or request.method not in CHANGING:
            return spoken(request, self.next)
        with transaction.atomic():
            return refuse_stale(request, self.next) or self.next(request)

    def _once(self, request: HttpRequest) -> HttpResponseBase:
        """The answer to a create; with an Idempotency-Key that was used already, the answer of then."""
        key = request.headers.get("Idempotency-Key")
        if key is None or request.path.startswith(UNKEPT):
            return self.next(request)
        if not KEY.fullmatch(key):
            words = f"{len(key)} characters were given; 1 to 200 printable ASCII characters without spaces are allowed"
            return problem(422, "The request does not have the right form", {"Idempotency-Key": [words]})
        caller = request.headers.get("Authorization") or request.session.session_key or ""
        name = _digest(f"{caller}\0{key}".encode())
        asked = _digest(f"{request.path}\0".encode() + request.body)
        try:
            with transaction.atomic():
                row = KeptAnswer.objects.create(name=name, asked=asked)
                answer = self.next(request)
                if answer.status_code < 400 and isinstance(answer, HttpResponse):
                    row.status, row.body = answer.status_code, answer.content.decode()
                    row.save(update_fields=["status", "body"])
                else:
                    row.delete()
                return answer
        except IntegrityError:
            return self._again(name, asked)

    def _again(self, name: str, asked: str) -> HttpResponse:
        row = KeptAnswer.objects.filter(name=name).first()
        if row is None or row.asked != asked:
            words = "this key was used for another request: make a new one for each create"
            return problem(422, "The request does not have the right form", {"Idempotency-Key": [words]})
        answer = HttpResponse(row.body, status=row.status, content_type="application/json; charset=utf-8")
        answer.headers["Idempotent-Replayed"] = "true"
        return answer


def _digest(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()
