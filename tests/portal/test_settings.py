"""What can be set is told, and reaches the containers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
# What compose itself decides, and what only this tree's own processes set.
FIXED = {"STATE", "DATABASE", "REDIS", "CONSOLE", "IMAGES", "HOSTS", "ORIGINS", "HTTPS", "SECRET", "MODE", "LAB", "VITE_DEV"}  # fmt: skip
NAME = re.compile(r"HOPSIGHT_([A-Z_]+)")
ASKED = sorted(set(NAME.findall((ROOT / "portal/config/settings.py").read_text())) - FIXED)


@pytest.mark.parametrize("name", ASKED)
def test_a_setting_is_in_the_docs_and_is_passed_by_compose(name: str) -> None:
    docs = " ".join(page.read_text() for page in (ROOT / "docs").glob("*.md"))
    assert name in NAME.findall(docs)
    assert f"${{HOPSIGHT_{name}:-" in (ROOT / "docker-compose.yml").read_text()
