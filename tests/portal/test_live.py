"""The live socket against a real Redis: joining, refusals, events, lagging, lost rights, what strangers and fools send."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import Client

from portal.accounts.models import Membership, User
from portal.accounts.teams import remove_member
from portal.accounts.tokens import make_token
from portal.config.asgi import application
from portal.live import hub as hub_module
from portal.live.consumers import MAX_TOPICS
from portal.live.topics import snapshot_of
from portal.live.transient import publish_transient
from tests.cast import Cast, make_cast
from tests.portal.clients import made_host, made_vm
from tests.portal.sockets import DEADLINE_S, Socket

pytestmark = pytest.mark.django_db(transaction=True)
ORIGIN = "http://localhost:8000"


@pytest.fixture
async def cast(redis_server: str, transactional_db: None, settings: Any) -> Cast:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return await sync_to_async(make_cast)()


@pytest.fixture
async def open_socket(cast: Cast) -> AsyncIterator[Callable[..., Any]]:
    """Opens sockets that are closed, with the hub, when the test ends."""
    opened: list[Socket] = []
    await asyncio.wait_for(hub_module.hub().subscribed.wait(), DEADLINE_S)

    async def open_one(user: User | None, origin: str = ORIGIN) -> tuple[Socket, bool]:
        headers = [(b"host", b"localhost:8000"), (b"origin", origin.encode())]
        if user is not None:
            client = Client()
            await sync_to_async(client.force_login)(user)
            headers.append((b"cookie", f"sessionid={client.cookies['sessionid'].value}".encode()))
        socket = Socket(application, headers)
        accepted = await socket.open()
        if accepted:
            opened.append(socket)
        return socket, accepted

    yield open_one
    for socket in opened:
        await socket.leave()
    await hub_module.hub().stop()


async def test_a_member_joins_and_hears_what_changes(cast: Cast, open_socket: Any) -> None:
    socket, accepted = await open_socket(cast.bob)
    assert accepted
    joined = await socket.say(join="team:payments")
    assert joined == {"joined": "team:payments", "seq": 0}
    vm = await sync_to_async(made_vm)(cast)
    events = [await socket.hear(), await socket.hear()]
    assert [event["seq"] for event in events] == [1, 2]
    assert {event["type"] for event in events} == {"vm.changed", "operation.changed"}
    assert f"vm:{vm.uuid}" in {event["object"] for event in events}
    assert (await socket.say(join="team:payments"))["seq"] == 2


async def test_nobody_without_a_log_in_is_let_in(open_socket: Any) -> None:
    _, accepted = await open_socket(None)
    assert not accepted


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost.evil.example:8000"])
async def test_a_page_of_another_origin_is_not_let_in(cast: Cast, open_socket: Any, origin: str) -> None:
    _, accepted = await open_socket(cast.bob, origin)
    assert not accepted


async def test_a_program_with_a_token_needs_no_origin_and_a_page_with_one_does(cast: Cast, open_socket: Any) -> None:
    _, secret = await sync_to_async(make_token)(cast.bob, "ci", False, 7)
    await asyncio.wait_for(hub_module.hub().subscribed.wait(), DEADLINE_S)
    for headers, lets_in in (
        ({"authorization": f"Bearer {secret}"}, True),
        ({"authorization": f"Bearer {secret}", "origin": "http://evil.example"}, False),
        ({"authorization": "Bearer hst_forged"}, False),
        ({}, False),
    ):
        socket = Socket(application, [(name.encode(), value.encode()) for name, value in headers.items()])
        assert await socket.open() is lets_in, headers
        if lets_in:  # a hub that subscribes only then says «lagging» first: the fixture waited for it
            assert (await socket.say(join="team:payments"))["joined"] == "team:payments"
            await socket.leave()


async def test_another_teams_topic_and_no_topic_are_refused_alike(cast: Cast, open_socket: Any) -> None:
    socket, _ = await open_socket(cast.dana)
    theirs, none = await socket.say(join="team:payments"), await socket.say(join="team:nothing")
    assert theirs["refused"] == "team:payments"
    assert theirs["reason"].replace("payments", "nothing") == none["reason"]
    await sync_to_async(made_vm)(cast)
    assert await socket.receive_nothing(0.3)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "7", '{"join": 7}', '{"join": null}', "[" * 4000, '{"join": "' + "x" * 9000 + '"}', "\x00"],
)
async def test_whatever_else_is_sent_is_answered_with_how_to_ask(cast: Cast, open_socket: Any, text: str) -> None:
    socket, _ = await open_socket(cast.bob)
    await socket.send(text=text)
    assert "join" in (await socket.hear())["reason"]
    assert "joined" in await socket.say(join="team:payments")


async def test_bytes_are_answered_with_how_to_ask(cast: Cast, open_socket: Any) -> None:
    socket, _ = await open_socket(cast.bob)
    await socket.send(bytes=b"\xff\x00")
    assert "join" in (await socket.hear())["reason"]


async def test_a_thousand_joins_are_bounded(cast: Cast, open_socket: Any) -> None:
    socket, _ = await open_socket(cast.olga)
    answers = [await socket.say(join=f"flows:hv{number}/br-int") for number in range(1000)]
    assert sum("joined" in answer for answer in answers) == MAX_TOPICS
    assert "leave one first" in answers[-1]["reason"]
    await socket.send(text=json.dumps({"leave": "flows:hv0/br-int"}))
    assert "joined" in await socket.say(join="hosts")


async def test_a_reader_that_lags_is_told_to_fetch_again(cast: Cast, open_socket: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(hub_module, "QUEUE_LENGTH", 5)
    socket, _ = await open_socket(cast.olga)
    await socket.say(join="flows:hv1/br-int")
    mailbox = next(iter(hub_module.hub()._readers["flows:hv1/br-int"]))
    for number in range(50):  # in one go, so that nothing is read in between
        mailbox.put(hub_module.batch_of("flows:hv1/br-int", [json.dumps({"seq": number})]))
    heard = [await socket.hear() for _ in range(6)]
    assert {"lagging": "flows:hv1/br-int"} in heard
    await sync_to_async(publish_transient)("flows:hv1/br-int", "flow.changed", "f", {"n": 1})
    assert (await socket.hear())["object"] == "f"


async def test_who_is_removed_from_a_team_hears_nothing_of_it_any_more(cast: Cast, open_socket: Any) -> None:
    socket, _ = await open_socket(cast.bob)
    await socket.say(join="team:payments")
    row = await sync_to_async(Membership.objects.select_related("user", "team").get)(user=cast.bob)
    await sync_to_async(remove_member)(row, cast.alice)
    assert (await socket.hear())["refused"] == "team:payments"
    await sync_to_async(made_vm)(cast)
    assert await socket.receive_nothing(0.3)
    assert "refused" in await socket.say(join="team:payments")


async def test_a_session_that_was_ended_closes_its_socket(cast: Cast, open_socket: Any) -> None:
    from django.contrib.sessions.models import Session

    from portal.live.events import rights_changed

    socket, _ = await open_socket(cast.bob)
    await socket.say(join="team:payments")
    await sync_to_async(Session.objects.all().delete)()
    await sync_to_async(rights_changed)(cast.bob.pk)
    closed = await socket.receive_output(10)
    assert closed["type"] == "websocket.close"
    assert closed["code"] == 4401


async def test_the_hosts_topic_is_the_operators_and_starts_with_every_host(cast: Cast, open_socket: Any) -> None:
    await sync_to_async(made_host)()
    olgas, _ = await open_socket(cast.olga)
    alices, _ = await open_socket(cast.alice)
    assert "joined" in await olgas.say(join="hosts")
    assert "refused" in await alices.say(join="hosts")
    state = (await sync_to_async(snapshot_of)("hosts"))["state"]
    assert state["host:hv1"]["ram_mib"] == 8192


async def test_sockets_that_went_away_leave_nothing_behind(cast: Cast, open_socket: Any) -> None:
    socket, _ = await open_socket(cast.bob)
    await socket.say(join="team:payments")
    hub = hub_module.hub()
    assert hub._readers and hub._people
    await socket.leave()
    await asyncio.sleep(0)
    assert not hub._readers and not hub._people
