"""What the network core and the workers say in English sentences, in the page's language.

Such sentences are made where no page is, and are stored: a drop's reason, a trace's verdict, a cause, why an operation failed. Each is of
a form of `FORMS`, and is taken apart by it: `Dropped in table %(table)s …`. What stands at a name of `SAID` is a sentence itself, and at
one of `LISTED` are several. What is of no form is told piece by piece where it is a list or several sentences, and stays English else.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

from django.utils.translation import get_language, gettext

from portal.accounts.audit import WORDS as ACTS
from portal.config.told_bridges import FORMS as BRIDGES
from portal.config.told_forms import FORMS as CORE
from portal.config.told_hosts import FORMS as HOSTS
from portal.config.told_namespaces import FORMS as NAMESPACES
from portal.config.told_observed import FORMS as OBSERVED
from portal.config.told_operations import FORMS as OPERATIONS
from portal.config.told_pages import FORMS as PAGES
from portal.config.told_past import FORMS as PAST
from portal.config.told_records import FORMS as RECORDS
from portal.config.units import with_units
from portal.operations.stages import STAGES, TITLES

FORMS = CORE | BRIDGES | OPERATIONS | HOSTS | PAGES | PAST | OBSERVED | RECORDS | NAMESPACES
# The words of a stored trace, by their keys.
OF_TRACES = frozenset({"reason", "suggestion", "note", "detail", "words", "refused", "sentence", "explained_by"})
SAID = frozenset({"why", "words", "reason", "predicted", "real", "problem", "what", "found", "state", "lack", "sort"})
SAID |= {
    "fdb",
    "netfilter",
    "how",
    "asked",
    "rule",
    "where",
    "metric",
    "share",
    "verdict",
    "expected",
    "label",
    "truth",
    "parent",
    "many",
}
LISTED = frozenset({"problems", "seats"})
MEASURED = frozenset({"value", "limit", "pace"})
# What stands at a place is as narrow as it can be: short forms would take sentences of others apart else.
PLACES = dict.fromkeys(
    ("n", "total", "mib", "gib", "s", "ms", "percent", "most", "each", "cpus", "rate", "used"), r"[\d.,e+]+"
)
PLACES |= dict.fromkeys(("one", "two", "three"), r"\S+")
PLACES["asked"] = r"(?:any protocol|icmp type \d+(?: code \d+)?|[a-z0-9]+(?:/\d+(?:-\d+)?)?)(?: over IPv6)?"
PLACES["guest"] = r"\S+"  # after a sentence that may be of such a form too
PLACES |= dict.fromkeys(("label", "truth"), r"(?:[^.]|\.(?! ))+?")  # within one sentence
PLACES |= dict.fromkeys(("verdict", "expected"), r"[^:]+?")
PLACES["pace"] = r"[\d.]+ packets/s, [\d.]+ [kM]?bit/s"
PLACES["far"] = r"\S+"
PLACES["vlan"] = r"\d+(?:, \d+)*"
PLACES["mode"] = r"\S*"
PLACES["net"] = r"[0-9a-f.:]+(?:/\d+)?"
_TITLES = {*TITLES.values(), *(title for stages in STAGES.values() for _, title in stages)}
PLACES["title"] = "|".join(re.escape(title) for title in sorted(_TITLES, key=len, reverse=True))
PLACES["act"] = "|".join(re.escape(words) for words in sorted(ACTS.values(), key=len, reverse=True))
PLACE = re.compile(r"%\((\w+)\)s")
SENTENCE = re.compile(r"(?<=[.?!]) (?=[A-ZА-ЯЁ“]|\S+'s NIC is )")  # the last begins with a name
MOST_REMEMBERED = 4096


def told(sentence: str) -> str:
    """The sentence in the page's language; itself where that is English, or where nobody knows the form."""
    language = get_language() or "en"
    return sentence if not sentence or language.startswith("en") else _told(language, sentence)


def told_value(value: Any) -> Any:
    """A stored trace, or a part of one, with its sentences told; numbers, names and all the rest as they are."""
    if isinstance(value, list):
        return [told_value(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {name: _told_under(name, one) for name, one in value.items()}


def _told_under(name: str, value: Any) -> Any:
    if name == "findings":
        return [told(one) for one in value]
    return told(value) if name in OF_TRACES and isinstance(value, str) else told_value(value)


@lru_cache(maxsize=MOST_REMEMBERED)
def _told(language: str, sentence: str) -> str:
    first, rest = sentence[0], sentence[1:]
    for text, letter in ((sentence, str), (first.lower() + rest, str.upper), (first.upper() + rest, str.lower)):
        found = _of_form(text) if text != sentence or letter is str else None
        if found is not None:  # what begins with a name of capitals keeps it
            return found if found[1:2].isupper() else letter(found[0]) + found[1:]
    for split, glue, tell in PIECES:
        if len(pieces := split.split(sentence)) > 1 and (shown := [tell(piece) for piece in pieces]) != pieces:
            return glue.join(shown)
    return sentence


def _of_form(text: str) -> str | None:
    if text in FORMS:
        return gettext(text)
    for form, literal, pattern in _patterns():
        if literal in text and (match := pattern.fullmatch(text)):
            return gettext(form) % {name: _filled(name, value) for name, value in match.groupdict().items()}
    return None


def _filled(name: str, value: str) -> str:
    if name in LISTED:
        return "; ".join(_told_named(one) for one in value.split("; "))
    if name in ("title", "limit_of", "act", "link"):
        return gettext(value)
    if name == "ways":
        return gettext(" and ").join(told(one) for one in value.split(" and "))
    if name in MEASURED:
        return with_units(value)
    return told(value) if name in SAID else value


def _told_named(piece: str) -> str:
    """A piece of a list, which may be a name and what is said of it: `hv1 is in maintenance`."""
    name, _, rest = piece.partition(" ")
    found = told(piece)
    return f"{name} {told(rest)}" if found == piece and rest else found


def _told_sentence(piece: str) -> str:
    """One of several sentences, whose form may have no full stop."""
    found = told(piece)
    return f"{told(piece[:-1])}." if found == piece and piece.endswith(".") else found


# How what is of no form is split, what its pieces are joined by, and how each is told.
PIECES: tuple[tuple[re.Pattern[str], str, Callable[[str], str]], ...] = (
    (SENTENCE, " ", _told_sentence),
    (re.compile("; "), "; ", _told_named),
)


@cache
def _patterns() -> tuple[tuple[str, str, re.Pattern[str]], ...]:
    """Each form with places as a pattern, the longest first: the most particular one counts. Beside it the longest of its own words,
    which is cheap to look for."""
    with_places = sorted(
        (form for form in FORMS if PLACE.search(form)), key=lambda form: (-len(PLACE.sub("", form)), form)
    )
    return tuple((form, _literal(form), re.compile(_pattern(form), re.DOTALL)) for form in with_places)


def _literal(form: str) -> str:
    return max(PLACE.sub("\0", form).replace("%%", "%").split("\0"), key=len)


def _pattern(form: str) -> str:
    parts = PLACE.split(form)  # text, name, text, name, …
    seen: set[str] = set()
    out = []
    for number, part in enumerate(parts):
        if number % 2 == 0:
            out.append(re.escape(part.replace("%%", "%")))
        else:
            out.append(f"(?P={part})" if part in seen else f"(?P<{part}>{PLACES.get(part, '.+?')})")
            seen.add(part)
    return "".join(out)
