"""A running guest's disks: volumes plugged, grown, copied and taken away, and snapshots of its own, with the bytes it reads.

[vols-1 /dev/vdX]--virtio-blk--[hv1/hopsight: hs-vol-….qcow2]    [/dev/vda]--[layer] ← … ← [image]
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.api import Api
from tests.e2e.conftest import Product
from tests.e2e.guests import in_guest, script_with
from tests.e2e.test_life import ended
from tests.waiting import wait_for

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("e2e"), pytest.mark.timeout(600)]
GIB_SECTORS = 2 * 1024**2


@pytest.fixture(scope="module")
def vm(product: Product, api: Api, key: Path) -> Iterator[dict[str, Any]]:
    asked = {
        "name": "vols-1",
        "image": "tiny",
        "flavor": "nano",
        "network": "payments-net",
        "user_data": script_with(key),
    }
    status, answer = api.send("POST", "/vms", asked)
    assert status == 202, answer
    uuid = answer["vm"]["uuid"]
    made = wait_for(lambda: (found := api.get(f"/vms/{uuid}")) and found["ssh_at"] and found, 120, "SSH answers", 0.2)
    wait_for(lambda: in_guest(product, key, made, "true").returncode == 0, 60, "the key lets in", 0.3)
    yield made
    api.send("DELETE", f"/vms/{uuid}")
    wait_for(lambda: api.get(f"/vms/{uuid}") is None, 30, "it is gone", 0.1)


def asked(api: Api, method: str, path: str, body: object = None) -> dict[str, Any]:
    """The answer to a change that is taken, its operation having ended well."""
    status, answer = api.send(method, path, body)
    assert status == 202, answer
    ended(api, answer)
    found: dict[str, Any] = answer
    return found


def device_of(product: Product, key: Path, vm: dict[str, Any], serial: str) -> str:
    """The guest's name of the disk with that serial; nothing while it has none."""
    told = in_guest(product, key, vm, f"grep -l {serial} /sys/block/vd*/serial").stdout
    return told.split("/")[3] if told.startswith("/sys/block/") else ""


def test_a_running_guest_gets_grows_copies_and_loses_a_volume(
    product: Product, api: Api, key: Path, vm: dict[str, Any]
) -> None:
    volume = asked(api, "POST", "/volumes", {"name": "data", "size_gib": 1, "vm": "vols-1"})["volume"]
    path = f"/volumes/{volume['uuid']}"
    pool = api.get(path)["pool"]
    disk = wait_for(lambda: device_of(product, key, vm, volume["serial"]), 20, "the guest has the disk", 0.3)
    put = in_guest(product, key, vm, f"echo kept-by-the-volume | dd of=/dev/{disk} conv=notrunc && sync")
    assert put.returncode == 0, put.stderr
    status, answer = api.send("POST", f"{path}/attach", {"vm": "vols-1"})
    assert status == 422 and "it is attached to vols-1: detach it first" in str(answer["errors"])

    asked(api, "POST", f"{path}/grow", {"size_gib": 2})
    size = f"cat /sys/block/{disk}/size"
    wait_for(lambda: in_guest(product, key, vm, size).stdout.strip() == str(2 * GIB_SECTORS), 20, "it has 2 GiB", 0.3)

    asked(api, "POST", f"{path}/detach")
    wait_for(lambda: not device_of(product, key, vm, volume["serial"]), 20, "the guest has it no more", 0.3)
    copy = asked(api, "POST", f"{path}/clone", {"name": "copy"})["volume"]
    asked(api, "POST", f"/volumes/{copy['uuid']}/attach", {"vm": "vols-1"})
    disk = wait_for(lambda: device_of(product, key, vm, copy["serial"]), 20, "the guest has the copy", 0.3)
    told = in_guest(product, key, vm, f"head -c 18 /dev/{disk}; cat /sys/block/{disk}/size").stdout
    assert told.startswith("kept-by-the-volume") and str(2 * GIB_SECTORS) in told, (
        "the copy is as large and says the same"
    )
    asked(api, "POST", f"/volumes/{copy['uuid']}/detach")
    for one in (volume, copy):
        asked(api, "DELETE", f"/volumes/{one['uuid']}")
        assert api.get(f"/volumes/{one['uuid']}") is None
    folder = Path(next(one["target"] for one in api.get("/pools") if one["name"] == pool))
    assert not list(folder.glob("hs-vol-*"))


