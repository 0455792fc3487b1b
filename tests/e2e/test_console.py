"""A real guest's serial line in a real browser, under the product's own policy: prompt, echo, watching, rights, a flood.

[Chromium]--WebSocket--[web]--unix socket--[console]--libvirt stream--[libvirtd]--pty--[QEMU]--ttyS0--[sh]
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.e2e.api import Api
from tests.e2e.conftest import ARTIFACTS, CHROMIUM_ARGS, Product
from tests.waiting import wait_for

pytestmark = [pytest.mark.lab, pytest.mark.browser, pytest.mark.xdist_group("e2e"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def api(product: Product) -> Api:
    return Api(product, "alice")


@pytest.fixture(scope="module")
def vm(api: Api) -> Iterator[dict[str, Any]]:
    asked = {"name": "console-1", "image": "tiny", "flavor": "nano", "network": "payments-net"}
    status, answer = api.send("POST", "/vms", asked)
    assert status == 202, answer
    uuid = answer["vm"]["uuid"]
    yield wait_for(lambda: (found := api.get(f"/vms/{uuid}")) and found["ssh_at"] and found, 120, "SSH answers", 0.2)
    api.send("DELETE", f"/vms/{uuid}")
    wait_for(lambda: api.get(f"/vms/{uuid}") is None, 30, "it is gone", 0.1)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM_ARGS)
        yield running
        running.close()


def console_of(product: Product, browser: Browser, person: str, vm: dict[str, Any]) -> Page:
    """The console's page, as that person; what it logs as an error is kept in `page.errors`."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.errors = errors  # type: ignore[attr-defined]
    page.set_default_timeout(30_000)
    page.goto(f"{product.url}/")
    page.fill("input[name=username]", person)
    page.fill("input[name=password]", product.passwords[person])
    page.press("input[name=password]", "Enter")
    expect(page).to_have_url(f"{product.url}/")
    page.goto(f"{product.url}/vms/{vm['uuid']}/console/")
    return page


def shown(page: Page, text: str | re.Pattern[str]) -> None:
    expect(page.locator(".xterm-rows")).to_contain_text(text)


def state(page: Page, words: str) -> None:
    expect(page.locator("[data-console-state]")).to_have_text(words)


def type_in(page: Page, text: str) -> None:
    page.locator(".console-view").click()
    page.keyboard.type(text)


def memory_kib(name: str, product: Product) -> int:
    """Resident memory of one of the product's processes."""
    for entry in Path("/proc").iterdir():
        try:
            argv = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
            ours = (
                f"HOPSIGHT_LAB={product.lab}".encode() in (entry / "environ").read_bytes().split(b"\0")
                if argv
                else False
            )
        except OSError:
            continue
        if ours and name.encode() in argv:
            return int(re.findall(r"VmRSS:\s+(\d+)", (entry / "status").read_text())[0])
    raise AssertionError(f"no process {name}")


def test_a_person_works_in_the_guest_and_others_watch(product: Product, browser: Browser, vm: dict[str, Any]) -> None:
    alice = console_of(product, browser, "alice", vm)
    state(alice, "Connected")
    shown(alice, "hopsight: booted")  # what it said before anybody looked
    type_in(alice, "\n")
    shown(alice, "root@console-1:~# ")
    type_in(alice, "echo $((6 * 7))-there\n")
    shown(alice, "42-there")

    charlie = console_of(product, browser, "charlie", vm)
    shown(charlie, "42-there")
    expect(charlie.locator(".console-foot")).to_contain_text("You watch. You are a viewer of Payments")
    expect(charlie.locator("[data-console-take]")).to_be_hidden()
    type_in(charlie, "echo char''lie\n")

    bob = console_of(product, browser, "bob", vm)
    expect(bob.locator("[data-console-people]")).to_contain_text("alice writes")
    bob.locator("[data-console-take]").click()
    expect(alice.locator("[data-console-people]")).to_contain_text("bob writes")
    bob.locator(".console-paste summary").click()
    bob.locator("#paste-text").fill("echo pas''ted\n")
    bob.locator("[data-console-paste]").click()
    for one in (alice, bob, charlie):
        shown(one, "pasted")
        assert "charlie" not in one.locator(".xterm-rows").inner_text()
    alice.screenshot(path=str(ARTIFACTS / "console.png"))
    for one in (alice, bob, charlie):
        assert one.errors == []  # type: ignore[attr-defined]
        one.context.close()


def test_the_keyboard_gets_in_and_out(product: Product, browser: Browser, vm: dict[str, Any]) -> None:
    page = console_of(product, browser, "alice", vm)
    state(page, "Connected")
    page.locator(".console-view").click()
    page.keyboard.press("Tab")
    expect(page.locator(".console-view textarea")).to_be_focused()  # the guest's key
    page.keyboard.press("Control+Shift+F6")
    expect(page.locator(".console-bar a").first).to_be_focused()
    page.context.close()


def test_a_stranger_finds_nothing(product: Product, browser: Browser, vm: dict[str, Any]) -> None:
    page = console_of(product, browser, "dana", vm)
    expect(page.locator("body")).not_to_contain_text("console-1")
    assert page.goto(page.url).status == 404  # type: ignore[union-attr]
    page.context.close()


def test_a_flood_fills_no_memory_and_ends_with_one_key(product: Product, browser: Browser, vm: dict[str, Any]) -> None:
    page = console_of(product, browser, "alice", vm)
    state(page, "Connected")
    told = Path("/var/lib/hopsight/labs") / product.lab / vm["host"] / "disks" / f"hs-{vm['uuid']}-console.log"
    before, said = memory_kib("console", product), told.stat().st_size
    type_in(page, "\nyes a-line-of-some-length-that-says-nothing-at-all-but-is-long\n")
    flooded = 1024 * 1024
    wait_for(lambda: told.stat().st_size - said > flooded or said > told.stat().st_size, 120, "a MiB of output", 0.2)
    grown = memory_kib("console", product) - before
    page.keyboard.press("Control+c")
    type_in(page, "\necho $((2 + 3))-after\n")
    shown(page, "5-after")
    assert grown < 4096, f"the console process grew by {grown} KiB in a MiB of output"
    page.context.close()


def test_it_says_that_the_guest_is_off_and_comes_back_with_it(
    product: Product, browser: Browser, api: Api, vm: dict[str, Any]
) -> None:
    page = console_of(product, browser, "alice", vm)
    state(page, "Connected")
    assert api.send("POST", f"/vms/{vm['uuid']}/actions/force_off")[0] == 202
    state(page, "Off")
    expect(page.locator("[data-console-note]")).to_contain_text("off")
    wait_for(lambda: api.get(f"/vms/{vm['uuid']}")["state"] == "stopped", 30, "it is off")
    assert api.send("POST", f"/vms/{vm['uuid']}/actions/start")[0] == 202
    state(page, "Connected")
    type_in(page, "")
    shown(page, "hopsight: booted")
    assert page.errors == []  # type: ignore[attr-defined]
    page.context.close()
