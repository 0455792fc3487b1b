"""One table of one bridge through ovs-ofctl: used where a person waits for an explanation, not for thousands of flows."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


class OfctlError(Exception):
    """The bridge's flows could not be read; the message holds ovs-ofctl's own words."""


def dump_table(socket: Path, table: int, deadline_s: float) -> str:
    """The table's flows with their counters, numbers instead of names. Raises OfctlError."""
    argv = ["ovs-ofctl", "-O", "OpenFlow14", "--no-names", "dump-flows", f"unix:{socket}", f"table={table}"]
    environment = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=deadline_s, check=False, env=environment)
    except FileNotFoundError as problem:
        raise OfctlError("ovs-ofctl is not installed here") from problem
    except subprocess.TimeoutExpired:
        raise OfctlError(f"no answer within {deadline_s:.0f} s") from None
    if done.returncode:
        raise OfctlError(done.stderr.strip() or f"ovs-ofctl ended with {done.returncode}")
    return done.stdout
