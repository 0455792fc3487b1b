"""The lab that tests share: one per run and worker, gone at its end. Tests of it run on one worker (`xdist_group`)."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import lab as labs
from lab.images import TinyImage, default_cache, ensure_tiny
from lab.paths import HypervisorPaths

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE) and item.get_closest_marker("lab"):
            item.add_marker(pytest.mark.xdist_group("lab"))


def lab_name(prefix: str) -> str:
    """A lab's name that no other run or worker of this machine has."""
    worker = re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "")) or "0"
    return f"{prefix}{worker}p{os.getpid()}"[:12]


@pytest.fixture(scope="session")
def as_root() -> None:
    """Skips without root; fails where CI says that nothing may be missing."""
    if os.getuid() == 0:
        return
    if os.environ.get("CI") == "true":
        pytest.fail("the lab's tests need root")
    pytest.skip("the lab's tests need root")


@pytest.fixture(scope="session")
def lab(as_root: None) -> Iterator[tuple[HypervisorPaths, ...]]:
    """Two hypervisors; their lab's name is the folder above theirs: `lab[0].root.parent.name`."""
    name = lab_name("t")
    labs.down(name)
    try:
        yield labs.up(name, 2)
    finally:
        labs.down(name)


@pytest.fixture(scope="session")
def tiny(as_root: None) -> TinyImage:
    """The tiny guest image, from the machine's cache."""
    return ensure_tiny(default_cache())


@pytest.fixture(scope="session")
def ssh_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private key; its public half is beside it (`.pub`)."""
    path = tmp_path_factory.mktemp("key") / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path
