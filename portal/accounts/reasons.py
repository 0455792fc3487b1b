"""Why somebody changes something, in their own words: a header of the API, a field of the pages' forms, kept in the audit."""

from __future__ import annotations

from django.http import HttpRequest
from django.http.request import RawPostDataException
from django.utils.translation import gettext

HEADER = "X-Reason"
FIELD = "audit_reason"
MOST_REASON = 200


def reason_of(request: HttpRequest) -> str:
    """The request's reason in one line, or ""; what a form gives beyond the length that its field takes is cut."""
    text = _header(request)
    if not text and not request.path.startswith("/api/"):
        try:
            text = request.POST.get(FIELD, "")
        except RawPostDataException:  # its body was read as it came, so it was no form
            return ""
    return "".join(one if one.isprintable() else " " for one in text).strip()[:MOST_REASON]


def reason_refusal(request: HttpRequest) -> str:
    """Why the header cannot be kept, or ""."""
    given = len(_header(request))
    words = gettext("%(given)s characters were given; at most %(most)s are allowed")
    return words % {"given": given, "most": MOST_REASON} if given > MOST_REASON else ""


def _header(request: HttpRequest) -> str:
    text = request.headers.get(HEADER, "")
    try:
        return text.encode("latin-1").decode()  # servers hand headers on as Latin-1, people write UTF-8
    except UnicodeError:
        return text
