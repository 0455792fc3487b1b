"""`kill -9` of each of our processes: it comes back, no packet between running guests is lost, and a create in flight ends
as a VM or as nothing.

[web-k]--tap--[br-int@hvX]==vni 4097==[br-int@hvY]--tap--[db-k], pinging five times a second all the while
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab.processes import is_zombie
from tests.e2e.api import Api
from tests.e2e.conftest import ROOT, Product
from tests.e2e.guests import LABS, script_with
from tests.waiting import wait_for

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("e2e"), pytest.mark.timeout(600)]
PROCESSES = {
    "web": "uvicorn", "worker": " worker ", "beat": " beat ", "collector": "manage.py collector",
    "controller": "manage.py controller", "redis": "redis-server",
}  # fmt: skip
SSH = (
    "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes -o ConnectTimeout=5"
)


@dataclass
class Scene:
    """Two guests on two hosts, one pinging the other."""

    product: Product
    api: Api
    key: Path
    web: dict[str, Any]
    db: dict[str, Any]
    made: int = 0

    def ssh(self, command: str) -> list[str]:
        """The argv that runs a command in web-k."""
        access = ("ip", "netns", "exec", f"hs-{self.product.lab}-access")
        return [*access, "ssh", "-i", str(self.key), *SSH.split(), f"root@{self.web['address']}", command]

    def create(self) -> dict[str, Any]:
        """Ask for one more VM; its VM and operation."""
        self.made += 1
        return _create(self.api, f"k-{self.made}")

    def pid(self, name: str) -> int | None:
        """The running process of that name."""
        return _children(self.product).get(name)

    def host_root(self, host: str) -> Path:
        return LABS / self.product.lab / host


def _create(api: Api, name: str, user_data: str = "") -> dict[str, Any]:
    asked = {"name": name, "image": "tiny", "flavor": "nano", "network": "payments-net", "user_data": user_data}
    status, answer = api.send("POST", "/vms", asked)
    assert status == 202, answer
    return dict(answer)


def _children(product: Product) -> dict[str, int]:
    assert product.process is not None
    argv = ["ps", "-o", "pid=,args=", "--ppid", str(product.process.pid)]
    lines = subprocess.run(argv, capture_output=True, text=True).stdout.splitlines()
    return {
        name: int(line.split()[0])
        for name, mark in PROCESSES.items()
        for line in lines
        if mark in f"{line} " and "defunct" not in line
    }


@pytest.fixture(scope="module")
def scene(product: Product, api: Api, key: Path) -> Iterator[Scene]:
    login = script_with(key)
    uuids = [_create(api, name, login)["vm"]["uuid"] for name in ("web-k", "db-k")]
    for uuid in uuids:
        wait_for(lambda uuid=uuid: (api.get(f"/vms/{uuid}") or {}).get("ssh_at"), 120, "SSH of the guests answers", 0.2)
    scene = Scene(product, api, key, *(api.get(f"/vms/{uuid}") for uuid in uuids))
    assert scene.web["host"] != scene.db["host"]
    reach = scene.ssh(f"ping -c 1 {scene.db['address']}")
    wait_for(lambda: subprocess.run(reach, capture_output=True).returncode == 0, 60, "the guests reach each other", 0.2)
    yield scene
    for vm in api.get("/vms")["items"]:
        api.send("DELETE", f"/vms/{vm['uuid']}")
    wait_for(lambda: api.get("/vms")["items"] == [], 60, "all VMs are gone", 0.2)


@pytest.fixture
def no_ping_is_lost(scene: Scene) -> Iterator[None]:
    pinging = subprocess.Popen(scene.ssh(f"ping -i 0.2 {scene.db['address']}"), stdout=subprocess.PIPE, text=True)
    yield
    subprocess.run(scene.ssh("killall -INT ping"), check=True, timeout=30)
    told, _ = pinging.communicate(timeout=30)
    counted = re.search(r"(\d+) packets transmitted, (\d+) packets received", told)
    assert counted is not None, told[-500:]
    sent, received = map(int, counted.groups())
    assert sent > 3
    assert sent - received <= 1, told[-300:]  # the one in flight when the ping is ended may be open
    numbers = [int(number) for number in re.findall(r"seq=(\d+)", told)]
    assert numbers == list(range(received)), "a ping in between was lost"


def _flows(scene: Scene, host: str) -> dict[str, float]:
    """Each flow's age in seconds, by all of it that is not a count."""
    switch = f"unix:{scene.host_root(host)}/run/openvswitch/br-int.mgmt"
    argv = ["ovs-ofctl", "-O", "OpenFlow14", "dump-flows", switch]
    found = {}
    for line in subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines():
        if age := re.search(r"duration=([\d.]+)s", line):
            found[re.sub(r"duration=\S+ |n_packets=\S+ |n_bytes=\S+ |(idle|hard)_age=\S+ ", "", line)] = float(age[1])
    return found


