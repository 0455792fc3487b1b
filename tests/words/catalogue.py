"""A .po file's entries, as far as the tests ask."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from dataclasses import dataclass

LINE = re.compile(r'(msgctxt|msgid_plural|msgid|msgstr(?:\[\d\])?) (".*")')


@dataclass(frozen=True)
class Entry:
    words: str
    plural: str
    context: str
    translations: tuple[str, ...]
    is_fuzzy: bool


def entries(text: str) -> list[Entry]:
    """Every entry but the head, obsolete ones left out."""
    found = (_entry(block) for block in text.split("\n\n"))
    return [entry for entry in found if entry.words]


def _entry(block: str) -> Entry:
    parts: dict[str, str] = defaultdict(str)
    key = ""
    for line in block.splitlines():
        if match := LINE.fullmatch(line):
            key = match[1]
            parts[key] = ast.literal_eval(match[2])
        elif line.startswith('"'):
            parts[key] += ast.literal_eval(line)
    told = tuple(value for name, value in parts.items() if name.startswith("msgstr"))
    fuzzy = any(line.startswith("#,") and "fuzzy" in line for line in block.splitlines())
    return Entry(parts["msgid"], parts["msgid_plural"], parts["msgctxt"], told, fuzzy)