def test_volumes_by_other_buses_are_there_at_every_start(product: Product, api: Api, vm: dict[str, Any]) -> None:
    """virtio-scsi is plugged while it runs; SATA is not, and both come back with the domain."""
    scsi = asked(api, "POST", "/volumes", {"name": "by-scsi", "size_gib": 1, "vm": "vols-1", "bus": "scsi"})["volume"]
    status, answer = api.send("POST", "/volumes", {"name": "by-sata", "size_gib": 1, "vm": "vols-1", "bus": "sata"})
    assert status == 422 and "shut it down first" in str(answer["errors"])
    asked(api, "POST", f"/vms/{vm['uuid']}/actions/force_off")
    sata = asked(api, "POST", "/volumes", {"name": "by-sata", "size_gib": 1, "vm": "vols-1", "bus": "sata"})["volume"]
    asked(api, "POST", f"/vms/{vm['uuid']}/actions/start")
    uri = f"qemu+unix:///system?socket=/var/lib/hopsight/labs/{product.lab}/{vm['host']}/run/libvirt/libvirt-sock"
    virsh = ["virsh", "-q", "-c", uri, "qemu-monitor-command", f"hs-{vm['uuid']}", "--hmp", "info qtree"]
    tree = subprocess.run(virsh, capture_output=True, text=True, check=True, timeout=30).stdout
    for serial, device in ((scsi["serial"], "scsi-hd"), (sata["serial"], "ide-hd")):
        before, found, _ = tree.partition(f'serial = "{serial}"')
        assert found and before.rpartition("dev: ")[2].startswith(device), f"{serial} is no {device}"
    asked(api, "POST", f"/volumes/{scsi['uuid']}/grow", {"size_gib": 2})
    asked(api, "POST", f"/volumes/{scsi['uuid']}/detach")
    asked(api, "POST", f"/vms/{vm['uuid']}/actions/force_off")
    asked(api, "POST", f"/volumes/{sata['uuid']}/detach")
    for one in (scsi, sata):
        asked(api, "DELETE", f"/volumes/{one['uuid']}")


def test_snapshots_of_a_running_guest_bring_back_disk_and_memory_and_are_merged_away(
    product: Product, api: Api, key: Path, vm: dict[str, Any]
) -> None:
    """[tiny] ← [first] ← [second] ← [what it writes]; the file in /tmp is in the guest's memory alone."""
    if api.get(f"/vms/{vm['uuid']}")["state"] == "stopped":
        asked(api, "POST", f"/vms/{vm['uuid']}/actions/start")
        wait_for(lambda: in_guest(product, key, vm, "true").returncode == 0, 90, "the key lets in", 0.3)

    def writes(word: str) -> None:
        put = f"echo {word} | dd of=/dev/vda bs=1M seek=4 conv=notrunc && sync"
        assert in_guest(product, key, vm, put).returncode == 0

    def reads() -> str:
        get = "echo 3 > /proc/sys/vm/drop_caches; dd if=/dev/vda bs=1M skip=4 count=1 2>/dev/null | head -n 1"
        return in_guest(product, key, vm, get).stdout.strip()

    snapshots = f"/vms/{vm['uuid']}/snapshots"
    writes("one")
    assert in_guest(product, key, vm, "echo kept > /tmp/kept").returncode == 0
    asked(api, "POST", snapshots, {"name": "first", "memory": True})
    assert reads() == "one"
    writes("two")
    in_guest(product, key, vm, "rm /tmp/kept")
    (first,) = api.get(snapshots)
    asked(api, "POST", f"{snapshots}/{first['uuid']}/revert")
    wait_for(lambda: in_guest(product, key, vm, "true").returncode == 0, 60, "it goes on and lets in", 0.3)
    assert in_guest(product, key, vm, "cat /tmp/kept").stdout.strip() == "kept", "it goes on from its memory"
    assert reads() == "one"

    writes("three")
    asked(api, "POST", snapshots, {"name": "second"})
    writes("four")
    first, second = api.get(snapshots)
    assert (second["parent"], second["is_current"], first["parent"]) == (first["uuid"], True, None)
    for one in (first, second):  # one between the layers, and the one that is written
        asked(api, "DELETE", f"{snapshots}/{one['uuid']}")
        assert reads() == "four", "the guest runs on, and has lost nothing"
    assert api.get(snapshots) == []
    folder = Path(f"/var/lib/hopsight/labs/{product.lab}/{vm['host']}/disks")
    layers = [path.name for path in folder.glob(f"hs-{vm['uuid']}*") if path.suffix in (".qcow2", ".mem")]
    assert len(layers) == 1, layers


