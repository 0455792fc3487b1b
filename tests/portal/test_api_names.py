"""A name that an operation does not know is refused wherever it stands, told with its place, what is allowed and what is nearest."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from django.test import Client

from portal.accounts.tokens import make_token
from portal.api.api import api
from portal.api.names import MOST_TOLD
from portal.api.schemas import TraceIn, TraceQuestion
from portal.compute.models import VM
from portal.operations.models import Operation
from tests.cast import Cast
from tests.portal.clients import client_of, form, made_host, made_vm

JSON: dict[str, Any] = {"content_type": "application/json"}
NAMES = {"host": "hv1", "bridge": "br-int", "slug": "payments", "username": "bob", "topic": "hosts", "action": "start"}
RAW = ("application/octet-stream",)  # a body of bytes has no names


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in json.loads(json.dumps(api.get_openapi_schema(), default=str))["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def kinds_of_body(operation: dict[str, Any]) -> list[str]:
    return list(operation.get("requestBody", {}).get("content", {}))


def filled(path: str, operation: dict[str, Any]) -> str:
    """The path with a value of the right form for each of its names."""
    kinds = {one["name"]: one["schema"] for one in operation["parameters"] if one["in"] == "path"}

    def value(found: re.Match[str]) -> str:
        name, kind = found[1], kinds[found[1]]
        if kind.get("format") == "uuid":
            return "00000000-0000-4000-8000-000000000000"
        return "1" if kind.get("type") == "integer" else NAMES.get(name, "web-1")

    return re.sub(r"\{(\w+)\}", value, path)


def test_no_operation_passes_over_a_name_in_its_query_or_its_body(cast: Cast) -> None:
    client = Client(headers={"Authorization": f"Bearer {make_token(cast.olga, 'names', True, 7)[1]}"})
    lax = []
    for method, path, operation in operations():
        body = None if method == "get" or kinds_of_body(operation) == list(RAW) else '{"nonsence": 1}'
        answer = client.generic(
            method.upper(), f"{filled(path, operation)}?colur=red", body or "", content_type="application/json"
        )
        told = answer.json()["errors"] if answer.status_code == 422 else {}
        if "colur" not in told or (body and "nonsence" not in told):
            lax.append((method, path, answer.status_code, told))
    assert not lax


def test_the_document_says_that_bodies_take_no_other_names() -> None:
    schemas, seen = api.get_openapi_schema()["components"]["schemas"], set()

    def walk(value: Any) -> Iterator[str]:
        if isinstance(value, list):
            for one in value:
                yield from walk(one)
        if not isinstance(value, dict):
            return
        if "properties" in value and value.get("additionalProperties") is not False:
            yield str(value.get("title"))
        name = str(value.get("$ref", "")).rsplit("/", 1)[-1]
        if name and name not in seen:
            seen.add(name)
            yield from walk(schemas[name])
        for one in value.values():
            yield from walk(one)

    assert not [lax for _, _, operation in operations() for lax in walk(operation.get("requestBody", {}))]
    assert {"VMIn", "NewVolumeIn", "WidgetIn"} <= seen


def test_every_unknown_name_is_told_with_its_place_and_the_nearest_that_is_allowed(cast: Cast) -> None:
    client = client_of(cast.bob)
    answer = client.get("/api/v1/vms?stat=running&limt=5&limit=7&fields=name")
    assert answer.status_code == 422 and answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["errors"] == {
        "stat": [
            "“stat” was given in query, which has no such name: did you mean “state”?; "
            "cursor, fields, host, limit, name, q, state, tag are allowed there"
        ],
        "limt": [
            "“limt” was given in query, which has no such name: did you mean “limit”?; "
            "cursor, fields, host, limit, name, q, state, tag are allowed there"
        ],
    }
    body = {"name": "web-2", "image": "tiny", "flavour": "nano", "volumes": [{"size_gib": 1, "sise_gib": 2}, {"bus": "ide", "zzz": 1}]}  # fmt: skip
    told = client.post("/api/v1/vms?keep=1", body, **JSON).json()["errors"]
    assert told["flavour"][0].startswith("“flavour” was given in body, which has no such name: did you mean “flavor”?;")
    assert told["sise_gib"] == [
        "“sise_gib” was given in body.volumes.0, which has no such name: did you mean “size_gib”?; bus, name, size_gib are allowed there"
    ]
    assert told["zzz"] == [
        "“zzz” was given in body.volumes.1, which has no such name; bus, name, size_gib are allowed there"
    ]
    assert told["keep"] == ["“keep” was given in query, which has no such name; nothing is allowed there"]
    assert {"flavor", "network", "size_gib"} <= set(told), "what is missing is told with it"
    assert not VM.objects.exists()


def test_a_body_where_none_is_read_is_refused_but_for_an_empty_one(cast: Cast) -> None:
    vm, client = made_vm(cast), client_of(cast.bob)
    VM.objects.update(state="stopped", host=made_host()), Operation.objects.update(state="done")
    path = f"/api/v1/vms/{vm.uuid}/actions/start"
    refused = client.post(path, {"force": True}, **JSON)
    assert refused.json()["errors"] == {
        "force": ["“force” was given in body, which has no such name; nothing is allowed there"]
    }
    assert client.post(path, {}, **JSON).status_code == 202


def test_very_many_unknown_names_are_told_in_part(cast: Cast) -> None:
    body = {f"n{number}": 1 for number in range(5000)} | {"<b>" * 100: 1}
    told = client_of(cast.bob).post("/api/v1/security-groups", body, **JSON).json()["errors"]
    assert told["request"] == [f"{5001 - MOST_TOLD} more unknown names were given"]
    assert len(told) <= MOST_TOLD + 2


def test_a_change_of_what_was_read_and_a_create_done_once_look_at_names_too(cast: Cast) -> None:
    vm, client = made_vm(cast), client_of(cast.bob)
    VM.objects.update(state="stopped", host=made_host()), Operation.objects.update(state="done")
    path = f"/api/v1/vms/{vm.uuid}"
    match = {"If-Match": client.get(path).headers["ETag"]}
    assert "keeep" in client.delete(f"{path}?keeep=true", headers=match).json()["errors"]
    assert client.delete(f"{path}?keep=true", headers=match).status_code == 202, "a name that GET does not have"
    once = {"Idempotency-Key": "once"}
    assert client.post("/api/v1/routers", {"nam": "r2"}, **JSON, headers=once).status_code == 422
    assert client.post("/api/v1/routers", {"name": "r2"}, **JSON, headers=once).status_code < 300, "nothing was kept"


def test_a_stranger_is_told_to_log_in_and_no_names() -> None:
    assert Client().get("/api/v1/vms?stat=running").status_code == 401
    assert Client().post("/api/v1/vms", form(nam=1), **JSON).status_code == 401


def test_the_question_of_an_answer_is_a_question() -> None:
    assert set(TraceQuestion.model_fields) <= set(TraceIn.model_fields)
