"""The end of a console's log, and how it joins what the line says next. Pure but for the reading."""

from __future__ import annotations

import os
from pathlib import Path

TAIL_BYTES = 64 * 1024


def tail_of(path: Path, most: int = TAIL_BYTES) -> bytes:
    """The file's last whole lines, up to `most` bytes; nothing where there is no such file here."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - most))
            found = file.read(most)
    except OSError:
        return b""
    return found.partition(b"\n")[2] if size > most else found
