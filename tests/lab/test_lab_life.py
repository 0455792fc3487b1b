"""A lab starts, heals, lives beside others, and leaves nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import lab as labs
from lab.commands import run
from lab.errors import LabError, NameInvalid
from lab.handmade import virsh
from lab.paths import HypervisorPaths, lab_paths, lab_root
from lab.processes import marked
from tests.lab.conftest import lab_name
from tests.lab.leftovers import interfaces, left_of
from tests.waiting import at_this_load, wait_for

pytestmark = pytest.mark.lab
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def name(as_root: None) -> Iterator[str]:
    """A lab's name for one test; whatever the test leaves is taken down."""
    chosen = lab_name("x")
    try:
        yield chosen
    finally:
        labs.down(chosen)


def kill(name: str, host: str, *commands: str) -> None:
    for process in marked(name, host):
        if process.command in commands:
            os.kill(process.pid, signal.SIGKILL)


def nothing_is_left(name: str) -> bool:
    found = left_of(name)
    assert not any(found.values()), found
    return True


def test_a_second_up_changes_nothing(name: str) -> None:
    began = time.monotonic()
    first = labs.up(name, 2)
    took_s = time.monotonic() - began
    before = labs.status(name)
    assert labs.up(name, 2) == first == lab_paths(name, 2)
    assert labs.status(name) == before
    assert before.is_up
    print(f"up of two hypervisors: {took_s:.2f} s")
    assert took_s < at_this_load(8)


def test_hypervisors_reach_each_other_over_the_underlay_with_room_for_tunnels(lab: tuple[HypervisorPaths, ...]) -> None:
    full_size = str(1600 - 28)
    run("ip", "netns", "exec", lab[0].netns, "ping", "-c1", "-W2", "-M", "do", "-s", full_size, lab[1].underlay_ip)


def test_each_hypervisor_has_its_own_libvirt(lab: tuple[HypervisorPaths, ...]) -> None:
    identities = {virsh(host, "capabilities").partition("<uuid>")[2].partition("</uuid>")[0] for host in lab}
    assert len(identities) == 2
    assert [virsh(host, "hostname").strip() for host in lab] == ["hv1", "hv2"]
    assert all(not virsh(host, "list", "--all", "--name").strip() for host in lab)


def test_the_lab_makes_br_ex_and_leaves_br_int_to_the_controller(name: str) -> None:
    (host,) = labs.up(name, 1)
    assert run("ovs-vsctl", f"--db={host.ovsdb}", "list-br").split() == ["br-ex"]


def test_the_internet_has_a_web_server(lab: tuple[HypervisorPaths, ...]) -> None:
    inet = lab[0].netns.replace("-hv1", "-inet")
    page = run("ip", "netns", "exec", inet, "busybox", "wget", "-q", "-O", "-", "http://203.0.113.80/")
    assert lab[0].root.parent.name in page


def test_two_labs_live_side_by_side(name: str, lab: tuple[HypervisorPaths, ...]) -> None:
    labs.up(name, 1)
    shared = lab[0].root.parent.name
    labs.down(name)
    assert labs.status(shared).is_up
    assert nothing_is_left(name)


def test_down_leaves_nothing(name: str) -> None:
    before = interfaces()
    labs.up(name, 2)
    assert interfaces() == before
    labs.down(name)
    assert nothing_is_left(name)
    assert interfaces() == before


def test_down_is_harmless_where_nothing_is(name: str) -> None:
    labs.down(name)
    assert nothing_is_left(name)


@pytest.mark.parametrize(
    "victims", [("ovs-vswitchd",), ("libvirtd",), ("sleep",), ("sleep", "libvirtd", "ovsdb-server")]
)
def test_down_leaves_nothing_after_a_kill(name: str, victims: tuple[str, ...]) -> None:
    labs.up(name, 1)
    kill(name, "hv1", *victims)
    labs.down(name)
    assert nothing_is_left(name)


def test_down_leaves_nothing_when_names_and_pid_files_are_lost(name: str) -> None:
    (host,) = labs.up(name, 1)
    for pidfile in (*host.ovs_rundir.glob("*.pid"), *(host.root / "run").glob("*.pid")):
        pidfile.unlink()
    run("ip", "netns", "del", host.netns)
    labs.down(name)
    assert nothing_is_left(name)


def test_down_leaves_nothing_of_half_an_up(name: str) -> None:
    run("ip", "netns", "add", f"hs-{name}-wire")
    (lab_root(name) / "hv1" / "run").mkdir(parents=True)
    labs.down(name)
    assert nothing_is_left(name)


