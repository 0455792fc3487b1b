"""`manage.py run`: what it holds while it runs."""

from __future__ import annotations

import os

import pytest
from django.core.management.base import CommandError

from tasks.management.commands.run import claim_lab


def test_a_lab_is_one_runs_until_that_run_ends() -> None:
    claim = claim_lab("claimed")
    with pytest.raises(CommandError, match=f"process {os.getpid()}.*HOPSIGHT_LAB"):
        claim_lab("claimed")
    other = claim_lab("another")
    claim.close()
    claim_lab("claimed").close()
    other.close()
