"""The words of a rendered page that people read, or hear: what the law about English left on a Russian page walks over."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

from tests.words.texts import TERMS

# What nobody reads as words, and code, which is the same in each language.
SILENT = frozenset({"script", "style", "pre", "code", "svg", "kbd", "samp", "textarea"})
EMPTY = frozenset({"area", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"})
SPOKEN = ("aria-label", "title", "alt", "aria-valuetext")
# Words with more than letters in them: names with hyphens, addresses, time zones, rates of code.
NO_WORD = re.compile(r"\S*(?:[A-Za-z][\d_:/.@=-]|[\d_:/.@=-][A-Za-z])\S*")
LATIN = re.compile(r"[A-Za-z][A-Za-z’']+")


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self._open: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.texts += [value for name, value in attrs if name in SPOKEN and value]
        if tag not in EMPTY:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if data.strip() and SILENT.isdisjoint(self._open):
            self.texts.append(" ".join(data.split()))


def texts_of(page: str) -> list[str]:
    """What a reader or a screen reader gets of the page, in its order; code is left out."""
    reader = _Reader()
    reader.feed(page)
    return reader.texts


def english_of(page: str, known: frozenset[str]) -> Iterator[str]:
    """The texts that hold a word of Latin letters which is neither a term nor among the `known` names."""
    for text in texts_of(page):
        if set(LATIN.findall(NO_WORD.sub(" ", text))) - TERMS - known:
            yield text
