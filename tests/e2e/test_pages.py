"""Every page in a browser, as each role, light and dark, wide and on a phone: WCAG AA by axe, no overflow, no error in the
console, everything reached by keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.e2e.conftest import ARTIFACTS, CHROMIUM_ARGS, ROOT, Product
from tests.waiting import wait_for

pytestmark = [pytest.mark.lab, pytest.mark.browser, pytest.mark.xdist_group("e2e"), pytest.mark.timeout(600)]
AXE = ROOT / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
RULES = "{runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']}"
VIEWS = {"wide-light": (1440, 900, "light"), "wide-dark": (1440, 900, "dark"), "phone-light": (390, 844, "light")}
TEAM_PAGES = (
    "/", "/vms/", "/vms/create/", "/images/", "/volumes/", "/backups/", "/networks/", "/networks/new/", "/keys/", "/tokens/", "/sessions/", "/services/", "/usage/", "/security/", "/security/app/", "/members/", "/activity/",
    "/operations/", "/trace/", "/matrix/", "/checks/", "/mirrors/", "/what-if/", "/api/docs/", "/nothing/", "/hosts/", "/search/?q=v", "/alerts/", "/channels/", "/?edit", "/?tv&range=24h",
)  # fmt: skip
PAGES_OF = {
    "alice": TEAM_PAGES,
    "charlie": ("/", "/vms/", "/members/", "/trace/", "/matrix/", "/checks/", "/what-if/"),
    "olga": (
        "/",
        "/hosts/",
        "/pools/",
        "/backup-stores/",
        "/flows/",
        "/bundles/",
        "/hosts/hv1/",
        "/topology/history/",
        "/what-if/flow/",
        "/hosts/new/",
        "/orphans/",
        "/all-teams/",
        "/usage/all/",
        "/all-teams/payments/",
        "/provider-networks/",
        "/access/",
    ),
}
SEEN = (*(("alice", view) for view in VIEWS), ("charlie", "wide-light"), ("olga", "wide-dark"), ("olga", "phone-light"))
EXPECTED_ERRORS = {"/nothing/": "404", "/hosts/": "403"}  # what the browser itself says of such an answer


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM_ARGS)
        yield running
        running.close()


def logged_in(product: Product, browser: Browser, person: str, view: str) -> BrowserContext:
    """A context of the view; axe is injected past the policy that keeps other scripts out."""
    width, height, scheme = VIEWS[view]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, bypass_csp=True  # type: ignore[arg-type]
    )  # fmt: skip
    context.set_default_timeout(30_000)
    page = context.new_page()
    page.goto(f"{product.url}/")
    page.fill("input[name=username]", person)
    page.fill("input[name=password]", product.passwords[person])
    page.press("input[name=password]", "Enter")
    expect(page).to_have_url(f"{product.url}/")
    page.close()
    return context


@pytest.fixture(scope="module")
def vm_url(product: Product, browser: Browser) -> str:
    """The page of a VM that was made by keyboard alone: from the list, by Tab and Enter, with Ctrl+Enter at the end."""
    context = logged_in(product, browser, "alice", "wide-light")
    page = context.new_page()
    page.goto(f"{product.url}/vms/")
    _tab_to(page, "Create VM", "Create the first one")
    page.keyboard.press("Enter")
    page.wait_for_url("**/vms/create/")
    page.focus("input[name=name]")
    page.keyboard.press("Control+a")
    page.keyboard.type("looked-at")
    expect(page.locator("[data-effect] pre")).to_contain_text("--name looked-at")
    page.keyboard.press("Control+Enter")
    page.wait_for_url(re.compile(r"/vms/[0-9a-f-]{36}/$"))
    expect(page.locator(".vmhead .chip[data-state]")).to_have_text("Running", timeout=120_000)
    expect(page.locator("[data-part=facts]")).to_contain_text(re.compile("hv[12]"))  # without a reload
    url = page.url.removeprefix(product.url)
    context.close()
    return url


def _tab_to(page: Page, *names: str) -> None:
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.innerText.trim()") in names:
            return
    raise AssertionError(f"{names} cannot be reached by Tab")


def _faults(page: Page, path: str, errors: list[str]) -> list[str]:
    expected = EXPECTED_ERRORS.get(path)
    found = [error for error in errors if not (expected and expected in error)]
    over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    found += [f"{over} px wider than the screen"] * (over > 0)
    page.evaluate(AXE.read_text())
    for violation in page.evaluate(f"axe.run({RULES}).then((told) => told.violations)"):
        nodes = "; ".join(node["html"][:120] for node in violation["nodes"][:3])
        found.append(f"{violation['id']}: {nodes}")
    return found


@pytest.mark.parametrize(("person", "view"), SEEN)
def test_pages_are_accessible_fit_the_screen_and_log_no_error(
    product: Product, browser: Browser, vm_url: str, person: str, view: str
) -> None:
    context = logged_in(product, browser, person, view)
    page, errors, faults = context.new_page(), [], []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    extra = {"olga": ("/flows/hv1/br-int/", "/hosts/hv1/load/")}.get(
        person,
        (vm_url, f"{vm_url}console/", f"{vm_url}nics/", f"{vm_url}change/")
        if view == "phone-light"
        else (
            vm_url,
            f"{vm_url}console/",
            f"{vm_url}nics/",
            f"{vm_url}snapshots/",
            f"{vm_url}backups/",
            f"{vm_url}change/",
            f"{vm_url}delete/",
        ),
    )
    for path in (*PAGES_OF[person], *extra):
        if person == "charlie" and path.endswith("delete/"):
            continue
        errors.clear()
        page.goto(f"{product.url}{path}")
        expect(page.locator("[data-connection]")).to_have_text("Live")
        told = _faults(page, path, errors)
        faults += [f"{path}: {fault}" for fault in told]
        page.screenshot(path=str(ARTIFACTS / f"page-{person}-{re.sub('[^a-z]+', '-', path)[:24]}.{view}.png"))
    context.close()
    assert not faults, "\n".join(faults)


def test_the_log_in_page_is_accessible(product: Product, browser: Browser) -> None:
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme, bypass_csp=True)  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(f"{product.url}/login/")
        assert not _faults(page, "/login/", [])
        context.close()


def test_menus_open_and_close_by_keyboard_and_the_skip_link_skips(product: Product, browser: Browser) -> None:
    context = logged_in(product, browser, "alice", "wide-light")
    page = context.new_page()
    page.goto(f"{product.url}/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.focus(".acct summary")
    page.keyboard.press("Enter")
    expect(page.locator(".acct .menu")).to_be_visible()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText.trim()") == "SSH keys"
    page.keyboard.press("Escape")
    expect(page.locator(".acct .menu")).to_be_hidden()
    assert page.evaluate("document.activeElement.matches('.acct summary')")
    context.close()


def test_the_form_shows_what_a_size_does_to_the_quota_before_the_click(product: Product, browser: Browser) -> None:
    context = logged_in(product, browser, "alice", "wide-light")
    page = context.new_page()
    page.goto(f"{product.url}/vms/create/")
    before = page.locator(".qe").nth(1).inner_text()
    page.check("input[name=flavor][value=M]", force=True)
    wait_for(lambda: page.locator(".qe").nth(1).inner_text() != before, 10, "the bar of memory moves")
    page.fill("input[name=name]", "looked-at")
    expect(page.locator("[data-effect]")).to_contain_text("has a VM looked-at already")
    page.screenshot(path=str(Path(ARTIFACTS) / "create-effect.png"))
    context.close()
