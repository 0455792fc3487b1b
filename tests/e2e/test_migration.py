"""A guest that runs, moved between the lab's hosts by an operator: it stays reachable, its network goes with it, hosts are emptied.

[access]--br-int@hv1--vni--[br-int@hv2]--tap--[guest]   and the guest goes from one to the other
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.api import Api
from tests.e2e.conftest import Product
from tests.e2e.guests import LABS, answers_ssh, await_ssh, in_guest, script_with
from tests.waiting import wait_for

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("e2e"), pytest.mark.timeout(600)]
PING_EVERY_S = 0.05
ENDED = ("done", "failed", "cancelled")


@pytest.fixture(scope="module")
def olga(product: Product) -> Api:
    return Api(product, "olga")


@pytest.fixture(scope="module")
def vm(api: Api, key: Path) -> Iterator[dict[str, Any]]:
    asked = {"name": "move-1", "image": "tiny", "flavor": "nano", "network": "payments-net", "host": "hv1"}
    asked["user_data"] = script_with(key)
    status, answer = api.send("POST", "/vms", asked)
    assert status == 202, answer
    uuid = answer["vm"]["uuid"]
    yield wait_for(lambda: (found := api.get(f"/vms/{uuid}")) and found["ssh_at"] and found, 120, "SSH answers", 0.2)
    api.send("DELETE", f"/vms/{uuid}")
    wait_for(lambda: api.get(f"/vms/{uuid}") is None, 30, "it is gone", 0.1)
    for volume in api.get("/volumes")["items"]:
        if volume["name"].startswith("moved-"):
            api.send("DELETE", f"/volumes/{volume['uuid']}")


def ended(api: Api, uuid: str) -> dict[str, Any]:
    path = f"/operations/{uuid}"
    return wait_for(lambda: (one := api.get(path))["state"] in ENDED and one, 120, "the move ends", 0.1)


def move(api: Api, olga: Api, vm: dict[str, Any], host: str) -> dict[str, Any]:
    status, answer = olga.send("POST", "/migrations", {"vm": vm["uuid"], "host": host})
    assert status == 202, answer
    found = ended(api, answer["operation"]["uuid"])
    assert found["state"] == "done", found["error"]
    return found


def domains(product: Product, host: str) -> set[str]:
    socket = LABS / product.lab / host / "run/libvirt/libvirt-sock"
    argv = ["virsh", "-q", "-c", f"qemu+unix:///system?socket={socket}", "list", "--all", "--name"]
    return set(subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split())


def unanswered_s(ping: subprocess.Popen[str]) -> float:
    """For how long at a stretch no question was ever answered."""
    told, _ = ping.communicate(timeout=30)
    answered = {int(number) for number in re.findall(r"icmp_seq=(\d+) ttl", told)}
    assert answered, told[-300:]
    run = longest = 0
    for number in range(1, max(answered)):
        run = 0 if number in answered else run + 1
        longest = max(longest, run)
    return longest * PING_EVERY_S


def test_a_guest_moves_while_it_is_pinged_and_loses_less_than_it_stands_still(
    product: Product, api: Api, olga: Api, vm: dict[str, Any]
) -> None:
    words = ("ping", "-n", "-i", str(PING_EVERY_S), vm["address"])
    argv = ["ip", "netns", "exec", f"hs-{product.lab}-access", *words]
    ping = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: product.in_access("ping", "-c1", "-W1", vm["address"]).returncode == 0, 20, "it answers")
        found = move(api, olga, vm, "hv2")
        wait_for(lambda: product.in_access("ping", "-c1", "-W1", vm["address"]).returncode == 0, 20, "it answers there")
    finally:
        ping.send_signal(2)
    lost_s = unanswered_s(ping)
    stages = {stage["name"]: stage for stage in found["stages"]}
    stood = re.search(r"live, ([\d.]+) s after the guest stopped", stages["move"]["detail"])
    assert stood, stages["move"]
    # what raw libvirt loses is all that is asked while the guest stands still: its switch learns when it runs again
    assert lost_s <= float(stood[1]) + 0.5, (lost_s, stages["move"]["detail"])
    assert api.get(f"/vms/{vm['uuid']}")["host"] == "hv2" and answers_ssh(product, vm["address"])
    domain = f"hs-{vm['uuid']}"
    assert domain in domains(product, "hv2") and domain not in domains(product, "hv1")
    assert not list((LABS / product.lab / "hv1" / "disks").glob(f"{domain}*"))
    placement = api.get(f"/operations/{found['uuid']}")
    assert "from hv1 to hv2: asked for by name" in placement["stages"][0]["detail"]


def test_a_host_in_maintenance_takes_nothing_and_is_emptied_with_a_result_for_each(
    product: Product, api: Api, olga: Api, vm: dict[str, Any]
) -> None:
    here = api.get(f"/vms/{vm['uuid']}")["host"]
    other = {"hv1": "hv2", "hv2": "hv1"}[here]
    assert olga.send("PUT", f"/hosts/{other}/maintenance", {"in_maintenance": True, "note": "new disks"})[0] == 200
    try:
        status, results = olga.send("POST", f"/hosts/{here}/evacuate")
        mine = next(one for one in results if one["uuid"] == vm["uuid"])
        assert status == 200 and f"{other} is in maintenance" in mine["problem"] and mine["operation"] is None
    finally:
        olga.send("PUT", f"/hosts/{other}/maintenance", {"in_maintenance": False})
    olga.send("PUT", f"/hosts/{here}/maintenance", {"in_maintenance": True})
    try:
        _, results = olga.send("POST", f"/hosts/{here}/evacuate")
        mine = next(one for one in results if one["uuid"] == vm["uuid"])
        assert ended(api, mine["operation"])["state"] == "done"
        assert api.get(f"/vms/{vm['uuid']}")["host"] == other
    finally:
        olga.send("PUT", f"/hosts/{here}/maintenance", {"in_maintenance": False})


def summed(product: Product, key: Path, vm: dict[str, Any], serial: str) -> str:
    """What the guest reads from a volume of its, not from its memory."""
    disk = wait_for(lambda: disk_with(product, key, vm, serial), 30, "the guest has the disk", 0.3)
    read = f"echo 3 > /proc/sys/vm/drop_caches; dd if=/dev/{disk} bs=1M count=24 2>/dev/null | md5sum"
    return in_guest(product, key, vm, read).stdout.split()[0]


def disk_with(product: Product, key: Path, vm: dict[str, Any], serial: str) -> str:
    """The guest's name of the disk with that serial; a SCSI disk tells it in its vital product data."""
    look = f"grep -l {serial} /sys/block/vd*/serial /sys/block/sd*/device/vpd_pg80"
    told = in_guest(product, key, vm, look).stdout
    return told.split("/")[3] if told.startswith("/sys/block/") else ""


