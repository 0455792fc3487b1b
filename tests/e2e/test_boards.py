"""Boards in a browser: widgets placed by keyboard and by drag, kept; the first load is light; charts are drawn and saved."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.e2e.conftest import CHROMIUM_ARGS, Product
from tests.e2e.test_pages import logged_in

pytestmark = [pytest.mark.lab, pytest.mark.browser, pytest.mark.xdist_group("e2e"), pytest.mark.timeout(300)]
MOST_JS_KB = 150
FIRST_KINDS = ["Quota", "Problems", "Path checks"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM_ARGS)
        yield running
        running.close()


@pytest.fixture
def page(product: Product, browser: Browser) -> Iterator[Page]:
    context = logged_in(product, browser, "bob", "wide-light")
    yield context.new_page()
    context.close()


def titles(page: Page) -> list[str]:
    return [str(one.get_attribute("aria-label")) for one in page.locator("[data-widget]").all()]


def kept(page: Page) -> None:
    expect(page.locator("[data-island=board]")).to_have_attribute("data-kept", "yes")


def test_widgets_are_placed_by_keyboard_and_by_drag_and_stay(product: Product, page: Page) -> None:
    page.goto(f"{product.url}/?edit")
    assert titles(page)[:3] == FIRST_KINDS
    page.get_by_role("button", name="Move Path checks:").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowRight")
    kept(page)
    expect(page.locator("[data-board-said]")).to_have_text("Path checks: place 2 of 10, 8 columns wide")
    page.reload()
    assert titles(page)[:3] == ["Quota", "Path checks", "Problems"]
    grip = page.get_by_role("button", name="Move Path checks:").bounding_box()
    quota = page.locator("[data-widget]").first.bounding_box()
    assert grip and quota
    page.mouse.move(grip["x"] + 5, grip["y"] + 5)
    page.mouse.down()
    page.mouse.move(quota["x"] + 40, quota["y"] + 6, steps=5)
    page.mouse.up()
    kept(page)
    page.reload()
    assert titles(page)[:3] == ["Path checks", "Quota", "Problems"]
    page.locator("summary", has_text="Begin anew").click()
    page.get_by_role("button", name="Yes, begin anew").click()
    page.goto(f"{product.url}/?edit")
    expect(page.locator("[data-widget]").first).to_have_attribute("aria-label", "Quota")


@pytest.mark.parametrize(("language", "search"), [("en", "Search everything"), ("ru", "Искать везде")])
def test_the_first_load_of_the_dashboard_is_light_in_each_language(
    product: Product, page: Page, language: str, search: str
) -> None:
    page.context.add_cookies([{"name": "django_language", "value": language, "url": product.url}])
    bodies: list[bytes] = []
    page.on("response", lambda answer: bodies.append(answer.body()) if ".js" in answer.url else None)
    page.goto(product.url)
    expect(page.locator(".chart-draw canvas").first).to_be_visible()
    size_kb = sum(len(gzip.compress(body)) for body in bodies) / 1000
    assert 20 < size_kb <= MOST_JS_KB, f"{size_kb:.0f} kB of scripts, {len(bodies)} files"
    page.keyboard.press("Control+k")
    expect(page.get_by_role("combobox", name=search)).to_be_focused()


def test_a_chart_is_drawn_and_saved_as_a_table_and_as_a_picture(product: Product, page: Page) -> None:
    page.goto(product.url)
    expect(page.locator(".chart-draw canvas").first).to_be_visible()
    for words, begin in (("CSV", b"time,sent_bps"), ("PNG", b"\x89PNG")):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Traffic as {words}").click()
        assert download.value.path().read_bytes().startswith(begin)
        assert download.value.suggested_filename == f"traffic.{words.lower()}"


def test_the_wall_shows_nothing_but_the_board(product: Product, page: Page) -> None:
    page.goto(product.url)
    page.get_by_role("link", name="Full screen").click()
    expect(page.locator("nav.side")).to_be_hidden()
    expect(page.get_by_role("heading", name="Problems")).to_be_visible()
    page.get_by_role("link", name="Leave full screen").click()
    expect(page.locator("nav.side")).to_be_visible()
