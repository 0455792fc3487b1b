"""A console's ticket: one use, 30 s, one person's session, one VM, one kind, and only from our own pages."""

from __future__ import annotations

import json

import pytest
from asgiref.sync import sync_to_async
from django.test import Client
from django.urls import reverse

from portal.accounts.tokens import delete_token, make_token
from portal.compute.models import VM, VMState
from portal.console.socket import TICKET_WITHIN_S, is_same_origin
from portal.console.tickets import LIFE_S, Holder, issue_ticket, redeem_ticket
from portal.console.wire import Close
from portal.live.events import connection
from tests.console.conftest import ConsoleBrowser, Consoles
from tests.portal.clients import made_vm
from tests.waiting import wait_for

HOLDER = Holder(1, "session", "vm", "serial")
OTHERS = (
    Holder(2, "session", "vm", "serial"),
    Holder(1, "another", "vm", "serial"),
    Holder(1, "session", "other", "serial"),
    Holder(1, "session", "vm", "screen"),
)


def test_a_ticket_is_good_once(redis_server: str) -> None:
    ticket = issue_ticket(HOLDER)
    assert redeem_ticket(ticket, HOLDER)
    assert not redeem_ticket(ticket, HOLDER)


@pytest.mark.parametrize("other", OTHERS)
def test_a_ticket_is_nobody_elses_and_showing_it_elsewhere_uses_it_up(redis_server: str, other: Holder) -> None:
    ticket = issue_ticket(HOLDER)
    assert not redeem_ticket(ticket, other)
    assert not redeem_ticket(ticket, HOLDER)


def test_a_ticket_is_forgotten_after_its_life_which_is_thirty_seconds(redis_server: str) -> None:
    def kept() -> set[bytes]:
        return set(connection().keys("hopsight:console-ticket:*"))

    before = kept()
    ticket = issue_ticket(HOLDER)
    (key,) = kept() - before
    assert LIFE_S - 5 < connection().ttl(key) <= LIFE_S == 30
    assert ticket not in key.decode(), "who reads Redis learns no ticket"
    connection().delete(key)
    short = issue_ticket(HOLDER, life_s=0.05)
    wait_for(lambda: not kept() - before, 5, "it is forgotten")
    assert not redeem_ticket(short, HOLDER)


@pytest.mark.parametrize("ticket", ["", "x" * 4000, "\udcff", "../../etc", "null"])
def test_what_is_no_ticket_opens_nothing(redis_server: str, ticket: str) -> None:
    assert not redeem_ticket(ticket, HOLDER)


@pytest.mark.parametrize(
    ("origin", "is_ours"),
    [
        ("http://testserver", True), ("https://testserver", True), ("https://front.example", True), ("", False),
        ("null", False), ("http://testserver.evil.example", False), ("http://evil.example", False),
        ("http://testserver:8001", False), ("file://testserver", False), ("http://user@testserver", False),
    ],
)  # fmt: skip
def test_only_a_page_of_our_own_opens_a_socket(settings, origin: str, is_ours: bool) -> None:  # type: ignore[no-untyped-def]
    settings.CSRF_TRUSTED_ORIGINS = ["https://front.example"]
    assert is_same_origin([(b"Host", b"testserver"), (b"Origin", origin.encode())]) is is_ours
    assert not is_same_origin([(b"host", b"testserver")])


async def test_a_handshake_of_another_site_is_refused_though_the_cookie_and_ticket_are_good(consoles: Consoles) -> None:
    client = await consoles.client("alice")
    await consoles.ticket(client)
    browser = ConsoleBrowser(client, consoles.vm.uuid, origin=(b"origin", b"http://evil.example"))
    assert not await browser.open()


async def test_a_ticket_of_ones_own_opens_and_a_second_time_does_not(consoles: Consoles) -> None:
    consoles.doors.start(consoles.vm.uuid, "cat")
    client = await consoles.client("alice")
    ticket = await consoles.ticket(client)
    await (await consoles.browser(client, ticket)).pen(mine=True)
    code, words = await (await consoles.browser(client, ticket)).closed()
    assert code == Close.REFUSED and "was used" in words


async def test_a_ticket_is_no_good_to_another_member_of_the_team(consoles: Consoles) -> None:
    ticket = await consoles.ticket(await consoles.client("alice"))
    code, _ = await (await consoles.browser(await consoles.client("bob"), ticket)).closed()
    assert code == Close.REFUSED