def volume_files(product: Product, host: str) -> set[str]:
    return {path.name for path in (LABS / product.lab / host / "disks" / "volumes").glob("hs-vol-*")}


def test_its_volumes_go_along_with_what_it_wrote(
    product: Product, api: Api, olga: Api, key: Path, vm: dict[str, Any]
) -> None:
    here = api.get(f"/vms/{vm['uuid']}")["host"]
    there = {"hv1": "hv2", "hv2": "hv1"}[here]
    wait_for(lambda: in_guest(product, key, vm, "true").returncode == 0, 60, "the key lets in", 0.3)
    asked = {"name": "moved-1", "size_gib": 1, "vm": "move-1"}
    status, answer = api.send("POST", "/volumes", asked)
    assert status == 202 and ended(api, answer["operation"]["uuid"])["state"] == "done", answer
    volume = answer["volume"]
    disk = wait_for(lambda: disk_with(product, key, vm, volume["serial"]), 30, "the guest has the disk", 0.3)
    noise = f"dd if=/dev/urandom of=/dev/{disk} bs=1M seek=4 count=16 conv=notrunc && sync"
    assert in_guest(product, key, vm, noise).returncode == 0
    before = summed(product, key, vm, volume["serial"])
    targets = olga.get(f"/migrations/{vm['uuid']}/targets")
    told = next(one for one in targets if one["host"] == there)
    assert told["volumes"] == [f"volume moved-1 is copied to {there}/hopsight, up to 1 GiB"] and not told["problems"]
    move(api, olga, vm, there)
    wait_for(lambda: in_guest(product, key, vm, "true").returncode == 0, 60, "the key lets in there", 0.3)
    assert summed(product, key, vm, volume["serial"]) == before
    found = api.get(f"/volumes/{volume['uuid']}")
    assert (found["pool"], found["state"]) == (f"{there}/hopsight", "attached")
    name = f"hs-vol-{volume['uuid']}.qcow2"
    assert name in volume_files(product, there) and name not in volume_files(product, here)


