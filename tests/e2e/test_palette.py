"""The palette and the keys in a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.e2e.conftest import CHROMIUM_ARGS, Product
from tests.e2e.test_pages import logged_in

pytestmark = [pytest.mark.lab, pytest.mark.browser, pytest.mark.xdist_group("e2e"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def page(product: Product) -> Iterator[Page]:
    with sync_playwright() as playwright:
        running: Browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM_ARGS)
        context = logged_in(product, running, "bob", "wide-light")
        yield context.new_page()
        running.close()


def test_the_palette_finds_and_goes_by_keyboard_alone(product: Product, page: Page) -> None:
    page.goto(product.url)
    expect(page.locator("[data-connection]")).to_have_text("Live")
    page.keyboard.press("Control+k")
    expect(page.get_by_role("combobox", name="Search everything")).to_be_focused()
    page.keyboard.type("security gr")
    expect(page.get_by_role("option").first).to_contain_text("Security groups")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/security-groups/$"))
    page.keyboard.press("Control+k")
    expect(page.get_by_role("option").first).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("option").nth(1)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Escape")
    expect(page.locator("dialog.pal")).to_have_count(0)


def test_letters_go_to_pages_and_a_question_mark_tells_them(product: Product, page: Page) -> None:
    page.goto(product.url)
    expect(page.locator("[data-connection]")).to_have_text("Live")
    page.keyboard.press("g")
    page.keyboard.press("v")
    expect(page).to_have_url(f"{product.url}/vms/")
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Keyboard")).to_be_visible()
    page.locator("#q").focus()
    page.keyboard.type("gv")
    expect(page.locator("#q")).to_have_value("gv")
