"""The API's manners: its document, pages, filters, ETags, creates done once, problems; over WSGI and ASGI."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from django.test import AsyncClient, Client
from django.urls import reverse
from django.utils import timezone
from ninja import Schema

from portal.accounts.models import ApiToken
from portal.accounts.tokens import make_token
from portal.api.api import api
from portal.compute.models import VM
from portal.traces.models import TraceRequest
from tests.cast import Cast
from tests.portal.clients import client_of, form, made_vm


def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(api.get_openapi_schema(), default=str))
    return found


def test_the_document_is_openapi_3_1_and_says_how_every_operation_is_refused(recwarn: pytest.WarningsRecorder) -> None:
    found = document()
    assert found["openapi"] == "3.1.0"
    for path, item in found["paths"].items():
        for method, operation in item.items():
            assert operation["summary"], path
            assert "application/problem+json" in operation["responses"]["4XX"]["content"], (path, method)
    # a socket that another test left open is closed whenever Python collects it
    assert not [str(one.message) for one in recwarn if not issubclass(one.category, ResourceWarning)]


def test_every_operation_has_an_id_of_its_own() -> None:
    ids = [operation["operationId"] for item in document()["paths"].values() for operation in item.values()]
    assert len(ids) == len(set(ids))


def test_the_docs_page_lists_every_operation(cast: Cast) -> None:
    page = client_of(cast.alice).get(reverse("api_docs")).content.decode()
    for path in document()["paths"]:
        assert path in page


def test_pages_lead_through_all_rows_once_while_rows_come_and_go(cast: Cast) -> None:
    for number in range(5):
        made_vm(cast, f"web-{number}")
    client, seen, cursor = client_of(cast.bob), [], ""
    while True:
        answer = client.get(f"/api/v1/vms?limit=2{cursor}").json()
        seen += [row["name"] for row in answer["items"]]
        if len(seen) == 2:
            VM.objects.filter(name="web-0").update(state="stopped")
            made_vm(cast, "late-1")
        if answer["next"] is None:
            break
        cursor = f"&cursor={answer['next']}"
    assert seen == ["web-0", "web-1", "web-2", "web-3", "web-4", "late-1"]


def test_filters_choose(cast: Cast) -> None:
    first, _ = made_vm(cast), made_vm(cast, "web-2")
    VM.objects.filter(pk=first.pk).update(state="running")
    client = client_of(cast.bob)
    for query, names in (("state=running", ["web-1"]), ("name=web-2", ["web-2"]), ("host=hv1", [])):
        assert [row["name"] for row in client.get(f"/api/v1/vms?{query}").json()["items"]] == names
    assert len(client.get(f"/api/v1/operations?object_uuid={first.uuid}").json()["items"]) == 1


def test_an_answer_that_did_not_change_is_not_sent_again(cast: Cast) -> None:
    made_vm(cast)
    client = client_of(cast.bob)
    tag = client.get("/api/v1/vms").headers["ETag"]
    again = client.get("/api/v1/vms", headers={"If-None-Match": tag})
    assert again.status_code == 304 and not again.content
    VM.objects.update(state="running")
    assert client.get("/api/v1/vms", headers={"If-None-Match": tag}).status_code == 200


def test_a_create_that_is_sent_again_is_done_once(cast: Cast) -> None:
    client = client_of(cast.bob)
    body = {name: value for name, value in form().items() if name != "request_key"}
    options: dict[str, Any] = {"content_type": "application/json", "headers": {"Idempotency-Key": "k-1"}}
    first, again = (client.post("/api/v1/vms", body, **options) for _ in range(2))
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json() and again.headers["Idempotent-Replayed"] == "true"
    assert VM.objects.count() == 1
    other = client.post("/api/v1/vms", body | {"name": "web-2"}, **options)
    assert other.status_code == 422 and "another request" in other.json()["errors"]["Idempotency-Key"][0]


def test_anothers_idempotency_key_is_not_mine(cast: Cast) -> None:
    options: dict[str, Any] = {"content_type": "application/json", "headers": {"Idempotency-Key": "k-1"}}
    body = form(request_key="")
    client_of(cast.bob).post("/api/v1/vms", body, **options)
    theirs = client_of(cast.alice).post("/api/v1/vms", body, **options)
    assert theirs.status_code == 422 and "web-1 already" in theirs.json()["errors"]["name"][0]


def test_a_refused_create_may_be_sent_again_with_its_key(cast: Cast) -> None:
    client = client_of(cast.bob)
    options: dict[str, Any] = {"content_type": "application/json", "headers": {"Idempotency-Key": "k-1"}}
    assert client.post("/api/v1/vms", form(name="A B"), **options).status_code == 422
    assert client.post("/api/v1/vms", form(), **options).status_code == 202


@pytest.mark.parametrize("key", ["", "a b", "x" * 201, "é"])
def test_a_wrong_idempotency_key_is_named(cast: Cast, key: str) -> None:
    answer = client_of(cast.bob).post(
        "/api/v1/vms", form(), content_type="application/json", headers={"Idempotency-Key": key}
    )
    assert answer.status_code == 422 and "Idempotency-Key" in answer.json()["errors"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "nothing", 404), ("PUT", "vms", 405), ("DELETE", "hosts", 405), ("GET", "vms/x/y", 404), ("GET", "", 404)],
)
def test_what_is_not_there_is_a_problem_too(cast: Cast, method: str, path: str, status: int) -> None:
    answer = client_of(cast.bob).generic(method, f"/api/v1/{path}")
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Request-ID"]


def test_an_address_that_is_none_is_told_from_a_thing_that_is_not_there(cast: Cast) -> None:
    client = client_of(cast.bob)
    assert "no such address" in client.get("/api/v1/vmms").json()["title"]
    assert "in your teams" in client.get(f"/api/v1/vms/{uuid4()}").json()["title"]
    assert set(client.put("/api/v1/vms").headers["Allow"].split(", ")) == {"GET", "POST"}


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ('{"name": "a",}', 400, "line 1 column 14"), (b"\xff", 400, "can't decode byte 0xff"),
        ("[" * 100_000, 400, "nested too deep"), ("[]", 422, "valid dictionary"), ('"x"', 422, "valid dictionary"),
    ],
)  # fmt: skip
def test_a_body_that_is_none_is_named_and_told_where_it_goes_wrong(
    cast: Cast, body: str | bytes, status: int, told: str
) -> None:
    answer = client_of(cast.bob).post("/api/v1/networks", body, content_type="application/json")
    assert answer.status_code == status and list(answer.json()["errors"]) == ["body"], answer.json()
    assert told in answer.json()["errors"]["body"][0]


def test_a_token_that_is_none_is_told_from_none(cast: Cast) -> None:
    row, secret = make_token(cast.bob, "ci", False, 7)
    ApiToken.objects.filter(pk=row.pk).update(expires_at=timezone.now())
    for token in (secret, "hst_forged", "\N{SNOWMAN}"):
        told = Client(headers={"Authorization": f"Bearer {token}"}).get("/api/v1/vms")
        assert told.status_code == 401 and told.json()["title"].startswith("This token is not known, or has ended")


def test_a_last_event_that_is_no_number_is_named(cast: Cast) -> None:
    answer = client_of(cast.bob).get("/api/v1/events/team:payments", headers={"Last-Event-ID": "abc"})
    assert answer.status_code == 422 and list(answer.json()["errors"]) == ["Last-Event-ID"]


def test_a_stranger_is_told_how_to_come_in(db: None) -> None:
    answer = Client().get("/api/v1/vms")
    assert answer.status_code == 401 and answer.headers["WWW-Authenticate"] == "Bearer"
    assert "Authorization: Bearer" in answer.json()["title"]


def test_usage_tells_what_is_used_and_what_is_allowed(cast: Cast) -> None:
    made_vm(cast)
    answer = client_of(cast.charlie).get("/api/v1/usage").json()
    assert answer["ram_mib"] == {"used": 128, "limit": 8192}
    assert answer["vms"] == {"used": 1, "limit": 20}


def test_a_trace_of_two_vms_is_asked_for_by_their_ports(cast: Cast) -> None:
    ports = [str(made_vm(cast, name).ports.get().uuid) for name in ("web-1", "db-1")]
    body = {"source": ports[0], "target": ports[1], "protocol": "tcp", "port_dst": 5432}
    client = client_of(cast.bob)
    made = client.post("/api/v1/traces", body, content_type="application/json")
    assert made.status_code == 202
    assert client.get(f"/api/v1/traces/{made.json()['uuid']}").json()["title"] == TraceRequest.objects.get().title
    wrong = client.post("/api/v1/traces", body | {"port_dst": 70_000}, content_type="application/json")
    assert "70000 was given" in wrong.json()["errors"]["port_dst"][0]


@pytest.mark.django_db(transaction=True)
async def test_the_same_answers_come_over_asgi(redis_server: str) -> None:
    client = AsyncClient()
    answer = await client.get("/api/v1/vms")
    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (await client.get("/login/")).status_code == 200


def test_no_two_shapes_of_the_document_share_a_name() -> None:
    """Two classes of one name are one shape in the document, and the answers of one of them do not fit it."""
    found: dict[str, set[str]] = {}
    waiting = [Schema]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.__module__.startswith("portal."):
            found.setdefault(kind.__name__, set()).add(kind.__module__)
    assert not {name: modules for name, modules in found.items() if len(modules) > 1}
