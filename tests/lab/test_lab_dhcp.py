"""The tiny guest takes what a DHCP server tells it.

[access: udhcpd]--eth0--[access0, br-int@hv1]--tap--[web-2]
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import lab as labs
from lab.commands import run
from lab.handmade import HandmadeGuest, plain_bridge, remove_guest, start_guest
from lab.images import TinyImage
from lab.paths import HypervisorPaths
from tests.waiting import wait_for

pytestmark = pytest.mark.lab
ADDRESS = "10.30.0.20"
SERVER = """\
interface eth0
start {address}
end {address}
lease_file {folder}/leases
pidfile {folder}/udhcpd.pid
opt subnet 255.255.255.0
opt router 10.30.0.1
opt dns 10.30.0.2 10.30.0.3
opt domain payments.example
opt mtu 1400
opt staticroutes 203.0.113.0/24 10.30.0.9, 0.0.0.0/0 10.30.0.8
"""


@pytest.fixture
def served(lab: tuple[HypervisorPaths, ...], tmp_path: Path) -> Iterator[str]:
    """The lab's name; its access namespace serves DHCP on br-int of the first hypervisor."""
    name, host = lab[0].root.parent.name, lab[0]
    plain_bridge(host)
    labs.plug_access(name, "seat", "02:00:00:00:00:fb", "10.30.0.250/24", 1450)
    settings = tmp_path / "udhcpd.conf"
    (tmp_path / "leases").touch()
    settings.write_text(SERVER.format(address=ADDRESS, folder=tmp_path))
    server = subprocess.Popen(
        [*labs.access_command(name), "busybox", "udhcpd", "-f", str(settings)], stderr=subprocess.DEVNULL
    )
    try:
        yield name
    finally:
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
        labs.unplug_access(name)
        run("ovs-vsctl", f"--db={host.ovsdb}", "--if-exists", "del-br", "br-int")


def test_address_mtu_routes_and_resolver_come_by_dhcp(
    served: str, lab: tuple[HypervisorPaths, ...], tiny: TinyImage, ssh_key: Path
) -> None:
    public = Path(f"{ssh_key}.pub").read_text()
    words = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=1")
    options = [word for option in words for word in ("-o", option)]
    look = "cat /sys/class/net/eth0/mtu; ip route; cat /etc/resolv.conf"
    argv = [*labs.access_command(served), "ssh", "-i", str(ssh_key), *options, f"root@{ADDRESS}", look]

    def answer() -> str:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
        return done.stdout if done.returncode == 0 else ""

    began = time.monotonic()
    start_guest(lab[0], HandmadeGuest("web-2", "52:54:00:00:00:22", public), tiny)
    try:
        said = wait_for(answer, 90, "SSH at the address that DHCP gave")
    finally:
        remove_guest(lab[0], "web-2")
    print(f"define to SSH with DHCP: {time.monotonic() - began:.2f} s")
    lines = [line.strip() for line in said.splitlines()]
    assert lines[0] == "1400"
    assert any(line.startswith("default via 10.30.0.8") for line in lines)
    assert any(line.startswith("203.0.113.0/24 via 10.30.0.9") for line in lines)
    assert lines[-3:] == ["nameserver 10.30.0.2", "nameserver 10.30.0.3", "search payments.example"]
