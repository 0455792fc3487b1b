"""The catalogues are built products: compiled once before these tests, by the function that the scripts use."""

from __future__ import annotations

import subprocess

import pytest
from django.conf import settings


@pytest.fixture(scope="session", autouse=True)
def compiled_words() -> None:
    subprocess.run(["sh", "-c", '. "$0"; ensure_words', str(settings.BASE_DIR / "scripts" / "lib.sh")], check=True)