async def test_a_ticket_is_no_good_for_another_vm_or_kind(consoles: Consoles) -> None:
    other = await sync_to_async(made_vm)(consoles.cast, "web-2")
    client = await consoles.client("alice")
    for changed in ({"vm": other.uuid}, {"kind": "screen"}, {"kind": "telnet"}):
        browser = await consoles.browser(client, await consoles.ticket(client), **changed)
        assert (await browser.closed())[0] == Close.REFUSED, changed
    assert consoles.doors.opened == 0


async def test_dana_gets_404_for_page_and_ticket_and_nothing_by_a_socket(consoles: Consoles) -> None:
    client = await consoles.client("dana")
    for name, method in (("console", client.get), ("console_ticket", client.post)):
        answer = await sync_to_async(method)(reverse(name, args=[consoles.vm.uuid]))
        assert answer.status_code == 404
    holder = Holder(consoles.cast.dana.pk, client.session.session_key or "", str(consoles.vm.uuid), "serial")
    ticket = await sync_to_async(issue_ticket)(holder)  # had she one by some fault, the right is asked for again
    code, words = await (await consoles.browser(client, ticket)).closed()
    assert code == Close.GONE and "web-1" not in words


async def test_a_socket_that_shows_no_ticket_first_is_closed(consoles: Consoles) -> None:
    client = await consoles.client("alice")
    for first in ({"text": "[]"}, {"text": "{"}, {"bytes": b"ls\n"}, {"text": json.dumps({"ticket": 7})}):
        browser = ConsoleBrowser(client, consoles.vm.uuid)
        assert await browser.open()
        consoles.open_ones.append(browser)
        await browser.send(**first)
        assert (await browser.closed())[0] == Close.BAD_MESSAGE, first


async def test_a_socket_that_shows_no_ticket_at_all_is_closed_in_time(consoles: Consoles, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    assert TICKET_WITHIN_S <= 5
    monkeypatch.setattr("portal.console.socket.TICKET_WITHIN_S", 0.05)
    browser = ConsoleBrowser(await consoles.client("alice"), consoles.vm.uuid)
    assert await browser.open()
    consoles.open_ones.append(browser)
    assert (await browser.closed())[0] == Close.BAD_MESSAGE


@pytest.mark.parametrize("state", [VMState.STOPPED, VMState.CRASHED, VMState.DELETING])
async def test_a_vm_that_is_off_has_no_ticket_and_says_why(consoles: Consoles, state: VMState) -> None:
    await VM.objects.filter(pk=consoles.vm.pk).aupdate(state=state)
    client = await consoles.client("alice")
    answer = await sync_to_async(client.post)(reverse("console_ticket", args=[consoles.vm.uuid]))
    assert answer.json()["off"].startswith("web-1 ") and "ticket" not in answer.json()
    page = await sync_to_async(client.get)(reverse("console", args=[consoles.vm.uuid]))
    assert answer.json()["off"] in page.content.decode()


async def test_a_program_opens_the_console_with_its_token_until_the_token_ends(consoles: Consoles) -> None:
    consoles.doors.start(consoles.vm.uuid, "cat")
    row, secret = await sync_to_async(make_token)(consoles.cast.alice, "laptop", True, 7)
    headers = {"Authorization": f"Bearer {secret}"}
    program = Client()
    asked = await sync_to_async(program.post)(
        f"/api/v1/vms/{consoles.vm.uuid}/console-ticket", {}, content_type="application/json", headers=headers
    )
    assert asked.status_code == 201, asked.content
    browser = ConsoleBrowser(program, consoles.vm.uuid, bearer=secret)
    assert await browser.open()
    consoles.open_ones.append(browser)
    await browser.send(text=json.dumps({"ticket": asked.json()["ticket"]}))
    await browser.pen(mine=True)
    await sync_to_async(delete_token)(row)
    assert (await browser.closed())[0] == Close.LOGGED_OUT


async def test_a_ticket_of_a_token_is_no_good_to_a_session_and_a_false_token_opens_nothing(consoles: Consoles) -> None:
    _, secret = await sync_to_async(make_token)(consoles.cast.alice, "laptop", True, 7)
    asked = await sync_to_async(Client().post)(
        f"/api/v1/vms/{consoles.vm.uuid}/console-ticket", {}, content_type="application/json",
        headers={"Authorization": f"Bearer {secret}"},
    )  # fmt: skip
    client = await consoles.client("alice")
    assert (await (await consoles.browser(client, asked.json()["ticket"])).closed())[0] == Close.REFUSED
    assert not await ConsoleBrowser(client, consoles.vm.uuid, bearer="hst_false").open()
