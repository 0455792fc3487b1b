"""The table of rights against the product: every URL, API operation and topic, with each of the cast and a stranger.

What exists is read from the resolver and the OpenAPI document, what is expected from the table: a URL, an operation or a
topic that has no entry fails.
"""

from __future__ import annotations

import json
import re
from string import Template
from typing import Any

import pytest
from django.db import transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from portal.accounts.entries import API, PAGES, TOPICS
from portal.accounts.permissions import OPERATORS_TOO, RIGHTS, Needs, is_allowed
from portal.accounts.scopes import ALL, READ, WORDS, scope_of
from portal.accounts.tokens import TokenSpec, make_scoped
from portal.api.api import api
from portal.api.examples import BODIES
from portal.compute.models import VM
from portal.hosts.models import Host
from portal.live.topics import STATES, TRANSIENT, refusal_of
from portal.networks.models import Port
from portal.volumes.models import Pool, Volume
from tests.cast import Cast
from tests.portal.clients import (
    client_of,
    made_flow_record,
    made_image,
    made_orphan,
    made_provider,
    made_snapshot,
    made_store,
    made_volume_snapshot,
)
from tests.portal.walked import World, make_world, number_of, receiver_of

ROLES = {"alice": "owner", "bob": "member", "charlie": "viewer", "dana": None, "olga": None, "stranger": None}


@pytest.fixture
def world(cast: Cast) -> World:
    return make_world(cast)


def url_names() -> dict[str, str]:
    """Name → route of every page that the resolver knows, the API aside."""
    found: dict[str, str] = {}

    def walk(patterns: list[URLPattern | URLResolver], prefix: str) -> None:
        for one in patterns:
            route = prefix + str(one.pattern)
            if isinstance(one, URLResolver):
                walk(one.url_patterns, route)
            elif not route.startswith("api/v1/"):
                found[one.name or route] = route

    walk(get_resolver().url_patterns, "")
    return found


def operations() -> list[str]:
    paths = api.get_openapi_schema()["paths"]
    return [f"{method.upper()} {path}" for path, item in paths.items() for method in item]


def test_every_page_has_an_entry_in_the_table_and_every_entry_a_page() -> None:
    assert set(url_names()) == set(PAGES)


def test_every_api_operation_has_an_entry_in_the_table_and_every_entry_an_operation() -> None:
    assert set(operations()) == set(API)


def test_every_topic_has_an_entry_in_the_table_and_every_entry_a_topic() -> None:
    assert {*STATES, *TRANSIENT} == set(TOPICS)


def test_every_right_that_is_asked_for_is_in_the_table() -> None:
    asked = {right for page in PAGES.values() for right in (page.get, page.post) if right}
    assert asked | set(API.values()) | set(TOPICS.values()) <= set(RIGHTS)


def _rolled_back(person: str, world: World, method: str, url: str, **options: Any) -> HttpResponse:
    """The answer to a request whose changes are undone."""
    client = client_of(getattr(world.cast, person, None))
    client.raise_request_exception = False
    try:
        with transaction.atomic():
            answer = client.generic(method, url, **options)
            raise InterruptedError
    except InterruptedError:
        return answer  # type: ignore[return-value]


def _expected(right: str, person: str, of_object: bool, operator: bool) -> set[int]:
    """The statuses that are right for a logged-in person; other teams' objects are 404, the own team's 403."""
    role, needs = ROLES[person], RIGHTS[right]
    if person == "dana" and not of_object and needs not in (Needs.OPERATOR, Needs.PERSON, Needs.NOTHING):
        role = "owner"  # a list is of her own team
    if is_allowed(right, role, operator):
        return {200, 201, 202, 204, 302, 422}
    if role is None and needs != Needs.OPERATOR:
        return {404} if of_object else {403}
    return {403}


