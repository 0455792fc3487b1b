"""Passkeys in Chromium with its virtual authenticator (CDP's WebAuthn domain): added, logged in by, used as a second factor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, CDPSession, Page, expect, sync_playwright

from portal.accounts.models import AuditRow, LogIn
from tests.accounts.factors import PASSWORD, fresh_code, with_password
from tests.cast import Cast, make_cast
from tests.e2e.conftest import CHROMIUM_ARGS

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("passkeys")]
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv(
            "DJANGO_ALLOW_ASYNC_UNSAFE", "true"
        )  # Playwright's loop runs in this thread, as the rows' set-up does
        running = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM_ARGS)
        yield running
        running.close()


@pytest.fixture
def served(
    browser: Browser, transactional_db: None, redis_server: str, settings: Any, live_server: Any
) -> tuple[str, Cast]:
    """(address, cast): by its name, for no passkey belongs to a number."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return live_server.url.replace("127.0.0.1", "localhost"), make_cast()


def page_with_authenticator(browser: Browser) -> tuple[Page, CDPSession, str]:
    page = browser.new_context().new_page()
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    made = devtools.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    return page, devtools, made["authenticatorId"]


def gives_password(page: Page, url: str) -> None:
    page.goto(f"{url}/login/")
    page.fill("input[name=username]", "bob")
    page.fill("input[name=password]", PASSWORD)
    page.press("input[name=password]", "Enter")
    expect(page.locator("input[name=username]")).to_have_count(0)


def adds_passkey(page: Page, url: str) -> None:
    """By the page, having shown the password once more; the recovery codes come with it."""
    page.goto(f"{url}/security/passkeys/new/")
    page.fill("#password", PASSWORD)
    page.get_by_role("button", name="It is me").click()
    page.fill("#name", "this laptop")
    page.get_by_role("button", name="Ask this device").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()


def test_a_passkey_is_added_and_logs_in_without_name_and_password(browser: Browser, served: tuple[str, Cast]) -> None:
    url, cast = served
    bob = with_password(cast.bob)
    page, devtools, authenticator = page_with_authenticator(browser)
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if "Content Security" in message.text else None)
    gives_password(page, url)
    adds_passkey(page, url)
    held = devtools.send("WebAuthn.getCredentials", {"authenticatorId": authenticator})["credentials"]
    assert [(one["rpId"], one["isResidentCredential"]) for one in held] == [("localhost", True)]
    page.goto(f"{url}/security/")
    expect(page.get_by_role("cell", name="this laptop", exact=True)).to_be_visible()
    page.context.clear_cookies()
    page.goto(f"{url}/login/")
    page.get_by_role("button", name="Log in with a passkey").click()
    expect(page).to_have_url(f"{url}/")
    assert LogIn.objects.filter(user=bob, method="passkey").count() == 1
    assert AuditRow.objects.filter(action="factor.add", object_name="passkey of bob").count() == 1
    assert not problems, "the policy for scripts is kept"
    page.context.close()


def test_a_passkey_is_a_second_factor_and_another_ones_is_not(browser: Browser, served: tuple[str, Cast]) -> None:
    url, cast = served
    bob = with_password(cast.bob)
    page, _, _ = page_with_authenticator(browser)
    gives_password(page, url)
    adds_passkey(page, url)
    page.context.clear_cookies()
    gives_password(page, url)
    expect(page.get_by_role("heading", name="Second factor")).to_be_visible()
    page.get_by_role("button", name="Use your passkey").click()
    expect(page).to_have_url(f"{url}/")
    assert LogIn.objects.filter(user=bob, method="password, passkey").exists()

    other, _, _ = page_with_authenticator(browser)
    gives_password(other, url)
    other.get_by_role("button", name="Use your passkey").click()
    expect(other.locator("[data-told]")).to_contain_text("no passkey of this site is here")
    other.goto(f"{url}/login/")
    other.get_by_role("button", name="Log in with a passkey").click()
    expect(other.locator("[data-told]")).to_be_visible()
    other.goto(f"{url}/")
    expect(other.locator("input[name=username]")).to_be_visible()
    for context in (page.context, other.context):
        context.close()


def test_an_app_is_set_up_in_the_browser_by_its_key(browser: Browser, served: tuple[str, Cast]) -> None:
    url, cast = served
    with_password(cast.bob)
    page = browser.new_context().new_page()
    gives_password(page, url)
    page.goto(f"{url}/security/app/")
    page.fill("#password", PASSWORD)
    page.get_by_role("button", name="It is me").click()
    expect(page.get_by_role("img", name="QR code of the key below")).to_be_visible()
    assert page.evaluate("document.querySelector('img').naturalWidth") > 100, "the policy lets the picture in"
    secret = page.locator("#secret").inner_text()
    page.fill("#code", fresh_code(secret))
    page.get_by_role("button", name="Set it up").click()
    expect(page.locator("#codes")).to_contain_text("\n")
    page.context.clear_cookies()
    gives_password(page, url)
    page.fill("#code", fresh_code(secret))
    page.get_by_role("button", name="Go on").click()
    expect(page).to_have_url(f"{url}/")
    page.context.close()
