"""What the network core and the workers say in English sentences, in the page's language.

Such sentences are made where no page is, and are stored: a drop's reason, a trace's verdict, a cause. Each is of a form of `FORMS`,
and is taken apart by it: `Dropped in table %(table)s …`. What stands at a name of `SAID` is a sentence itself. What is of no form
stays English.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Any

from django.utils.translation import get_language, gettext

from portal.config.told_forms import FORMS

# The words of a stored trace, by their keys.
OF_TRACES = frozenset({"reason", "suggestion", "note", "detail", "words", "refused"})
SAID = frozenset({"why", "words", "reason", "predicted", "real"})
PLACE = re.compile(r"%\((\w+)\)s")
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
    for text in dict.fromkeys((sentence, sentence[0].lower() + sentence[1:])):
        found = _of_form(text)
        if found is not None:
            return found if text == sentence else found[0].upper() + found[1:]
    return sentence


def _of_form(text: str) -> str | None:
    if text in FORMS:
        return gettext(text)
    for form, pattern in _patterns():
        if match := pattern.fullmatch(text):
            values = {name: told(value) if name in SAID else value for name, value in match.groupdict().items()}
            return gettext(form) % values
    return None


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Each form with places as a pattern, the longest first: the most particular one counts."""
    with_places = sorted((form for form in FORMS if PLACE.search(form)), key=lambda form: -len(PLACE.sub("", form)))
    return tuple((form, re.compile(_pattern(form), re.DOTALL)) for form in with_places)


def _pattern(form: str) -> str:
    parts = PLACE.split(form)  # text, name, text, name, …
    seen: set[str] = set()
    out = []
    for number, part in enumerate(parts):
        if number % 2 == 0:
            out.append(re.escape(part.replace("%%", "%")))
        else:
            out.append(f"(?P={part})" if part in seen else f"(?P<{part}>.+?)")
            seen.add(part)
    return "".join(out)
