"""The team's library of user-data: what comes along, what it keeps, one more, one less."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from portal.accounts.access import refusal, require, team_for
from portal.accounts.views import person
from portal.compute.models import Snippet
from portal.compute.requests import VMProblem
from portal.compute.snippets import entries_of, forget_snippet, keep_snippet
from portal.compute.user_data import user_data_hints


@require_http_methods(["GET", "HEAD", "POST"])
def snippets(request: HttpRequest) -> HttpResponse:
    """The library; a snippet that is refused comes back as it was written, with what is wrong with it."""
    team = team_for(request, "snippet.see")
    errors: dict[str, list[str]] = {}
    if request.method == "POST":
        require(request, "snippet.change", team)
        try:
            row = keep_snippet(team, person(request), request.POST.get("name", ""), request.POST.get("text", ""))
            for hint in user_data_hints(row.text):
                messages.warning(request, f"{row.name}, {hint}")
            return redirect("snippets")
        except VMProblem as problem:
            errors = problem.errors
    context = {
        "team": team, "entries": entries_of(team), "errors": errors, "given": request.POST,
        "refusal": refusal(request, "snippet.change", team),
    }  # fmt: skip
    return render(request, "compute/snippets.html", context, status=422 if errors else 200)


@require_POST
def snippet_delete(request: HttpRequest, number: int) -> HttpResponse:
    """Keep it no longer."""
    rows = Snippet.objects.filter(team__memberships__user_id=request.user.pk or 0).select_related("team")
    row = get_object_or_404(rows, pk=number)
    require(request, "snippet.change", row.team)
    forget_snippet(row, person(request))
    return redirect("snippets")
