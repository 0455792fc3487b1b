"""/metrics for Prometheus: for the scraper's token, and for operators. Everybody else is refused."""

from __future__ import annotations

import secrets

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from portal.accounts.access import require
from portal.accounts.tokens import token_of
from portal.metrics.families import Rows

BEARER = "Bearer "


@login_not_required
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Every metric, in the text form that the scraper asks for."""
    given = request.headers.get("Authorization", "")
    if given.startswith(BEARER):
        secret = given.removeprefix(BEARER).strip()
        if not _is_scrapers(secret):
            row = token_of(secret)
            if row is None:
                return _refused()
            request.user = row.user
            request.api_token = row  # type: ignore[attr-defined]
            require(request, "metrics.see")
    elif not request.user.is_authenticated:
        return _refused()
    else:
        require(request, "metrics.see")
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Rows())
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(registry), content_type=content_type)


def _is_scrapers(secret: str) -> bool:
    wanted = settings.METRICS_TOKEN
    return bool(wanted) and secrets.compare_digest(secret.encode(), wanted.encode())


def _refused() -> HttpResponse:
    words = "Metrics are for operators: send an operator's token, or HOPSIGHT_METRICS_TOKEN, as a bearer token.\n"
    answer = HttpResponse(words, status=401, content_type="text/plain; charset=utf-8")
    answer.headers["WWW-Authenticate"] = "Bearer"
    return answer
