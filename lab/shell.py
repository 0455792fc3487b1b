"""Running commands: argv lists only, with what they said when they fail."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence

from lab.paths import LabError


def run(argv: Sequence[str], *, env: Mapping[str, str] | None = None, timeout_s: float = 60) -> str:
    """The command's standard output. Raises LabError with the command and its words when it fails."""
    done = subprocess.run(argv, capture_output=True, text=True, env=env, timeout=timeout_s, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise LabError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip() or done.returncode}")
    return done.stdout


def succeeds(argv: Sequence[str]) -> bool:
    """Whether the command exits with 0."""
    return subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL).returncode == 0


def attempt(argv: Sequence[str]) -> None:
    """Run it and let it fail: for taking down what may not be there."""
    subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL)