# Objects that are a person's own: for everybody else they do not exist.
OWN = {"identity_remove", "key_delete", "token_delete", "session_end"}
# Steps of a log-in that nobody of the walk has begun: they lead back to the log-in page, or home.
BEGUN_ELSEWHERE = {"mfa_authenticate", "mfa_login_webauthn", "socialaccount_login_cancelled"}
# What nobody of the walk has set up (tests/accounts has those who did).
NOT_SET_UP = {"mfa_deactivate_totp", "mfa_view_recovery_codes", "openid_connect_login", "openid_connect_callback"}
# Rows of the team that the current team's pages look up: Dana's team has no such row, and a person without teams none.
IN_CURRENT_TEAM = {"service_change", "service_token", "member_role", "member_remove", "invite_end"}


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_answers_each_of_the_cast_as_the_table_says(world: World, name: str) -> None:
    url = reverse(name, kwargs=world.arguments.get(name))
    for method, right in (("GET", PAGES[name].get), ("POST", PAGES[name].post)):
        for person in ROLES:
            status = _rolled_back(person, world, method, url).status_code
            allowed = _expected_of_page(name, right, person, name in world.arguments)
            assert status in allowed, f"{person} {method} {url}: {status}, not {allowed}"


def _expected_of_page(name: str, right: str | None, person: str, of_object: bool) -> set[int]:
    if person == "stranger" and name == "metrics":
        return {401 if right else 405}  # a scraper follows no redirect to a log-in
    if person == "stranger" and name == "language":
        return {422 if right else 405}  # chosen before a log-in too; the walk names none
    if name in BEGUN_ELSEWHERE:
        return {302}
    if name in NOT_SET_UP and (person != "stranger" or name.startswith("openid")):
        return {404} if right is not None else {405}
    if person == "stranger":
        return {200, 422} if right is not None and RIGHTS[right] == Needs.NOTHING else {302}
    if right is None:
        return {405}
    if name in OWN and person != "alice":
        return {404}
    if name == "member_remove" and person == "charlie":
        return {403}  # everybody may leave; another's membership is the owners' to end
    if name in IN_CURRENT_TEAM and person in ("dana", "olga"):
        return {404 if person == "dana" else 403}
    return _expected(right, person, of_object, person == "olga")


def _sent(operation: str, own: dict[str, str]) -> str:
    """The operation's example, with the walk's own objects at its `$` places; nothing for one without a body."""
    return Template(json.dumps(BODIES[operation])).substitute(own) if operation in BODIES else ""


