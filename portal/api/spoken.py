"""What the API answers in another language, where the request asks for it by `Hopsight-Language`: pages' islands do.

Programs compare its words, so it is English else, whatever the person or the browser speaks; and what changes something is English always, as its
words may be kept.
"""

from __future__ import annotations

from collections.abc import Callable

import orjson
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import translation
from django.utils.cache import patch_vary_headers

from portal.api.problems import problem
from portal.config.told import told_value

HEADER = "Hopsight-Language"


def spoken(request: HttpRequest, ask: Callable[[HttpRequest], HttpResponseBase]) -> HttpResponseBase:
    """The answer in the language that the request names: words of tables are translated, and stored sentences told by their forms."""
    language = request.headers.get(HEADER, "en")
    if request.method != "GET" or language == "en":
        return ask(request)
    if language not in dict(settings.LANGUAGES):
        words = f"“{language[:20]}” was given; {', '.join(dict(settings.LANGUAGES))} are allowed"
        return problem(422, "The request does not have the right form", {HEADER: [words]})
    with translation.override(language):
        answer = ask(request)
        if isinstance(answer, HttpResponse) and _is_json(answer):
            answer.content = orjson.dumps(told_value(orjson.loads(answer.content)))
    answer.headers["Content-Language"] = language
    patch_vary_headers(answer, (HEADER,))
    return answer


def _is_json(answer: HttpResponse) -> bool:
    return answer.status_code == 200 and answer.headers.get("Content-Type", "").startswith("application/json")
