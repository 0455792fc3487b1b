"""The preview: hosts for whoever has no root."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.commands import run
from lab.preview import preview_down, preview_up

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534


@pytest.fixture
def state() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hs-", dir="/tmp") as folder:
        try:
            yield Path(folder)
        finally:
            preview_down(Path(folder))


def test_each_host_has_a_switch_of_its_own(state: Path) -> None:
    first, second = preview_up(state, 2)
    run("ovs-vsctl", f"--db={first.ovsdb}", "--timeout=5", "add-br", "br-int")
    assert (first.ovs_rundir / "br-int.mgmt").exists()
    assert run("ovs-vsctl", f"--db={second.ovsdb}", "list-br") == ""
    assert first.libvirt_uri == "test:///default"


def test_a_second_up_keeps_what_there_is(state: Path) -> None:
    (host,) = preview_up(state, 1)
    before = (host.ovs_rundir / "ovs-vswitchd.pid").read_text()
    assert preview_up(state, 1) == (host,)
    assert (host.ovs_rundir / "ovs-vswitchd.pid").read_text() == before


def test_a_long_state_folder_gets_a_short_one(state: Path) -> None:
    deep = state / ("long" * 30)
    try:
        (host,) = preview_up(deep, 1)
        assert (host.ovs_rundir / "db.sock").is_socket()
    finally:
        preview_down(deep)
    assert not host.root.exists()


def test_down_leaves_nothing(state: Path) -> None:
    (host,) = preview_up(state, 1)
    preview_down(state)
    assert not host.root.exists()
    said = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(state) not in said


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_it_needs_no_root(state: Path) -> None:
    os.chown(state, NOBODY, NOBODY)
    code = (
        "import os, pathlib; from lab.preview import preview_up, preview_down; "
        f"os.setgid({NOBODY}); os.setuid({NOBODY}); state = pathlib.Path({str(state)!r}); "
        "host, = preview_up(state, 1); assert host.ovs_rundir.joinpath('db.sock').is_socket(); preview_down(state)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=60)
