"""A page for whoever goes to an address that only takes what a form sends: Django's own answer is a blank one."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import render


class OnlyForms:
    """Gives a refused GET (405) the product's look; the API and other methods keep their answers."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.next = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        answer = self.next(request)
        if answer.status_code != 405 or request.method != "GET" or request.path.startswith("/api/"):
            return answer
        page = render(request, "only_forms.html", status=405)
        page.headers["Allow"] = answer.headers["Allow"]
        return page
