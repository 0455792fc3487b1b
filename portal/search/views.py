"""The search page: what the palette shows, without script; and the keys."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from portal.accounts.access import require
from portal.search.find import find


@require_safe
def search(request: HttpRequest) -> HttpResponse:
    """Everything that the letters may mean."""
    require(request, "person.see")
    text = request.GET.get("q", "")[:200]
    found = [one for one in find(request, text) if not one.post]
    return render(request, "search/search.html", {"text": text, "found": found, "keys": [one for one in find(request, "") if one.keys]})  # fmt: skip