@pytest.mark.parametrize(
    "victims", [("ovs-vswitchd",), ("libvirtd", "virtlogd"), ("sleep",), ("sleep", "ovsdb-server")]
)
def test_up_heals_what_was_killed(name: str, victims: tuple[str, ...]) -> None:
    (host,) = labs.up(name, 1)
    kill(name, "hv1", *victims)
    labs.up(name, 1)
    assert labs.status(name).is_up
    assert host.underlay_ip in run("ip", "-n", host.netns, "-br", "address", "show", "br-ex")
    assert virsh(host, "hostname").strip() == "hv1"


def test_up_heals_everything_killed_at_once(name: str) -> None:
    (host,) = labs.up(name, 1)
    kill(name, "hv1", "sleep", "libvirtd", "virtlogd", "ovsdb-server", "ovs-vswitchd")
    labs.up(name, 1)
    assert labs.status(name).is_up
    assert virsh(host, "hostname").strip() == "hv1"


def test_up_gives_a_lost_namespace_its_name_back(name: str) -> None:
    (host,) = labs.up(name, 1)
    before = labs.status(name)
    run("ip", "netns", "del", host.netns)
    labs.up(name, 1)
    assert labs.status(name) == before


@pytest.mark.parametrize("after_s", [0.2, 0.3, 0.4, 0.5, 0.7])
def test_an_up_killed_at_any_moment_is_taken_up_again_or_down(name: str, after_s: float) -> None:
    argv = [sys.executable, "-m", "lab", "up", "--name", name, "--hosts", "1"]
    half = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        half.wait(after_s)
    half.kill()
    half.wait()
    if after_s in (0.3, 0.5):
        (host,) = labs.up(name, 1)
        assert labs.status(name).is_up
        assert virsh(host, "hostname").strip() == "hv1"
    labs.down(name)
    assert nothing_is_left(name)


def test_a_command_that_a_killed_up_was_waiting_for_ends_with_the_lab(name: str) -> None:
    """[up ✘]--ovs-vsctl, which waits for an ovs-vswitchd that is stopped"""
    (host,) = labs.up(name, 1)
    (switch,) = [process for process in marked(name, "hv1") if process.command == "ovs-vswitchd"]
    os.kill(switch.pid, signal.SIGSTOP)
    run("ovs-vsctl", f"--db={host.ovsdb}", "--no-wait", "del-br", "br-ex")  # what the next up makes again
    argv = [sys.executable, "-m", "lab", "up", "--name", name, "--hosts", "1"]
    again = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)

    def waiting() -> bool:
        return any("ovs-vsctl" in str(line) for line in left_of(name)["command lines"])  # type: ignore[attr-defined]

    try:
        wait_for(waiting, 20, "up waits for the switch")
    finally:
        again.kill()
        again.wait()
    labs.down(name)
    assert nothing_is_left(name)


def test_up_adds_hypervisors_to_a_lab(name: str) -> None:
    labs.up(name, 1)
    assert len(labs.up(name, 2)) == 2
    assert len(labs.status(name).hosts) == 2


def test_status_says_which_daemon_is_missing(name: str) -> None:
    labs.up(name, 1)
    kill(name, "hv1", "libvirtd")
    (host,) = labs.status(name).hosts
    assert not host.is_up
    assert [daemon for daemon, pid in host.daemons.items() if not pid] == ["libvirtd"]


def test_the_command_line_tells_the_status(name: str) -> None:
    from lab.__main__ import main

    assert main(["up", "--name", name, "--hosts", "1"]) == 0
    assert main(["status", "--name", name, "--json"]) == 0
    assert main(["down", "--name", name]) == 0
    assert nothing_is_left(name)


def test_a_seat_needs_a_bridge(name: str) -> None:
    labs.up(name, 1)
    with pytest.raises(LabError, match="br-int"):
        labs.plug_access(name, "seat", "02:00:00:00:00:fa", "10.20.0.250/24", 1450)


def test_access_commands_run_where_the_seat_is(lab: tuple[HypervisorPaths, ...]) -> None:
    words = [*labs.access_command(lab[0].root.parent.name), "ip", "-br", "link"]
    assert "eth0" in subprocess.run(words, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("bad", ["", "A", "1a", "a-b", "a/../b", "abcdefghijklm"])
def test_a_name_that_would_not_fit_is_refused(bad: str) -> None:
    with pytest.raises(NameInvalid):
        lab_root(bad)


def test_socket_paths_fit_the_kernel_limit() -> None:
    longest = lab_paths("a" * 12, 50)[-1]
    for path in (longest.ovs_rundir / "ovs-vswitchd.4194304.ctl", longest.root / "run/libvirt/libvirt-admin-sock"):
        assert len(str(Path(path)).encode()) <= 107
