"""The time zone that the pages show times in to somebody."""

from __future__ import annotations

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from portal.accounts.audit import record
from portal.accounts.models import User
from portal.accounts.views import person
from portal.accounts.zones import zone_names


@require_POST
def time_zone(request: HttpRequest) -> HttpResponse:
    """Kept in the account; an empty one is the browser's, whichever that is."""
    user, asked = person(request), request.POST.get("time_zone")
    if asked is None or (asked and asked not in zone_names()):
        words = f"time_zone: {(asked or '')[:64]!r} was given; an IANA name such as Europe/Berlin is allowed, or nothing for the browser's"
        return HttpResponse(words, status=422, content_type="text/plain; charset=utf-8")
    if user.time_zone != asked:
        with transaction.atomic():
            change = {"before": {"time_zone": user.time_zone}, "after": {"time_zone": asked}}
            record("person.time_zone", None, user, ("user", str(user.pk), user.username), **change)
            User.objects.filter(pk=user.pk).update(time_zone=asked)
    return redirect("sessions")
