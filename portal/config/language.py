"""The language of each answer: the person's own, else the browser's. The API speaks English: programs compare its words."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import translation
from django.utils.cache import patch_vary_headers

from portal.accounts.models import User

API = "/api/v1/"


class SpokenLanguage:
    """Speaks `language_of` the request while it is answered, and says so in `Content-Language`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith(API):
            return self.get_response(request)
        language = language_of(request)
        with translation.override(language):
            response = self.get_response(request)
        response.headers.setdefault("Content-Language", language)
        patch_vary_headers(response, ("Accept-Language",))
        return response


def language_of(request: HttpRequest) -> str:
    """What the person chose, else the cookie of who chose without a log-in, else the first that the browser asks for."""
    user = request.user
    if isinstance(user, User) and user.language in dict(settings.LANGUAGES):
        return user.language
    return translation.get_language_from_request(request)
