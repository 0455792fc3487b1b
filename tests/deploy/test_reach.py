"""`deploy/reach`: the control sockets of a switch on another machine are used here, by a real SSH server.

[tracer]--unix--[ssh] ==SSH, port of 127.0.0.1== [sshd]--unix--[ovs-vswitchd@hv1]
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdn.shadow import Shadow
from sdn.transport.host_kernel import KernelUnread, namespace_of
from sdn.transport.unixctl import UnixctlClient, UnixctlError, find_vswitchd_socket
from tests.sdn.switch import Switch
from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.lab


def key_at(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[str]:
    """A server that lets root in by a key, with a /run of its own; the words for ssh."""
    key, own = key_at(tmp_path / "key"), key_at(tmp_path / "host")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = {
        "ListenAddress": f"127.0.0.1:{port}", "HostKey": own, "AuthorizedKeysFile": key.with_suffix(".pub"),
        "PidFile": "none", "StrictModes": "no", "UsePAM": "no",
    }  # fmt: skip
    (tmp_path / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in told.items()))
    words = 'mount -t tmpfs none /run && mkdir /run/sshd && exec /usr/sbin/sshd -D -f "$1"'
    argv = ["unshare", "-m", "sh", "-c", words, "sh", str(tmp_path / "sshd_config")]
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as server:
        yield f"-p {port} -i {key} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        server.terminate()


def version_at(folder: Path) -> str:
    """What the switch says by its socket in a folder; nothing where none answers."""
    try:
        client = UnixctlClient(find_vswitchd_socket(folder), 2.0)
        try:
            return client.run("version")
        finally:
            client.close()
    except (UnixctlError, OSError):
        return ""


def test_another_machines_switch_is_read_here_with_the_bridges_that_come_later(tmp_path: Path, ssh: str) -> None:
    folder = tmp_path / "hv1"
    with Shadow() as shadow:
        switch = Switch(shadow)
        switch.vsctl("add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=dummy")
        (shadow.rundir / "x -o ProxyCommand=evil.mgmt").touch()  # a host's word that becomes none of ours
        options = {"REACH_SSH": ssh, "REACH_FAR": str(shadow.rundir), "REACH_EVERY_S": "0.3", "REACH_GROUP": "0"}
        with subprocess.Popen([ROOT / "deploy/reach", "127.0.0.1", folder], env=os.environ | options) as reach:
            try:
                assert wait_for(lambda: version_at(folder), 20, "the switch answers here").startswith("ovs-vswitchd")
                assert oct(folder.stat().st_mode & 0o7777) == "0o2750"
                with pytest.raises(KernelUnread, match="another machine"):
                    namespace_of(folder)  # the number in the pid file is not of this machine
                assert flows_at(folder / "br-int.mgmt")
                switch.vsctl("add-br", "br-ex", "--", "set", "bridge", "br-ex", "datapath_type=dummy")
                wait_for(lambda: (folder / "br-ex.mgmt").exists() and flows_at(folder / "br-ex.mgmt"), 20, "the bridge")
                assert version_at(folder)
            finally:
                reach.send_signal(signal.SIGTERM)
        assert reach.returncode == 0 and not list(folder.iterdir())


def flows_at(path: Path) -> str:
    argv = ["ovs-ofctl", "-O", "OpenFlow14", "dump-flows", f"unix:{path}"]
    return subprocess.run(argv, capture_output=True, text=True, timeout=10).stdout
