"""Fifty creates at once: none is lost, no quota is exceeded, no address is given twice, the hosts share them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.databases import own_database
from tests.tasks.parallel_creates import EACH, PEOPLE, QUOTA

ROOT = Path(__file__).resolve().parent.parent.parent


def test_fifty_creates_at_once_are_each_made_or_refused(tmp_path: Path) -> None:
    environment = {**os.environ, "HOPSIGHT_STATE": str(tmp_path), "HOPSIGHT_LOG": "ERROR", **own_database()}
    argv = [sys.executable, "-m", "tests.tasks.parallel_creates"]
    done = subprocess.run(argv, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["accepted"] == QUOTA == told["vms"]
    assert len(told["refused"]) == PEOPLE * EACH - QUOTA
    assert all("over quota" in words and "VMs" in words for words in told["refused"])
    assert told["operations"] == {"done": QUOTA}, told["errors"]
    assert told["states"] == {"running": QUOTA}
    assert len(set(told["addresses"])) == len(told["addresses"]) == 2 * QUOTA  # one of each family
    assert told["running"] == {"hv1": QUOTA // 2, "hv2": QUOTA // 2}