def put(product: Product, key: Path, vm: dict[str, Any], device: str, word: str, at_mib: int) -> None:
    """A guest writes a word to a disk of its."""
    told = f"echo {word} | dd of=/dev/{device} bs=1M seek={at_mib} conv=notrunc && sync"
    assert in_guest(product, key, vm, told).returncode == 0


def words_at(product: Product, key: Path, vm: dict[str, Any], device: str, places: str) -> list[str]:
    """The words that a guest reads at these MiB of a disk of its."""
    get = f"for at in {places}; do dd if=/dev/{device} bs=1M skip=$at count=1 2>/dev/null | head -n 1; done"
    return in_guest(product, key, vm, get).stdout.split()


def test_a_volume_goes_back_with_its_vm_running_and_off(
    product: Product, api: Api, key: Path, vm: dict[str, Any]
) -> None:
    """[vda] ← [warm] ← [cold] ← …, [its volume] ← [warm] ← [cold] ← …: both are of the same moment, and read again together."""
    at = f"/vms/{vm['uuid']}"

    def comes_up() -> None:
        wait_for(lambda: in_guest(product, key, vm, "true").returncode == 0, 90, "the key lets in", 0.3)

    def device() -> str:
        return wait_for(lambda: device_of(product, key, vm, volume["serial"]), 20, "the guest has the disk", 0.3)

    def writes(word: str) -> None:
        put(product, key, vm, "vda", word, 30)
        put(product, key, vm, device(), word, 3)

    def reads() -> tuple[list[str], list[str]]:
        in_guest(product, key, vm, "echo 3 > /proc/sys/vm/drop_caches")
        return words_at(product, key, vm, "vda", "30"), words_at(product, key, vm, device(), "3")

    def snapshot(name: str) -> str:
        return next(f"{at}/snapshots/{one['uuid']}" for one in api.get(f"{at}/snapshots") if one["name"] == name)

    if api.get(at)["state"] == "stopped":
        asked(api, "POST", f"{at}/actions/start")
    comes_up()
    volume = asked(api, "POST", "/volumes", {"name": "goes-along", "size_gib": 1, "vm": "vols-1"})["volume"]
    pool = api.get(f"/volumes/{volume['uuid']}")["pool"]
    writes("one")
    asked(api, "POST", f"{at}/snapshots", {"name": "warm", "memory": True})
    assert [one["name"] for one in api.get(f"{at}/snapshots")[0]["volumes"]] == ["goes-along"]
    writes("two")
    asked(api, "POST", f"{snapshot('warm')}/revert")
    comes_up()
    assert reads() == (["one"], ["one"]), "it goes on from its memory, on the disks of then"
    status, answer = api.send("POST", f"/volumes/{volume['uuid']}/detach")
    assert status == 422 and "delete warm first" in str(answer["errors"])

    writes("three")
    asked(api, "POST", f"{at}/actions/force_off")
    asked(api, "POST", f"{at}/snapshots", {"name": "cold"})
    asked(api, "POST", f"/volumes/{volume['uuid']}/grow", {"size_gib": 2})
    asked(api, "POST", f"{at}/actions/start")
    comes_up()
    writes("four")
    asked(api, "POST", f"{snapshot('cold')}/revert")
    comes_up()
    assert reads() == (["three"], ["three"])
    assert in_guest(product, key, vm, f"cat /sys/block/{device()}/size").stdout.strip() == str(2 * GIB_SECTORS)

    writes("five")
    for name in ("warm", "cold"):  # one between the layers, and the one that is written
        asked(api, "DELETE", snapshot(name))
        assert reads() == (["five"], ["five"]), "the guest runs on, and has lost nothing"
    folder = Path(next(one["target"] for one in api.get("/pools") if one["name"] == pool))
    assert [path.name for path in folder.glob(f"hs-vol-{volume['uuid']}*")] == [f"hs-vol-{volume['uuid']}.qcow2"]
    asked(api, "POST", f"/volumes/{volume['uuid']}/detach")
    asked(api, "DELETE", f"/volumes/{volume['uuid']}")


