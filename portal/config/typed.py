"""Numbers as people type them into forms."""

from __future__ import annotations

import re

NUMBER = re.compile(r"[+-]?[0-9]{1,11}")


class NoNumber(int):
    """What was typed and is no number: -1, which no field allows, and which is told as it was typed."""

    text: str

    def __new__(cls, text: str) -> NoNumber:
        """The text, shortened."""
        made = super().__new__(cls, -1)
        made.text = text
        return made

    def __str__(self) -> str:
        return f"“{self.text[:20]}”"


def typed_number(text: str) -> int:
    """The number that was typed; a `NoNumber` for what is none."""
    text = text.strip()
    return int(text) if NUMBER.fullmatch(text) else NoNumber(text)