def _request(world: World, operation: str) -> tuple[str, str, dict[str, str]]:
    """(method, address, body and its type) of the operation on the walk's own objects."""
    method, _, path = operation.partition(" ")
    vm = world.arguments["vm"]["uuid"]
    uuids = {
        "vms": vm,
        "operations": world.arguments["operation"]["uuid"],
        "traces": world.arguments["trace"]["uuid"],
        "captures": world.arguments["capture"]["uuid"],
        "probings": world.arguments["probing_stop"]["uuid"],
    }
    uuids |= {"provider-networks": made_provider(world.cast).uuid}
    uuids |= {"networks": world.cast.network.uuid, "routers": world.cast.router.uuid}
    uuids |= {
        "external-networks": world.cast.external.uuid,
        "floating-addresses": world.arguments["floating_change"]["uuid"],
    }
    port = str(Port.objects.get(vm__uuid=vm).uuid)
    rule = world.arguments["security_rule_delete"]
    uuids |= {"volumes": world.arguments["volume"]["uuid"], "pools": Pool.objects.get().uuid}
    uuids |= {"backups": world.arguments["backup_restore"]["uuid"], "backup-stores": made_store("attic").uuid}
    uuids |= {"image-imports": world.arguments["image_delete"]["uuid"]}
    uuids |= {"security-groups": rule["uuid"], "ports": port, "boards": world.arguments["board"]["uuid"]}
    uuids |= {"alerts": world.arguments["alert_handle"]["uuid"], "channels": world.arguments["channel_act"]["uuid"]}
    uuids |= {"alert-rules": world.arguments["alert_rule_remove"]["uuid"]}
    uuids |= {"migrations": vm, "adoptions": vm}
    uuids |= {
        name: world.arguments[key]["uuid"]
        for name, key in (
            ("matrices", "api_matrix"),
            ("diagnoses", "diagnosis"),
            ("bundles", "bundle"),
            ("bundle-traces", "bundle_trace"),
            ("port-traces", "port_trace"),
            ("checks", "check_remove"),
            ("what-ifs", "what_if"),
            ("flow-what-ifs", "flow_what_if"),
        )
    }
    uuid = next((value for noun, value in uuids.items() if f"/{noun}/" in path), "")
    url = path.replace("{uuid}", str(uuid)).replace("{topic}", "team:payments").replace("{action}", "start")
    held = world.arguments["reservation_release"]["port"]
    url = url.replace("{port}", str(held) if "/reservations/" in path else port)
    if "{snapshot}" in path and "/volumes/" in path:
        url = url.replace("{snapshot}", str(made_volume_snapshot(Volume.objects.get(uuid=uuids["volumes"])).uuid))
    elif "{snapshot}" in path:
        url = url.replace("{snapshot}", str(made_snapshot(VM.objects.get(uuid=vm)).uuid))
    if "{bridge}" in path or path.endswith("/flow-what-ifs"):
        made_flow_record(Host.objects.get())
    url = (
        url.replace("{host}", "hv1").replace("{bridge}", "br-int").replace("{number}", str(number_of(path, world.cast)))
    )
    slug = "payments" if "/teams/" in path else made_image(world.cast).slug if "{slug}" in path else ""
    url = url.replace("{slug}", slug)
    url = url.replace("{rule_id}", str(rule["rule_id"])).replace("{username}", "charlie")
    own = {"port": port, "receiver": receiver_of(world.cast), "group": str(rule["uuid"]), "vm": str(vm)}
    own["orphan"] = str(made_orphan(Host.objects.get()).uuid) if operation.endswith("/clean") else ""
    own["domain"] = str(world.arguments["foreign_domain"]["uuid"])
    body = _sent(operation, own)
    return method, url, {"data": body, "content_type": "application/json"}


@pytest.mark.parametrize("operation", sorted(API))
def test_an_api_operation_answers_each_of_the_cast_as_the_table_says(world: World, operation: str) -> None:
    method, url, options = _request(world, operation)
    path = operation.partition(" ")[2]
    of_object = "{" in path or operation in ("POST /api/v1/traces", "POST /api/v1/checks", "POST /api/v1/what-ifs")
    for person in ROLES:
        answer = _rolled_back(person, world, method, url, **options)
        told = f"{person} {operation}: {answer.status_code} {getattr(answer, 'content', b'')[:200]!r}"
        if answer.status_code >= 400:
            assert answer.headers["Content-Type"] == "application/problem+json", told
        if RIGHTS[API[operation]] == Needs.NOTHING:
            assert answer.status_code in (200, 201, 422), told
        elif person == "stranger":
            assert answer.status_code == 401, told
        elif "{topic}" in path:
            assert answer.status_code == (200 if ROLES[person] else 404), told
        elif (
            person == "olga"
            and "/ports/{uuid}" not in path
            and RIGHTS[API[operation]] not in (Needs.OPERATOR, Needs.PERSON, *OPERATORS_TOO)
        ):
            assert answer.status_code == 403, told  # no team, so no team's list
        else:
            assert answer.status_code in _expected(API[operation], person, of_object, person == "olga"), told


CHANGES = sorted(one for one in BODIES if one.startswith(("PUT ", "PATCH ")))


