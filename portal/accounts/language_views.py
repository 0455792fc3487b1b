"""The language that the pages speak to somebody."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext
from django.views.decorators.http import require_POST

from portal.accounts.models import User
from portal.accounts.settings import change_settings


@login_not_required
@require_POST
def language(request: HttpRequest) -> HttpResponse:
    """Kept in the account of who is logged in, and in a cookie for the log-in page; back to where they were."""
    asked = request.POST.get("language", "")
    if asked not in dict(settings.LANGUAGES):
        words = gettext("language: “%(asked)s” was given; %(languages)s are there") % {
            "asked": asked[:20],
            "languages": ", ".join(dict(settings.LANGUAGES)),
        }
        return HttpResponse(words, status=422, content_type="text/plain; charset=utf-8")
    user = request.user
    if isinstance(user, User):
        change_settings(user, {"language": asked})
    response = redirect(_back(request))
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        asked,
        max_age=settings.LANGUAGE_COOKIE_AGE,
        secure=bool(settings.SESSION_COOKIE_SECURE),
        httponly=settings.LANGUAGE_COOKIE_HTTPONLY,
        samesite="Lax",
    )
    return response


def _back(request: HttpRequest) -> str:
    given = request.headers.get("Referer", "")  # of our own pages browsers send it whole (SECURE_REFERRER_POLICY)
    safe = url_has_allowed_host_and_scheme(given, {request.get_host()}, require_https=request.is_secure())
    return given if safe else "dashboard"
