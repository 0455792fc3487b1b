"""Links of processes that serve no pages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from django.urls import reverse

from portal.config.links import PLACES, link

WEIGHTY = ("libvirt", "ninja", "portal.config.urls")  # some 10 to 25 MiB each


@pytest.mark.parametrize("name", PLACES)
def test_a_link_leads_where_the_pages_are(name: str) -> None:
    args = [uuid4()] if "{}" in PLACES[name] else []
    assert link(name, *args) == reverse(name, args=args)


def test_the_controller_process_loads_neither_the_pages_nor_libvirt() -> None:
    program = f"import sys, django; django.setup(); import tasks.controller; print([one for one in {WEIGHTY} if one in sys.modules])"  # fmt: skip
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "portal.config.settings"}
    root = Path(__file__).resolve().parents[2]
    told = subprocess.run([sys.executable, "-c", program], cwd=root, env=environment, capture_output=True, text=True)
    assert told.stdout.strip() == "[]", told.stderr
