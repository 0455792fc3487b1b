"""A disk that somebody uploads boots as a VM, on its host's own copy of the image; the VM moves, and the other host has one too.

[upload]--chunks--[web]--convert--[store]--pull--[hv1: images/]<--backs--[VM's disk]   and then the same on hv2
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.hypervisor.disks import backing_of
from tests.e2e.api import Api
from tests.e2e.bootable import make_bootable
from tests.e2e.conftest import Product
from tests.e2e.guests import LABS, answers_ssh, await_ssh
from tests.e2e.test_life import act, ended
from tests.waiting import wait_for

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("e2e"), pytest.mark.timeout(600)]
CHUNK_BYTES = 4 * 1024**2


@pytest.fixture(scope="module")
def olga(product: Product) -> Api:
    return Api(product, "olga")


@pytest.fixture(scope="module")
def image(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The slug of the image that was uploaded."""
    file = make_bootable(tmp_path_factory.mktemp("upload") / "bootable.qcow2").read_bytes()
    asked = {"name": "Boots Linux", "size_bytes": len(file), "min_ram_mib": 128}
    status, row = api.send("POST", "/image-imports", asked)
    assert status == 202, row
    for offset in range(0, len(file), CHUNK_BYTES):
        api.put_bytes(f"/image-imports/{row['uuid']}/bytes?offset={offset}", file[offset : offset + CHUNK_BYTES])
    wait_for(lambda: api.get(f"/image-imports/{row['uuid']}")["is_there"], 120, "the image is there", 0.2)
    yield row["slug"]
    status, answer = api.send("DELETE", f"/images/{row['slug']}")
    assert status == 202, answer
    ended(api, answer)
    assert not [one for one in LABS.glob(f"*/hv*/disks/images/{row['slug']}-*") if one.is_file()], "no copy is left"


@pytest.fixture(scope="module")
def vm(api: Api, image: str) -> Iterator[dict[str, Any]]:
    asked = {"name": "booted-1", "image": image, "flavor": "nano", "network": "payments-net", "host": "hv1"}
    status, answer = api.send("POST", "/vms", asked)
    assert status == 202, answer
    uuid = answer["vm"]["uuid"]
    yield wait_for(lambda: (found := api.get(f"/vms/{uuid}")) and found["ssh_at"] and found, 180, "SSH answers", 0.2)
    api.send("DELETE", f"/vms/{uuid}")
    wait_for(lambda: api.get(f"/vms/{uuid}") is None, 30, "it is gone", 0.1)


def base_of(product: Product, vm: dict[str, Any], host: str) -> Path:
    return Path(backing_of(LABS / product.lab / host / "disks" / f"hs-{vm['uuid']}.qcow2"))


def test_an_uploaded_disk_boots_and_its_vm_lies_on_its_hosts_copy(
    product: Product, api: Api, olga: Api, image: str, vm: dict[str, Any]
) -> None:
    shown = api.get(f"/images/{image}")
    assert (shown["os_family"], shown["team"]) == ("linux", "payments") and shown["size_bytes"] > 10 * 1024**2
    (copy,) = olga.get(f"/image-copies?image={image}")
    assert (copy["host"], copy["state"], copy["vms"]) == ("hv1", "there", 1)
    base = base_of(product, vm, "hv1")
    assert base.parent == LABS / product.lab / "hv1" / "disks" / "images" and base.stat().st_size == copy["size_bytes"]
    status, refused = olga.send("DELETE", f"/image-copies/{copy['id']}")
    assert status == 422 and "1 VM of this host lies on it" in refused["errors"]["copy"][0]
    act(api, vm, "force_off")
    act(api, vm, "start")
    await_ssh(product, vm, "it boots again from its disk", 120)


def test_a_vm_that_moves_lies_on_the_other_hosts_copy_of_the_same_bytes(
    product: Product, api: Api, olga: Api, image: str, vm: dict[str, Any]
) -> None:
    before = base_of(product, vm, "hv1")
    status, answer = olga.send("POST", "/migrations", {"vm": vm["uuid"], "host": "hv2"})
    assert status == 202, answer
    ended(api, answer, 180)
    base = base_of(product, vm, "hv2")
    assert base.name == before.name and base.parent == LABS / product.lab / "hv2" / "disks" / "images"
    assert base.read_bytes() == before.read_bytes()
    open_now = olga.get(f"/image-copies?image={image}")
    assert {(one["host"], one["vms"]) for one in open_now} == {("hv1", 0), ("hv2", 1)}
    assert answers_ssh(product, vm["address"])
    act(api, vm, "reset")
    await_ssh(product, vm, "it boots there too", 120)