@pytest.mark.parametrize("operation", CHANGES)
def test_what_can_be_changed_is_read_at_the_same_address_and_changed_only_as_it_was_read(
    world: World, operation: str
) -> None:
    world.cast.alice.is_operator = True
    world.cast.alice.save()
    method, url, options = _request(world, operation)
    stale = _rolled_back("alice", world, method, url, **options, headers={"If-Match": '"other"'})
    assert stale.status_code == 412 and stale.headers.get("ETag"), f"{operation}: {stale.content[:300]!r}"
    fresh = _rolled_back("alice", world, method, url, **options, headers={"If-Match": stale.headers["ETag"]})
    assert fresh.status_code in (200, 202, 422), f"{operation}: {fresh.status_code} {fresh.content[:300]!r}"


def test_an_operation_takes_a_token_that_has_its_scope_and_no_other(world: World) -> None:
    alice = world.cast.alice
    alice.is_operator = True
    alice.save()
    tokens = {scope: make_scoped(alice, TokenSpec(scope, (scope,), 7), alice)[1] for scope in WORDS}
    for operation in sorted(API):
        if RIGHTS[API[operation]] == Needs.NOTHING:
            continue
        needed = scope_of(API[operation])
        other = "network:write" if needed == "vm:write" else "vm:write"
        for scope in {needed, ALL, READ, other}:
            told, status = _by_token(world, operation, tokens[scope])
            if needed == READ or scope in (needed, ALL):
                assert status in (200, 201, 202, 204, 422), f"{scope} {operation}: {status} {told}"
            else:
                assert status == 403 and f"this needs {needed}" in told, f"{scope} {operation}: {status} {told}"


def _by_token(world: World, operation: str, secret: str) -> tuple[str, int]:
    """(what was answered, status), undone."""
    try:
        with transaction.atomic():
            method, url, options = _request(world, operation)
            client = Client(headers={"Authorization": f"Bearer {secret}"}, raise_request_exception=False)
            answer = client.generic(method, url, **options)
            raise InterruptedError
    except InterruptedError:
        return str(getattr(answer, "content", b"")[:200]), answer.status_code


@pytest.mark.parametrize("kind", sorted(TOPICS))
def test_a_topic_may_be_joined_as_the_table_says_and_a_stranger_cannot_tell_it_from_none(
    world: World, kind: str
) -> None:
    trace = world.arguments["trace"]["uuid"]
    topics = {"team": "team:payments", "trace": f"trace:{trace}", "counters": f"counters:{trace}", "hosts": "hosts"}
    topics |= {"topology": "topology:payments", "drops": "drops:payments", "observed": f"observed:{trace}"}
    topics |= {"sample": f"sample:{Port.objects.get(vm__uuid=world.arguments['vm']['uuid']).uuid}"}
    topics |= {"capture": f"capture:{world.arguments['capture']['uuid']}"}
    topics |= {"probing": f"probing:{world.arguments['probing_stop']['uuid']}"}
    topic = topics.get(kind, "flows:hv1/br-int")
    for person, role in ROLES.items():
        if person == "stranger":
            continue
        user = getattr(world.cast, person)
        refused = refusal_of(user, topic)
        assert bool(refused) != is_allowed(TOPICS[kind], role, user.is_operator), f"{person} {topic}"
        if refused:
            absent = re.sub(r"payments|[0-9a-f-]{36}", "nothing", topic)
            assert refusal_of(user, absent) == refused.replace(topic, absent)


def test_a_control_that_a_viewer_may_not_use_is_there_with_the_reason(world: World) -> None:
    page = client_of(world.cast.charlie).get(reverse("vm", kwargs=world.arguments["vm"])).content.decode()
    assert 'aria-disabled="true"' in page
    assert "You are a viewer of Payments; this needs the role member." in page


def test_no_page_of_another_team_tells_a_name_of_payments(world: World) -> None:
    for name, page in PAGES.items():
        if page.get is None or name in world.arguments or name in ("login", "api_docs"):
            continue
        body = client_of(world.cast.dana).get(reverse(name)).content.decode()
        assert "web-1" not in body and "payments-net" not in body, name
