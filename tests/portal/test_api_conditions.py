"""Sparse fields, changes only of what was read, kept answers forgotten, and live topics as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import AsyncClient
from django.utils import timezone

from portal.accounts.tokens import delete_token, make_token
from portal.api.answers import KEPT_FOR, forget_old
from portal.api.models import KeptAnswer
from portal.compute.models import VM
from portal.live.events import publish
from portal.live.hub import hub
from portal.live.models import Event
from portal.live.stream import MAX_STREAMS, open_streams, stream
from portal.networks.groups import add_rule, create_group
from portal.networks.rule_check import RuleSpec
from tests.cast import Cast, make_cast
from tests.portal.clients import client_of, form, made_host, made_store, made_vm, made_volume

JSON: dict[str, Any] = {"content_type": "application/json"}
DEADLINE_S = 60  # a busy machine is late, not wrong


def test_only_the_fields_that_were_asked_for_come(cast: Cast) -> None:
    vm, client = made_vm(cast), client_of(cast.bob)
    assert client.get("/api/v1/vms?fields=name,state").json()["items"] == [{"name": "web-1", "state": "creating"}]
    assert client.get(f"/api/v1/vms/{vm.uuid}?fields=name").json() == {"name": "web-1"}
    assert client.get("/api/v1/flavors?fields=name").json()[0].keys() == {"name"}
    wrong = client.get("/api/v1/vms?fields=name,colour")
    assert wrong.status_code == 422 and "“colour” were given; address, apart, " in wrong.json()["errors"]["fields"][0]
    nowhere = client.get("/api/v1/vms?cursor=nowhere")
    assert (nowhere.status_code, nowhere.json()["title"]) == (
        422,
        "Nothing can be shown: some fields need another value",
    )
    assert client_of(cast.dana).get("/api/v1/vms?fields=name").json()["items"] == []


def test_a_change_is_made_only_of_what_was_read(cast: Cast) -> None:
    vm, client = made_vm(cast), client_of(cast.bob)
    path = f"/api/v1/vms/{vm.uuid}"
    tag = client.get(path).headers["ETag"]
    VM.objects.filter(pk=vm.pk).update(state="running")
    stale = client.patch(path, {"is_protected": True}, **JSON, headers={"If-Match": tag})
    assert stale.status_code == 412 and stale.headers["Content-Type"] == "application/problem+json"
    assert not VM.objects.get().is_protected
    fresh = client.get(path).headers["ETag"]
    assert stale.headers["ETag"] == fresh and fresh in stale.json()["errors"]["If-Match"][0]
    assert client.patch(path, {"is_protected": True}, **JSON, headers={"If-Match": f'"x", {fresh}'}).status_code == 200
    assert VM.objects.get().is_protected
    assert client.delete(path, headers={"If-Match": fresh}).status_code == 412
    assert client.patch(path, {"is_protected": False}, **JSON, headers={"If-Match": "*"}).status_code == 200


def test_what_ages_by_itself_is_no_change_of_a_store_a_pool_or_a_host(cast: Cast) -> None:
    store, host = made_store("attic"), made_host()
    pool = made_volume(cast, host=host).pool
    assert pool is not None
    client, other = client_of(cast.olga), client_of(cast.olga)
    change: dict[str, Any]
    for path, change, row, ages in (
        (f"/api/v1/backup-stores/{store.uuid}", {"is_enabled": False}, store, {"free_bytes": 7, "strays": [], "seen_at": timezone.now()}),
        (f"/api/v1/pools/{pool.uuid}", {"is_offered": False}, pool, {"available_bytes": 7, "seen_at": timezone.now()}),
        (f"/api/v1/hosts/{host.name}", {"enabled": False}, host, {"libvirt_seen_at": timezone.now(), "ovs_seen_at": timezone.now()}),
    ):  # fmt: skip
        first = client.get(path)
        tag = first.headers["ETag"]
        type(row)._default_manager.filter(pk=row.pk).update(**ages)
        again = client.get(path, headers={"If-None-Match": tag})
        assert (again.status_code, again.headers["ETag"]) == (200, tag) and again.json() != first.json(), "told anew"
        assert client.patch(path, change, **JSON, headers={"If-Match": tag}).status_code == 200, path
        late = other.patch(path, change, **JSON, headers={"If-Match": tag})
        assert late.status_code == 412 and late.headers["ETag"] == client.get(path).headers["ETag"] != tag, path


def test_an_if_match_tells_a_stranger_nothing(cast: Cast) -> None:
    path = f"/api/v1/vms/{made_vm(cast).uuid}"
    assert client_of(cast.dana).delete(path, headers={"If-Match": '"x"'}).status_code == 404
    rule = add_rule(create_group(cast.payments, "web"), RuleSpec())
    no_tag = client_of(cast.bob).delete(
        f"/api/v1/security-groups/{rule.group.uuid}/rules/{rule.pk}", headers={"If-Match": '"x"'}
    )
    assert no_tag.status_code == 412 and "has no ETag" in no_tag.json()["errors"]["If-Match"][0]


def test_what_is_kept_for_a_day_is_forgotten_after_it(cast: Cast) -> None:
    client_of(cast.bob).post("/api/v1/vms", form(request_key=""), **JSON, headers={"Idempotency-Key": "k-1"})
    kept = KeptAnswer.objects.count(), Event.objects.count()
    assert all(kept)
    assert forget_old(timezone.now() + KEPT_FOR - timedelta(minutes=1)) == 0
    assert forget_old(timezone.now() + KEPT_FOR + timedelta(minutes=1)) == sum(kept)
    assert not KeptAnswer.objects.exists() and not Event.objects.exists()


@pytest.fixture
async def people(transactional_db: None, redis_server: str, settings: Any) -> AsyncIterator[Cast]:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    await asyncio.wait_for(hub().subscribed.wait(), DEADLINE_S)
    yield await sync_to_async(make_cast)()
    await hub().stop()


async def pieces(answer: Any, wanted: int) -> list[str]:
    """The next so many pieces of a stream, heartbeats aside."""
    found: list[str] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(found) < wanted:
            piece = await anext(answer)
            if not piece.startswith(":"):
                found.append(piece)
    return found


def told(piece: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(piece.split("data: ", 1)[1])
    return value


async def test_a_topic_streams_its_events_with_their_numbers(people: Cast) -> None:
    row, secret = await sync_to_async(make_token)(people.charlie, "tail", False, 7)
    client = AsyncClient()
    answer = await client.get("/api/v1/events/team:payments", headers={"Authorization": f"Bearer {secret}"})
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "text/event-stream"
    body = aiter(answer.streaming_content)
    joined = (await anext(body)).decode()
    assert joined.startswith("event: joined\n")
    reading = asyncio.create_task(anext(body))
    await asyncio.sleep(0)
    await sync_to_async(made_vm)(people)
    first = (await asyncio.wait_for(reading, DEADLINE_S)).decode()
    assert told(first)["seq"] == told(joined)["seq"] + 1 and f"id: {told(first)['seq']}\n" in first
    await sync_to_async(delete_token)(row)
    async with asyncio.timeout(DEADLINE_S):
        rest = [piece.decode() async for piece in body]
    assert rest[-1].startswith("event: ended\n")
    assert open_streams[people.charlie.pk] == 0


async def test_a_reader_that_comes_back_gets_what_it_missed_or_is_told_to_read_all(people: Cast) -> None:
    await sync_to_async(made_vm)(people)
    key = (await sync_to_async(client_of)(people.bob)).session.session_key or ""
    last = await Event.objects.filter(topic="team:payments").order_by("-seq").values_list("seq", flat=True).afirst()
    assert last is not None and last >= 2
    again = stream(people.bob, key, "team:payments", 0)
    got = await pieces(again, 1 + last)
    assert [told(piece)["seq"] for piece in got[1:]] == list(range(1, last + 1))
    await sync_to_async(publish)("team:payments", "vm.changed", "vm:x", {})
    assert told((await pieces(again, 1))[0])["seq"] == last + 1
    await again.aclose()
    await Event.objects.filter(seq=1).adelete()
    late = stream(people.bob, key, "team:payments", 0)
    assert [piece.split("\n")[0] for piece in await pieces(late, 2)] == ["event: joined", "event: lagging"]
    await late.aclose()
    assert open_streams[people.bob.pk] == 0


async def test_a_stranger_gets_no_stream_and_nobody_too_many(people: Cast) -> None:
    client = AsyncClient()
    await sync_to_async(client.force_login)(people.dana)
    assert (await client.get("/api/v1/events/team:payments")).status_code == 404
    open_streams[people.dana.pk] = MAX_STREAMS
    try:
        full = await client.get("/api/v1/events/team:search")
    finally:
        del open_streams[people.dana.pk]
    assert full.status_code == 429 and full.headers["Content-Type"] == "application/problem+json"
