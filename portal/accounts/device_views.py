"""The page on which a person lets a program in."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from portal.accounts.device import TOKEN_LIFE_DAYS, answer, find
from portal.accounts.scopes import WORDS
from portal.accounts.teams import TeamProblem
from portal.accounts.views import person


@require_http_methods(["GET", "HEAD", "POST"])
def device(request: HttpRequest) -> HttpResponse:
    """The short code is typed here (a link may bring it); then who asks is shown, and one agrees or not.

    Nothing happens on a GET: a link that somebody sends can at most fill in the field.
    """
    code, word = request.POST.get("code", request.GET.get("code", ""))[:20], request.POST.get("word", "")
    context: dict[str, object] = {"code": code, "days": TOKEN_LIFE_DAYS}
    try:
        if request.method == "POST" and word in ("agree", "deny"):
            context["told"] = answer(code, person(request), word == "agree")
        elif request.method == "POST":
            context["asked"] = found = find(code, person(request))
            context["scopes"] = [WORDS[scope] for scope in found.scopes]
    except TeamProblem as problem:
        return render(request, "accounts/device.html", context | {"errors": problem.errors}, status=422)
    return render(request, "accounts/device.html", context)