def one_bit_turned(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def restored_as_taken(product: Product, api: Api, key: Path, backup: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """A VM that was restored and its volume, both having been read by the guest."""
    made = asked(api, "POST", f"/backups/{backup['uuid']}/restore", {"name": "vols-3"})["vm"]
    wait_for(lambda: in_guest(product, key, made, "true").returncode == 0, 120, "the key lets in", 0.3)
    assert words_at(product, key, made, "vda", "20 21 22 23") == [
        "in-the-full-one", "written-since", "in-the-new-layer", "after-the-merge"
    ]  # fmt: skip
    (own,) = [one for one in api.get("/volumes")["items"] if one["vm"] == "vols-3"]
    assert (own["name"], own["size_gib"], own["state"]) == ("vols-3-keep", 1, "attached")
    disk = wait_for(lambda: device_of(product, key, made, own["serial"]), 20, "the guest has the disk", 0.3)
    assert words_at(product, key, made, disk, "1 2") == ["kept-in-the-full-one", "kept-until-it-was-off"]
    return made, own


def refuses_a_damaged_one(api: Api, backup: dict[str, Any]) -> None:
    answer = api.send("POST", f"/backups/{backup['uuid']}/restore", {"name": "vols-4"})[1]
    failed = wait_for(
        lambda: (one := api.get(f"/operations/{answer['operation']['uuid']}")) and one["error"] and one, 60, "it fails"
    )
    assert "is damaged" in failed["error"]
    wait_for(lambda: "vols-4" not in [one["name"] for one in api.get("/vms")["items"]], 30, "nothing is left of it")


def test_what_a_guest_wrote_is_backed_up_in_pieces_and_read_again_by_a_new_vm(
    product: Product, api: Api, key: Path, vm: dict[str, Any]
) -> None:
    """[vols-1 and its volume] --full--> [writes more] --snapshot, incremental--> [off] --incremental--> … the disk is lost …
    --restore--> [vols-3 and a volume of its own read it]"""
    if api.get(f"/vms/{vm['uuid']}")["state"] == "stopped":
        asked(api, "POST", f"/vms/{vm['uuid']}/actions/start")
    wait_for(lambda: in_guest(product, key, vm, "true").returncode == 0, 90, "the key lets in", 0.3)
    folder = product.state / "backups" / "shelf"
    folder.mkdir(parents=True)
    assert Api(product, "olga").send("POST", "/backup-stores", {"name": "shelf", "folder": str(folder)})[0] == 201

    def writes(word: str, at_mib: int) -> None:
        put(product, key, vm, "vda", word, at_mib)

    backups, snapshots = f"/vms/{vm['uuid']}/backups", f"/vms/{vm['uuid']}/snapshots"
    noise = "dd if=/dev/urandom of=/dev/vda bs=1M seek=24 count=8 conv=notrunc && sync"
    assert in_guest(product, key, vm, noise).returncode == 0
    writes("in-the-full-one", 20)
    volume = asked(api, "POST", "/volumes", {"name": "keep", "size_gib": 1, "vm": "vols-1"})["volume"]

    def keeps(word: str, at_mib: int) -> None:
        device = wait_for(lambda: device_of(product, key, vm, volume["serial"]), 20, "the guest has the disk", 0.3)
        put(product, key, vm, device, word, at_mib)

    keeps("kept-in-the-full-one", 1)
    asked(api, "POST", backups, {"store": "shelf"})
    writes("written-since", 21)
    asked(api, "POST", snapshots, {"name": "between"})
    writes("in-the-new-layer", 22)
    asked(api, "POST", backups, {"store": "shelf"})
    asked(api, "DELETE", f"{snapshots}/{api.get(snapshots)[0]['uuid']}")
    writes("after-the-merge", 23)
    keeps("kept-until-it-was-off", 2)
    asked(api, "POST", f"/vms/{vm['uuid']}/actions/force_off")
    asked(api, "POST", backups, {"store": "shelf"})
    assert api.get(f"/vms/{vm['uuid']}")["state"] == "stopped", "its disks were opened, and it did not run"
    first, second, third = api.get(backups)
    assert [one["kind"] for one in (first, second, third)] == ["full", "incremental", "incremental"], (second, third)
    assert [one["volumes"][0]["kind"] for one in (first, second, third)] == ["full", "incremental", "incremental"]
    assert third["size_bytes"] < first["size_bytes"] / 2 and third["links"] == 3
    asked(api, "POST", f"/vms/{vm['uuid']}/actions/start")
    wait_for(lambda: in_guest(product, key, vm, "true").returncode == 0, 90, "the key lets in", 0.3)
    keeps("ruined", 1)

    writes("ruined", 20)
    asked(api, "POST", f"/vms/{vm['uuid']}/rebuild", {"image": "tiny"})
    asked(api, "POST", backups, {"store": "shelf"})
    assert "lost track" in api.get(backups)[3]["reason"], "a fresh disk has no bitmap: the chain began anew"
    made, own = restored_as_taken(product, api, key, third)

    one_bit_turned(folder / "hopsight" / vm["uuid"] / second["uuid"] / "disk.qcow2")
    refuses_a_damaged_one(api, third)
    asked(api, "DELETE", f"/vms/{made['uuid']}")
    asked(api, "POST", f"/volumes/{volume['uuid']}/detach")
    for one in (own, volume):
        asked(api, "DELETE", f"/volumes/{one['uuid']}")
    asked(api, "DELETE", f"/backups/{first['uuid']}")
    assert [one["kind"] for one in api.get(backups)] == ["full"]
    assert len(list(folder.rglob("disk.qcow2"))) == 1
    assert not list(Path(f"/var/lib/hopsight/labs/{product.lab}").glob("hv*/disks/*.backup"))


def test_an_image_made_of_a_vm_boots_with_what_is_on_its_disk(
    product: Product, api: Api, key: Path, vm: dict[str, Any]
) -> None:
    put = "echo golden | dd of=/dev/vda bs=1M seek=8 conv=notrunc && sync"
    assert in_guest(product, key, vm, put).returncode == 0
    asked(api, "POST", f"/vms/{vm['uuid']}/actions/force_off")
    asked(api, "POST", f"/vms/{vm['uuid']}/image", {"name": "Golden"})
    slug = next(image["slug"] for image in api.get("/images") if image["name"] == "Golden")
    body = {"name": "vols-2", "image": slug, "flavor": "nano", "network": "payments-net", "user_data": script_with(key)}
    made = asked(api, "POST", "/vms", body)["vm"]
    wait_for(lambda: in_guest(product, key, made, "true").returncode == 0, 120, "the key lets in", 0.3)
    told = in_guest(product, key, made, "dd if=/dev/vda bs=1M skip=8 count=1 2>/dev/null | head -n 1").stdout
    assert told.strip() == "golden"
    refused, answer = api.send("DELETE", f"/images/{slug}")
    assert refused == 422 and "vols-2" in str(answer["errors"]), "its disk lies on the image"
    asked(api, "DELETE", f"/vms/{made['uuid']}")
    asked(api, "DELETE", f"/images/{slug}")


def test_a_volume_alone_is_frozen_while_the_guest_writes_to_it_and_goes_back_once_it_is_detached(
    product: Product, api: Api, key: Path, vm: dict[str, Any]
) -> None:
    """[its volume] ← [monday] ← [tuesday], and [monday] ← what is written after it went back; [vda] is not touched."""
    at = f"/vms/{vm['uuid']}"

    def device(of: dict[str, Any]) -> str:
        return wait_for(lambda: device_of(product, key, vm, of["serial"]), 20, "the guest has the disk", 0.3)

    def reads() -> list[str]:
        in_guest(product, key, vm, "echo 3 > /proc/sys/vm/drop_caches")
        return words_at(product, key, vm, device(volume), "3") + words_at(product, key, vm, "vda", "40")

    def snapshot(name: str) -> str:
        return next(f"{path}/snapshots/{one['uuid']}" for one in api.get(f"{path}/snapshots") if one["name"] == name)

    if api.get(at)["state"] == "stopped":
        asked(api, "POST", f"{at}/actions/start")
    wait_for(lambda: in_guest(product, key, vm, "true").returncode == 0, 90, "the key lets in", 0.3)
    volume = asked(api, "POST", "/volumes", {"name": "alone", "size_gib": 1, "vm": "vols-1"})["volume"]
    path = f"/volumes/{volume['uuid']}"
    pool = api.get(path)["pool"]
    put(product, key, vm, "vda", "own", 40)
    for word, name in (("one", "monday"), ("two", "tuesday"), ("three", "")):
        put(product, key, vm, device(volume), word, 3)
        if name:
            asked(api, "POST", f"{path}/snapshots", {"name": name})
    assert reads() == ["three", "own"] and api.get(f"{at}/snapshots") == []
    status, answer = api.send("POST", f"{snapshot('monday')}/revert")
    assert status == 422 and "vols-1 may write to it: shut vols-1 down, or detach it first" in str(answer["errors"])
    then = asked(api, "POST", f"{snapshot('tuesday')}/clone", {"name": "then"})["volume"]

    asked(api, "POST", f"{path}/detach")
    asked(api, "POST", f"{snapshot('monday')}/revert")
    for one in (volume, then):
        asked(api, "POST", f"/volumes/{one['uuid']}/attach", {"vm": "vols-1"})
    assert reads() == ["one", "own"], "it holds what it held at the snapshot"
    assert words_at(product, key, vm, device(then), "3") == ["two"]
    put(product, key, vm, device(volume), "four", 3)
    status, answer = api.send("DELETE", snapshot("monday"))
    assert status == 422 and "delete all but one of them first" in str(answer["errors"])
    for name in ("tuesday", "monday"):  # a line that is nobody's any more, and the layer that is written
        asked(api, "DELETE", snapshot(name))
        assert reads() == ["four", "own"], "the guest runs on, and has lost nothing"
    folder = Path(next(one["target"] for one in api.get("/pools") if one["name"] == pool))
    assert [one.name for one in folder.glob(f"hs-vol-{volume['uuid']}*")] == [f"hs-vol-{volume['uuid']}.qcow2"]
    for one in (volume, then):
        asked(api, "POST", f"/volumes/{one['uuid']}/detach")
        asked(api, "DELETE", f"/volumes/{one['uuid']}")
