"""The time zone of each page: the person's own, else the browser's. The API tells UTC: programs compare its times."""

from __future__ import annotations

from collections.abc import Callable
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from portal.accounts.zones import zone_of
from portal.config.language import API


class ShownZone:
    """Shows times in `zone_of` the request while it is answered; pieces of pages that are fetched later come this way too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith(API):
            return self.get_response(request)
        with timezone.override(ZoneInfo(zone_of(request))):
            return self.get_response(request)
