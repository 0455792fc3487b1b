"""The life of a real guest through the API and the page: ACPI, pause, reset, force, and what libvirt's events tell."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.e2e.api import Api
from tests.e2e.conftest import ARTIFACTS, CHROMIUM_ARGS, Product
from tests.e2e.guests import LABS, await_ssh, virsh
from tests.waiting import wait_for

pytestmark = [pytest.mark.lab, pytest.mark.browser, pytest.mark.xdist_group("e2e"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def vm(api: Api) -> Iterator[dict[str, Any]]:
    asked = {"name": "life-1", "image": "tiny", "flavor": "nano", "network": "payments-net"}
    status, answer = api.send("POST", "/vms", asked)
    assert status == 202, answer
    uuid = answer["vm"]["uuid"]
    yield wait_for(lambda: (found := api.get(f"/vms/{uuid}")) and found["ssh_at"] and found, 120, "SSH answers", 0.2)
    api.send("DELETE", f"/vms/{uuid}")
    wait_for(lambda: api.get(f"/vms/{uuid}") is None, 30, "it is gone", 0.1)


def act(api: Api, vm: dict[str, Any], action: str) -> None:
    status, answer = api.send("POST", f"/vms/{vm['uuid']}/actions/{action}")
    assert status == 202, answer
    path = f"/operations/{answer['operation']['uuid']}"
    ended = wait_for(lambda: (one := api.get(path))["state"] in ("done", "failed") and one, 70, f"{action} ends", 0.1)
    assert ended["state"] == "done", ended["error"]


def test_a_guest_lives_as_its_owner_asks(product: Product, api: Api, vm: dict[str, Any]) -> None:
    steps = (
        ("suspend", "paused", "paused"), ("resume", "running", "running"), ("stop", "stopped", "shut off"),
        ("start", "running", "running"), ("reset", "running", "running"), ("force_off", "stopped", "shut off"),
        ("start", "running", "running"),
    )  # fmt: skip
    for action, state, domain in steps:
        act(api, vm, action)
        assert (api.get(f"/vms/{vm['uuid']}")["state"], virsh(product, vm, "domstate")) == (state, domain), action
    await_ssh(product, vm, "SSH after all that")
    before = virsh(product, vm, "domid")
    act(api, vm, "reboot")
    told = LABS / product.lab / vm["host"] / "disks" / f"hs-{vm['uuid']}-console.log"
    boots = told.read_text().count("hopsight: booted")
    wait_for(lambda: told.read_text().count("hopsight: booted") > boots, 60, "the guest boots again", 0.2)
    assert virsh(product, vm, "domid") == before, "a restart is not a new domain"


def ended(api: Api, answer: dict[str, Any], timeout_s: float = 90) -> None:
    path = f"/operations/{answer['operation']['uuid']}"
    found = wait_for(lambda: (one := api.get(path))["state"] in ("done", "failed") and one, timeout_s, "it ends", 0.1)
    assert found["state"] == "done", found["error"]


def test_a_running_guest_is_given_a_vcpu_and_a_larger_disk_and_memory_at_its_next_start(
    product: Product, api: Api, vm: dict[str, Any]
) -> None:
    path = f"/vms/{vm['uuid']}"
    assert api.get(path)["state"] == "running"
    status, answer = api.send("POST", f"{path}/resize", {"flavor": "M"})
    assert status == 202, answer
    ended(api, answer)
    now = api.get(path)
    assert virsh(product, vm, "vcpucount", "--live", "--current") == str(min(now["vcpus"], 2))
    size = re.search(r"Capacity:\s+(\d+)", virsh(product, vm, "domblkinfo", "--device", "vda"))
    assert size and int(size[1]) == now["disk_gib"] * 1024**3
    assert "from its next start on" in now["pending"]
    act(api, vm, "force_off")
    act(api, vm, "start")
    assert api.get(path)["pending"] == ""
    assert f"{now['ram_mib'] * 1024}" in virsh(product, vm, "dommemstat") or str(now["ram_mib"] * 1024) in virsh(
        product, vm, "dominfo"
    )


def test_a_clone_has_the_disks_content_and_answers_at_its_own_address(
    product: Product, api: Api, vm: dict[str, Any]
) -> None:
    act(api, vm, "force_off")
    disks = LABS / product.lab / vm["host"] / "disks"
    write = ["qemu-io", "-f", "qcow2", "-c", "write -P 77 64k 4096", str(disks / f"hs-{vm['uuid']}.qcow2")]
    subprocess.run(write, check=True, stdout=subprocess.DEVNULL)
    status, answer = api.send("POST", f"/vms/{vm['uuid']}/clone", {"name": "life-2"})
    assert status == 202, answer
    ended(api, answer)
    clone = api.get(f"/vms/{answer['vm']['uuid']}")
    read = ["qemu-io", "-r", "-U", "-f", "qcow2", "-c", "read -P 77 64k 4096", str(disks / f"hs-{clone['uuid']}.qcow2")]
    assert subprocess.run(read, stdout=subprocess.DEVNULL).returncode == 0
    assert clone["address"] != vm["address"]
    await_ssh(product, clone, "the clone answers")
    status, answer = api.send("DELETE", f"/vms/{clone['uuid']}?keep=true")
    ended(api, answer)
    assert api.get(f"/vms/{clone['uuid']}")["state"] == "deleted" and virsh(product, clone, "domstate") == "shut off"
    act(api, clone, "undelete")
    act(api, clone, "start")
    await_ssh(product, clone, "the clone answers again")
    ended(api, api.send("DELETE", f"/vms/{clone['uuid']}")[1])
    act(api, vm, "start")


def test_rescue_boots_with_its_own_disk_beside_and_a_rebuild_makes_it_fresh(
    product: Product, api: Api, vm: dict[str, Any]
) -> None:
    act(api, vm, "force_off")
    act(api, vm, "rescue")
    devices = virsh(product, vm, "domblklist")
    assert "-rescue.qcow2" in devices.splitlines()[0] and f"hs-{vm['uuid']}.qcow2" in devices.splitlines()[1]
    await_ssh(product, vm, "rescue answers")
    act(api, vm, "unrescue")
    assert "-rescue" not in virsh(product, vm, "domblklist")
    status, answer = api.send("POST", f"/vms/{vm['uuid']}/rebuild")
    assert status == 202, answer
    ended(api, answer)
    disks = LABS / product.lab / vm["host"] / "disks"
    read = ["qemu-io", "-r", "-U", "-f", "qcow2", "-c", "read -P 77 64k 4096", str(disks / f"hs-{vm['uuid']}.qcow2")]
    assert subprocess.run(read, stdout=subprocess.DEVNULL).returncode == 1, "the disk is fresh"
    assert not [path for path in disks.iterdir() if "-old" in path.name or "-rescue" in path.name]
    await_ssh(product, vm, "the rebuilt guest answers")


def test_the_page_follows_and_says_what_can_be_done(product: Product, api: Api, vm: dict[str, Any]) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM_ARGS)
        page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        page.set_default_timeout(30_000)
        page.goto(f"{product.url}/")
        page.fill("input[name=username]", "alice")
        page.fill("input[name=password]", product.passwords["alice"])
        page.press("input[name=password]", "Enter")
        expect(page).to_have_url(f"{product.url}/")
        page.goto(f"{product.url}/vms/{vm['uuid']}/")
        page.get_by_label("More actions").click()
        page.screenshot(path=str(ARTIFACTS / "vm-actions.png"))
        page.get_by_role("button", name=re.compile("^Suspend")).click()
        page.wait_for_load_state()
        state = page.locator(".vmhead [data-field=state]")
        expect(state).to_have_text(re.compile("paused", re.I))
        began = time.monotonic()
        virsh(product, vm, "resume")  # behind our back
        expect(state).to_have_text(re.compile("running", re.I))
        print(f"libvirt's event was on the page after {time.monotonic() - began:.2f} s")
        browser.close()
