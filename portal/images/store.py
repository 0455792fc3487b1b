"""Where images of teams lie, by the uuid of their import: names are ours, never a person's."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import UUID

from django.conf import settings


def incoming_folder(uuid: UUID) -> Path:
    """The import's own folder; gone when the import ended."""
    return Path(settings.IMAGE_CACHE) / "incoming" / str(uuid)


def source_file(uuid: UUID) -> Path:
    """The bytes as they came."""
    return incoming_folder(uuid) / "source"


def image_file(uuid: UUID) -> Path:
    """The finished image, a qcow2."""
    return Path(settings.IMAGE_CACHE) / "imported" / f"{uuid}.qcow2"


def write_at(uuid: UUID, offset: int, chunk: bytes) -> None:
    """Put a chunk at its place; the same chunk again changes nothing. What lay behind it, of an attempt cut off, goes."""
    target = source_file(uuid)
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.seek(offset)
        file.write(chunk)
        file.truncate(offset + len(chunk))
