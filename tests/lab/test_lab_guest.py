"""A guest made by hand boots on a lab's hypervisor and answers.

[access]--eth0--[access0, br-int@hv1]--tap--[web-1]
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import lab as labs
from lab.commands import run
from lab.handmade import HandmadeGuest, plain_bridge, remove_guest, start_guest, virsh
from lab.images import TinyImage
from lab.paths import HypervisorPaths
from tests.lab.conftest import lab_name
from tests.lab.leftovers import left_of
from tests.lab.test_lab_life import kill
from tests.waiting import wait_for

pytestmark = pytest.mark.lab
ADDRESS = "10.20.0.11"
SSH_S = 12.0  # what is promised for a machine with a core to spare
OPTIONS = ("StrictHostKeyChecking=no", "LogLevel=ERROR", "BatchMode=yes", "ConnectTimeout=1")


def ssh(name: str, key: Path, *command: str) -> str | None:
    """What the guest said; None when it did not answer. Host keys are remembered beside the key."""
    options = [word for option in (*OPTIONS, f"UserKnownHostsFile={key}.hosts") for word in ("-o", option)]
    argv = [*labs.access_command(name), "ssh", "-i", str(key), *options, f"root@{ADDRESS}", *command]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    return done.stdout if done.returncode == 0 else None


@pytest.fixture(scope="module")
def guest(lab: tuple[HypervisorPaths, ...], tiny: TinyImage, ssh_key: Path) -> Iterator[str]:
    """The lab's name, with web-1 answering SSH on its first hypervisor."""
    name, host = lab[0].root.parent.name, lab[0]
    plain_bridge(host)
    labs.plug_access(name, "seat", "02:00:00:00:00:fa", "10.20.0.250/24", 1450)
    public = Path(f"{ssh_key}.pub").read_text()
    began = time.monotonic()
    try:
        start_guest(host, HandmadeGuest("web-1", "52:54:00:00:00:11", public, f"{ADDRESS}/24"), tiny)
        started_s = time.monotonic() - began
        wait_for(lambda: ssh(name, ssh_key, "true") is not None, SSH_S, "SSH of the guest")
        print(f"virsh start: {started_s:.2f} s; SSH answers after {time.monotonic() - began:.2f} s")
        yield name
    finally:
        remove_guest(host, "web-1")
        labs.unplug_access(name)
        run("ovs-vsctl", f"--db={host.ovsdb}", "--if-exists", "del-br", "br-int")


def test_it_answers_ssh_with_its_name_and_mtu(guest: str, ssh_key: Path) -> None:
    said = ssh(guest, ssh_key, "hostname; cat /sys/class/net/eth0/mtu")
    assert said is not None
    assert said.split() == ["web-1", "1450"]


def test_a_large_transfer_arrives_whole(guest: str, ssh_key: Path) -> None:
    said = ssh(guest, ssh_key, "dd if=/dev/zero bs=64k count=32 2>/dev/null")
    assert said is not None
    assert len(said) == 32 * 65536


def test_a_full_size_packet_passes_unfragmented(guest: str) -> None:
    run(*labs.access_command(guest), "ping", "-c1", "-W2", "-M", "do", "-s", str(1450 - 28), ADDRESS)


def test_it_has_the_tools_that_people_try_first(guest: str, ssh_key: Path) -> None:
    said = ssh(guest, ssh_key, "for tool in ping wget nc httpd ip traceroute; do command -v $tool; done")
    assert said is not None
    assert len(said.split()) == 6


def test_the_lab_counts_its_guests(guest: str) -> None:
    assert [host.guests for host in labs.status(guest).hosts] == [1, 0]


def test_a_seat_is_plugged_twice_unharmed(guest: str, ssh_key: Path) -> None:
    labs.plug_access(guest, "seat", "02:00:00:00:00:fa", "10.20.0.250/24", 1450)
    assert wait_for(lambda: ssh(guest, ssh_key, "echo here"), 60, "SSH after plugging again")


def test_it_survives_the_death_of_libvirtd(guest: str, lab: tuple[HypervisorPaths, ...], ssh_key: Path) -> None:
    kill(guest, "hv1", "libvirtd")
    labs.up(guest, 2)
    assert virsh(lab[0], "domstate", "web-1").strip() == "running"
    assert ssh(guest, ssh_key, "true") is not None


def test_it_is_reached_again_after_the_death_of_its_switch(
    guest: str, lab: tuple[HypervisorPaths, ...], ssh_key: Path
) -> None:
    kill(guest, "hv1", "ovs-vswitchd")
    labs.up(guest, 2)
    wait_for(lambda: ssh(guest, ssh_key, "true") is not None, 60, "SSH over the new switch process")


def test_it_keeps_its_host_key_over_a_reboot(guest: str, lab: tuple[HypervisorPaths, ...], ssh_key: Path) -> None:
    before = Path(f"{ssh_key}.hosts").read_text()
    virsh(lab[0], "destroy", "web-1")
    virsh(lab[0], "start", "web-1")
    wait_for(lambda: ssh(guest, ssh_key, "true") is not None, SSH_S, "SSH after a reboot")
    assert Path(f"{ssh_key}.hosts").read_text() == before


def test_it_shuts_down_when_asked(guest: str, lab: tuple[HypervisorPaths, ...]) -> None:
    virsh(lab[0], "shutdown", "web-1")
    wait_for(lambda: virsh(lab[0], "domstate", "web-1").strip() == "shut off", 60, "the guest's end")


def test_down_ends_guests_too(lab: tuple[HypervisorPaths, ...], tiny: TinyImage) -> None:
    name = lab_name("g")
    try:
        (host,) = labs.up(name, 1)
        plain_bridge(host)
        start_guest(host, HandmadeGuest("db-1", "52:54:00:00:00:12", "ssh-ed25519 none"), tiny)
        assert labs.status(name).hosts[0].guests == 1
    finally:
        labs.down(name)
    assert not any(left_of(name).values()), left_of(name)
