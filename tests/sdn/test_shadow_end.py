"""A shadow leaves nothing behind, however its process ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import wait_for

HOLDER = (
    "import sys; from sdn.shadow import Shadow; s = Shadow().__enter__(); print(s.rundir, flush=True); sys.stdin.read()"
)


def _is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, None])
def test_daemons_and_folder_go_with_their_process(how: signal.Signals | None) -> None:
    root = Path(__file__).resolve().parents[2]
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert holder.stdout is not None and holder.stdin is not None
    rundir = Path(holder.stdout.readline().strip())
    daemons = [int(file.read_text()) for file in rundir.glob("*.pid")]
    assert len(daemons) == 2 and all(map(_is_alive, daemons))
    if how is None:
        holder.stdin.close()
    else:
        os.kill(holder.pid, how)
    holder.wait(20)
    wait_for(
        lambda: not any(map(_is_alive, daemons)) and not rundir.exists(), 20, "the daemons and their folder are gone"
    )
    holder.stdout.close()
