"""Consent to removing what nothing of ours explains: each thing ticked, and the name typed of where it lies."""

from __future__ import annotations

from django.utils.translation import gettext, ngettext


def consent_problems(ticked: int, gone: int, most: int, name: str, typed: str) -> list[str]:
    """All that is wrong with so many ticked things, of which `gone` are not there (any more), and what was typed for `name`."""
    problems = []
    if gone:
        words = ngettext(
            "%(count)s of them is not among what was found there: look again",
            "%(count)s of them are not among what was found there: look again",
            gone,
        )
        problems.append(words % {"count": gone})
    if not ticked:
        problems.append(gettext("tick what is to be removed"))
    if ticked > most:
        words = gettext("%(count)s were ticked; %(most)s at a time are allowed")
        problems.append(words % {"count": ticked, "most": most})
    if typed.strip() != name:
        words = gettext("type %(name)s to consent; “%(typed)s” was typed")
        problems.append(words % {"name": name, "typed": typed[:40]})
    return problems
