"""A NoCloud seed: an ISO 9660 volume called `cidata`, with Rock Ridge and Joliet names (cloud-init's NoCloud)."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import pycdlib


def write_seed(path: Path, files: Mapping[str, str]) -> None:
    """Write the seed disk with `files`: `meta-data`, `user-data` and, if wanted, `network-config`."""
    volume = pycdlib.PyCdlib()
    volume.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident="cidata")
    for number, (name, text) in enumerate(sorted(files.items())):
        content = text.encode()
        where = f"/SEED{number}.;1"
        volume.add_fp(io.BytesIO(content), len(content), where, rr_name=name, joliet_path=f"/{name}")
    volume.write(str(path))
    volume.close()
