"""A real guest's serial line in a real browser, under the product's own policy: prompt, echo, watching, rights, a flood.

[Chromium]--WebSocket--[web]--unix socket--[console]--libvirt stream--[libvirtd]--pty--[QEMU]--ttyS0--[sh]
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from lab.images.keyboard import write_keyboard_disk
from lab.processes import running
from tests.e2e.api import Api
from tests.e2e.conftest import ARTIFACTS, CHROMIUM_ARGS, ROOT, Product
from tests.waiting import wait_for

SHADES = """async () => {
  const picture = document.querySelector('[data-screen] img'), canvas = document.createElement('canvas');
  await picture.decode();
  canvas.width = picture.naturalWidth; canvas.height = picture.naturalHeight;
  const pen = canvas.getContext('2d'); pen.drawImage(picture, 0, 0);
  return new Set(pen.getImageData(0, 0, canvas.width, canvas.height).data.filter((_, at) => at % 4 === 0)).size;
}"""

pytestmark = [pytest.mark.lab, pytest.mark.browser, pytest.mark.xdist_group("e2e"), pytest.mark.timeout(600)]


def lived(api: Api, name: str, image: str, is_up: Callable[[dict[str, Any]], object]) -> Iterator[dict[str, Any]]:
    """A VM once it is up; deleted afterwards."""
    status, answer = api.send(
        "POST", "/vms", {"name": name, "image": image, "flavor": "nano", "network": "payments-net"}
    )
    assert status == 202, answer
    uuid = answer["vm"]["uuid"]
    yield wait_for(lambda: (found := api.get(f"/vms/{uuid}")) and is_up(found) and found, 120, "it is up", 0.2)
    api.send("DELETE", f"/vms/{uuid}")
    wait_for(lambda: api.get(f"/vms/{uuid}") is None, 30, "it is gone", 0.1)


@pytest.fixture(scope="module")
def vm(api: Api) -> Iterator[dict[str, Any]]:
    yield from lived(api, "console-1", "tiny", lambda found: found["ssh_at"])


@pytest.fixture(scope="module")
def keyboard(product: Product, api: Api) -> Iterator[dict[str, Any]]:
    """A VM that boots from its disk, so that it has a screen; what is typed there it says on its serial line too."""
    disk = write_keyboard_disk(product.state / "keyboard.raw")
    make = f"from portal.compute.models import Image; Image.objects.create(slug='keyboard', name='Keyboard', disk_path='{disk}', disk_format='raw')"
    argv = [sys.executable, str(ROOT / "manage.py"), "shell", "-c", make]
    subprocess.run(argv, env=product.environment(), cwd=ROOT, check=True, capture_output=True)
    yield from lived(api, "keyboard-1", "keyboard", lambda found: found["state"] == "running")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM_ARGS)
        yield running
        running.close()


def console_of(product: Product, browser: Browser, person: str, vm: dict[str, Any], query: str = "") -> Page:
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
    page.goto(f"{product.url}/vms/{vm['uuid']}/console/{query}")
    return page


def shown(page: Page, text: str | re.Pattern[str]) -> None:
    expect(page.locator(".xterm-rows")).to_contain_text(text)


def state(page: Page, words: str) -> None:
    expect(page.locator("[data-console-state]")).to_have_text(words)


def type_in(page: Page, text: str) -> None:
    page.locator(".console-view").click()
    page.keyboard.type(text)


def console_log(product: Product, vm: dict[str, Any]) -> Path:
    return Path("/var/lib/hopsight/labs") / product.lab / vm["host"] / "disks" / f"hs-{vm['uuid']}-console.log"


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


def test_a_question_in_the_scrollback_is_not_answered_again(
    product: Product, browser: Browser, vm: dict[str, Any]
) -> None:
    first = console_of(product, browser, "alice", vm)
    state(first, "Connected")
    type_in(first, "printf '\\033[H\\033[6n'; read -t 5 -n 6 -s answer; echo $((7 * 7))-asked\n")
    shown(first, "49-asked")
    second = console_of(product, browser, "alice", vm)  # whose terminal reads the question too
    shown(second, "49-asked")
    second.locator("[data-console-take]").click()
    type_in(second, "echo $((8 * 8))-clean\n")
    shown(second, "64-clean")
    assert "not found" not in second.locator(".xterm-rows").inner_text()
    for one in (first, second):
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


def test_a_flood_ends_with_one_key(product: Product, browser: Browser, vm: dict[str, Any]) -> None:
    page = console_of(product, browser, "alice", vm)
    state(page, "Connected")
    told = console_log(product, vm)
    said = told.stat().st_size
    type_in(page, "\nyes a-line-of-some-length-that-says-nothing-at-all-but-is-long\n")
    wait_for(lambda: told.stat().st_size - said > 256 * 1024, 120, "more output than any buffer holds", 0.2)
    page.keyboard.press("Control+c")
    type_in(page, "\necho $((2 + 3))-after\n")
    shown(page, "5-after")
    page.set_viewport_size({"width": 390, "height": 844})  # whose keyboard has no Control
    type_in(page, "sleep 600\n")
    page.get_by_role("button", name="Ctrl-C").click()
    expect(page.locator(".console-view textarea")).to_be_focused()
    type_in(page, "echo $((2 + 4))-woken\n")
    shown(page, "6-woken")
    page.screenshot(path=str(ARTIFACTS / "console-phone.png"))
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
    # libvirt's event tells that it is off before the operation that did it has ended: until then nothing else may begin
    wait_for(lambda: api.send("POST", f"/vms/{vm['uuid']}/actions/start")[0] == 202, 30, "its start is taken", 0.3)
    state(page, "Connected")
    type_in(page, "")
    shown(page, "hopsight: booted")
    assert page.errors == []  # type: ignore[attr-defined]
    page.context.close()


def test_it_comes_back_when_the_console_process_was_killed(
    product: Product, browser: Browser, vm: dict[str, Any]
) -> None:
    page = console_of(product, browser, "alice", vm)
    state(page, "Connected")
    mine = f"HOPSIGHT_LAB={product.lab}"
    ours = [one for one in running() if mine in one.environment and is_console(one.pid)]
    assert len(ours) == 1, ours
    os.kill(ours[0].pid, signal.SIGKILL)
    state(page, "Reconnecting…")
    state(page, "Connected")
    type_in(page, "echo $((3 * 5))-again\n")
    shown(page, "15-again")
    page.context.close()


def is_console(pid: int) -> bool:
    return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")[-2:] == [
        str(ROOT / "manage.py").encode(), b"console",
    ]  # fmt: skip


def test_keys_and_a_paste_reach_a_guest_by_its_screen_and_a_watchers_do_not(
    product: Product, browser: Browser, keyboard: dict[str, Any]
) -> None:
    alice = console_of(product, browser, "alice", keyboard, "?kind=screen")
    state(alice, "Connected")
    screen = alice.locator(".console-view canvas")
    expect(screen).to_be_visible()
    said = console_log(product, keyboard)

    def typed(key: str) -> bool:
        screen.click()
        alice.keyboard.press(key)
        return key.encode() in said.read_bytes()

    wait_for(lambda: typed("x"), 60, "the guest has booted and reads keys", 1.0)
    charlie = console_of(product, browser, "charlie", keyboard, "?kind=screen")
    state(charlie, "Connected")
    charlie.locator(".console-view canvas").click()
    charlie.keyboard.type("qqq")
    text = "Pasted: aZ09 ~!@#$%^&*()_+{}|<>?-=[];',./"
    alice.locator(".console-paste summary").click()
    alice.locator("#paste-text").fill(text)
    alice.locator("[data-console-paste]").click()
    wait_for(lambda: text.encode() in said.read_bytes(), 60, "the text is typed", 0.2)
    assert b"q" not in said.read_bytes()
    alice.set_viewport_size({"width": 390, "height": 844})
    alice.get_by_role("button", name="Esc").click()
    wait_for(lambda: b"\x1b" in said.read_bytes(), 30, "a key of the bar is pressed", 0.2)
    alice.set_viewport_size({"width": 1280, "height": 800})
    alice.screenshot(path=str(ARTIFACTS / "console-screen.png"))
    expect(alice.get_by_role("button", name="Keyboard")).to_be_hidden()  # a mouse's page: the keyboard is on the desk
    with_a_phones_keyboard(alice, said)
    alice.goto(f"{product.url}/vms/")
    expect(alice.get_by_alt_text("Screen of keyboard-1")).to_be_visible()
    assert alice.evaluate(SHADES) > 1, "what was typed is on the small picture of the list"
    for one in (alice, charlie):
        assert one.errors == []  # type: ignore[attr-defined]
        one.context.close()


def with_a_phones_keyboard(page: Page, said: Path) -> None:
    """The page as it stands, on a touch screen: its keyboard comes up, and what it writes and composes reaches the guest."""
    chromium = page.context.new_cdp_session(page)
    chromium.send("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 1})
    page.set_viewport_size({"width": 390, "height": 844})
    button = page.get_by_role("button", name="Keyboard")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    box = page.locator(".console-view canvas").bounding_box()
    assert box is not None
    for kind, points in (("touchStart", [{"x": box["x"] + 40, "y": box["y"] + 40}]), ("touchEnd", [])):
        chromium.send(
            "Input.dispatchTouchEvent", {"type": kind, "touchPoints": points}
        )  # leaves the keyboard where it is
    expect(page.locator("[data-console-typed]")).to_be_focused()
    page.screenshot(path=str(ARTIFACTS / "console-keyboard.png"))
    chromium.send("Input.imeSetComposition", {"text": "Wl", "selectionStart": 2, "selectionEnd": 2})
    chromium.send("Input.imeSetComposition", {"text": "Whö", "selectionStart": 3, "selectionEnd": 3})
    chromium.send("Input.insertText", {"text": "Who"})
    page.keyboard.press("Backspace")
    page.keyboard.press("Enter")
    wait_for(lambda: b"Wl\bho\b\r" in said.read_bytes(), 30, "what was composed, mended and entered is typed", 0.2)
    button.click()
    expect(button).to_have_attribute("aria-pressed", "false")
    chromium.send("Emulation.setTouchEmulationEnabled", {"enabled": False})
    page.set_viewport_size({"width": 1280, "height": 800})
