"""qemu-img over bytes that nobody vouches for: as nobody, in the import's own folder, with bounded CPU, memory and files."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tasks.hypervisor.disks import DiskProblem

NOBODY = 65534
CPU_S, MEMORY_BYTES = 1800, 2 * 1024**3


def hand_over(folder: Path) -> None:
    """The folder and its files are nobody's, so that nobody else's rights are needed."""
    folder.chmod(0o700)
    if os.getuid() == 0:
        for path in (folder, *folder.iterdir()):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


def run_in(folder: Path, *arguments: str, most_bytes: int, patience_s: float, accepted: tuple[int, ...] = (0,)) -> str:
    """What qemu-img wrote. Its paths are relative to the folder: the ones above are closed to it. Raises DiskProblem."""
    limits = ["prlimit", f"--cpu={CPU_S}", f"--as={MEMORY_BYTES}", f"--fsize={most_bytes}", "--core=0", "--nofile=64"]
    drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"]
    argv = [*limits, *(drop if os.getuid() == 0 else []), "qemu-img", *arguments]
    environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            argv, cwd=folder, env=environment, capture_output=True, text=True, errors="replace", timeout=patience_s,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except FileNotFoundError as missing:
        raise DiskProblem(f"{missing.filename} is not installed where the worker runs") from None
    except subprocess.TimeoutExpired:
        raise DiskProblem(f"looking at the image did not end within {patience_s:.0f} s") from None
    if done.returncode < 0:
        raise DiskProblem(f"qemu-img {arguments[0]} was stopped: the image wants more CPU, memory or disk than allowed")
    if done.returncode not in accepted:
        raise DiskProblem(f"qemu-img {arguments[0]}: {(done.stderr or done.stdout).strip()[-200:]}")
    return done.stdout
