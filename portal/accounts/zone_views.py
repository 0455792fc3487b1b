"""The time zone that the pages show times in to somebody."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from portal.accounts.settings import change_settings, setting_problems
from portal.accounts.views import person


@require_POST
def time_zone(request: HttpRequest) -> HttpResponse:
    """Kept in the account; an empty one is the browser's, whichever that is."""
    asked = {"time_zone": request.POST.get("time_zone", "nothing")}
    if problems := setting_problems(asked):
        words = f"time_zone: {problems['time_zone'][0]}"
        return HttpResponse(words, status=422, content_type="text/plain; charset=utf-8")
    change_settings(person(request), asked)
    return redirect("sessions")