def changed(api: Api, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    status, answer = api.send(method, path, body)
    assert status == 202, answer
    found = ended(api, answer["operation"]["uuid"])
    assert found["state"] == "done", found["error"]
    return found


def test_its_snapshots_go_along_and_are_gone_back_to_and_merged_there(
    product: Product, api: Api, olga: Api, key: Path, vm: dict[str, Any]
) -> None:
    """[tiny] ← [before, with its memory] ← [between] ← [what it writes], and the same of its volume, which is moved-1."""
    here = api.get(f"/vms/{vm['uuid']}")["host"]
    there = {"hv1": "hv2", "hv2": "hv1"}[here]
    (volume,) = [one for one in api.get("/volumes")["items"] if one["name"] == "moved-1"]
    snapshots = f"/vms/{vm['uuid']}/snapshots"

    def disks() -> tuple[str, str]:
        return "vda", wait_for(lambda: disk_with(product, key, vm, volume["serial"]), 30, "the guest has the disk", 0.3)

    def writes(word: str) -> None:
        for disk in disks():
            put = f"echo {word} | dd of=/dev/{disk} bs=1M seek=30 conv=notrunc && sync"
            assert in_guest(product, key, vm, put).returncode == 0

    def reads() -> list[str]:
        get = "echo 3 > /proc/sys/vm/drop_caches; dd if=/dev/{} bs=1M skip=30 count=1 2>/dev/null | head -n 1"
        return [in_guest(product, key, vm, get.format(disk)).stdout.strip() for disk in disks()]

    writes("one")
    assert in_guest(product, key, vm, "echo kept > /tmp/kept").returncode == 0
    changed(api, "POST", snapshots, {"name": "before", "memory": True})
    writes("two")
    in_guest(product, key, vm, "rm /tmp/kept")
    changed(api, "POST", snapshots, {"name": "between"})
    writes("three")
    told = next(one for one in olga.get(f"/migrations/{vm['uuid']}/targets") if one["host"] == there)
    words = f"volume moved-1 and what froze of it are copied to {there}/hopsight, up to 1 GiB each"
    assert told["volumes"] == [words] and not told["problems"]

    found = move(api, olga, vm, there)
    assert next(one for one in found["stages"] if one["name"] == "layers")["detail"].startswith("3 files, ")
    wait_for(lambda: in_guest(product, key, vm, "true").returncode == 0, 60, "the key lets in there", 0.3)
    assert reads() == ["three", "three"]
    disks_dir = LABS / product.lab / here / "disks"
    assert not list(disks_dir.glob(f"hs-{vm['uuid']}*")) and not list(
        disks_dir.glob(f"volumes/hs-vol-{volume['uuid']}*")
    )

    before, between = api.get(snapshots)
    changed(api, "POST", f"{snapshots}/{before['uuid']}/revert")
    wait_for(lambda: in_guest(product, key, vm, "true").returncode == 0, 60, "it goes on there and lets in", 0.3)
    assert in_guest(product, key, vm, "cat /tmp/kept").stdout.strip() == "kept", "it goes on from its memory"
    assert reads() == ["one", "one"]
    frozen = LABS / product.lab / there / "disks" / between["disk_name"]
    dump = ["qemu-io", "-r", "-U", "-f", "qcow2", "-c", "read -v 30M 16", str(frozen)]
    assert "two" in subprocess.run(dump, capture_output=True, text=True, check=True).stdout
    for one in (between, before):  # nothing lies on it, and what the guest writes lies on it
        changed(api, "DELETE", f"{snapshots}/{one['uuid']}")
        assert reads() == ["one", "one"]
    assert api.get(snapshots) == []


def test_one_that_is_off_moves_with_its_disks_and_starts_there(
    product: Product, api: Api, olga: Api, key: Path, vm: dict[str, Any]
) -> None:
    (volume,) = [one for one in api.get("/volumes")["items"] if one["name"] == "moved-1"]
    before = summed(product, key, vm, volume["serial"])
    status, answer = api.send("POST", f"/vms/{vm['uuid']}/actions/force_off")
    assert status == 202 and ended(api, answer["operation"]["uuid"])["state"] == "done"
    here = api.get(f"/vms/{vm['uuid']}")["host"]
    there = {"hv1": "hv2", "hv2": "hv1"}[here]
    move(api, olga, vm, there)
    status, answer = api.send("POST", f"/vms/{vm['uuid']}/actions/start")
    assert status == 202, answer
    assert ended(api, answer["operation"]["uuid"])["state"] == "done"
    await_ssh(product, vm, "SSH answers there", 90)
    assert api.get(f"/vms/{vm['uuid']}")["host"] == there
    wait_for(lambda: in_guest(product, key, vm, "true").returncode == 0, 60, "the key lets in there", 0.3)
    assert summed(product, key, vm, volume["serial"]) == before
    name = f"hs-vol-{volume['uuid']}.qcow2"
    assert name in volume_files(product, there) and name not in volume_files(product, here)