def _kill(scene: Scene, name: str) -> None:
    pid = wait_for(lambda: scene.pid(name), 15, f"{name} runs")
    os.kill(pid, signal.SIGKILL)


def _is_back(scene: Scene, name: str, old: int | None) -> None:
    wait_for(lambda: scene.pid(name) not in (None, old), 15, f"{name} is started again")


def _ends_whole(scene: Scene, asked: dict[str, Any], deadline_s: float = 60) -> str:
    """Wait for the operation's end, and see that its VM is there whole or not at all; the operation's state."""
    path = f"/operations/{asked['operation']['uuid']}"
    state = wait_for(lambda: _ended(scene.api.get(path)), deadline_s, f"{path} ends", 0.1)
    vm = scene.api.get(f"/vms/{asked['vm']['uuid']}")
    states = {}
    for host in ("hv1", "hv2"):
        uri = f"qemu+unix:///system?socket={scene.host_root(host)}/run/libvirt/libvirt-sock"
        argv = ["virsh", "-q", "-c", uri, "list", "--all"]
        for line in subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines():
            states[line.split()[1]] = line.split()[2]
    domain = f"hs-{asked['vm']['uuid']}"
    if state == "done":
        assert vm["state"] == "running" and states[domain] == "running"
    else:
        assert vm is None and domain not in states
    return state


def _ended(operation: dict[str, Any]) -> str:
    return operation["state"] if operation["state"] in ("done", "failed") else ""


def test_no_flow_is_added_again_when_the_controller_dies(scene: Scene, no_ping_is_lost: None) -> None:
    before = {host: _flows(scene, host) for host in ("hv1", "hv2")}
    began, old = time.monotonic(), scene.pid("controller")
    seen = len([line for line in scene.product.lines if "generation=" in line])
    _kill(scene, "controller")
    _is_back(scene, "controller", old)
    wait_for(
        lambda: _is_connected(scene, "hv1") and _is_connected(scene, "hv2"), 20, "the switches are connected again"
    )
    asked = scene.create()  # its flows come: the new controller has taken both switches over
    assert _ends_whole(scene, asked) == "done"
    lived = time.monotonic() - began
    assert len([line for line in scene.product.lines if "generation=" in line]) > seen
    for host, flows in before.items():
        after = _flows(scene, host)
        kept = {text for text in flows if text in after}
        assert len(kept) > 40
        young = {text for text in kept if after[text] < flows[text] + lived - 2}
        assert not young, f"{host}: added again: {sorted(young)[:5]}"
    scene.api.send("DELETE", f"/vms/{asked['vm']['uuid']}")


def _is_connected(scene: Scene, host: str) -> bool:
    database = f"--db=unix:{scene.host_root(host)}/run/openvswitch/db.sock"
    argv = ["ovs-vsctl", database, "--columns=is_connected", "--bare", "list", "Controller"]
    return "true" in subprocess.run(argv, capture_output=True, text=True).stdout


@pytest.mark.parametrize("name", list(PROCESSES))
def test_a_create_in_flight_ends_whole_when_a_process_is_killed(scene: Scene, no_ping_is_lost: None, name: str) -> None:
    old = scene.pid(name)
    if name == "redis":  # the broker is away when the VM is asked for
        _kill(scene, name)
        asked = scene.create()
    else:
        asked = scene.create()
        if name != "web":
            path = f"/operations/{asked['operation']['uuid']}"
            wait_for(lambda: scene.api.get(path)["state"] != "queued", 20, "a worker is at it", 0.01)
        _kill(scene, name)
    _is_back(scene, name, old)
    _ends_whole(scene, asked)
    scene.api.send("DELETE", f"/vms/{asked['vm']['uuid']}")


def test_the_next_run_heals_what_a_killed_one_left(scene: Scene, no_ping_is_lost: None) -> None:
    product = scene.product
    assert product.process is not None
    asked = scene.create()
    children = set(_children(product).values())
    os.kill(product.process.pid, signal.SIGKILL)
    product.process.wait()
    wait_for(lambda: all(is_zombie(pid) for pid in children), 20, "nothing outlives it")
    product.start()
    _ends_whole(scene, asked)
    names = {vm["name"] for vm in scene.api.get("/vms")["items"]}
    assert {"web-k", "db-k"} <= names


def test_a_second_run_in_the_same_folder_is_refused_in_words(product: Product) -> None:
    argv = [*product.python, str(ROOT / "manage.py"), "run"]
    done = subprocess.run(argv, env=product.environment(), cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert product.process is not None
    assert done.returncode != 0 and f"already (process {product.process.pid})" in done.stderr
