"""The docs page's commands, run as they stand by a shell and curl against a server."""

from __future__ import annotations

import json
import os
import re
import subprocess
from html import unescape
from typing import Any

import pytest
from django.urls import reverse

from portal.accounts.keys import parse_public_key
from portal.accounts.models import AuditRow, LogIn, Team, User
from portal.accounts.services import create_service
from portal.accounts.session_store import SessionStore
from portal.accounts.teams import invite
from portal.accounts.tokens import make_token
from portal.alerts.requests import add_rule as add_alert_rule
from portal.api.api import api
from portal.api.examples import BODIES, command
from portal.compute.models import VM, KeyPair, Snippet
from portal.dashboards.requests import kept_team_board
from portal.networks.floating_requests import allocate_floating
from portal.networks.groups import add_rule, create_group
from portal.networks.router_requests import add_route
from portal.networks.rule_check import RuleSpec
from portal.networks.subnet_requests import reserve
from portal.operations.models import Operation
from portal.volumes.models import Pool, Volume
from tests.cast import Cast, make_cast
from tests.portal.clients import (
    client_of,
    made_alert,
    made_backup,
    made_bundle,
    made_capture,
    made_channel,
    made_copy,
    made_flow_record,
    made_flow_what_if,
    made_foreign,
    made_host,
    made_image,
    made_import,
    made_mirror,
    made_orphan,
    made_port_trace,
    made_probing,
    made_provider,
    made_snapshot,
    made_store,
    made_topology_record,
    made_trace,
    made_vm,
    made_volume,
    made_volume_snapshot,
)

pytestmark = pytest.mark.xdist_group("examples")
DOCUMENT = api.get_openapi_schema()["paths"]
# What exists only after something else was asked for, or ends the very token that the examples are run with.
UNAUDITED = re.compile(
    # questions, what is told when it is used or has come in whole, and many at once, each of which tells by itself
    r"/(traces|matrices|adoption-plans|what-ifs|log-ins|console-ticket|image-imports|bulk)|/(diagnoses|flow-what-ifs)$"
)
LATER = re.compile(
    r"/(matrices|what-ifs|checks|diagnoses)/\{|DELETE /api/v1/me/token|/events/|/image-imports/\{uuid\}/bytes|/captures/\{uuid\}/pcapng"
)


def test_every_operation_that_takes_a_body_has_an_example() -> None:
    taking = {
        f"{method.upper()} {path}"
        for path, item in DOCUMENT.items()
        for method, operation in item.items()
        if "application/json" in operation.get("requestBody", {}).get("content", {})  # an upload's is a file of bytes
    }
    assert taking == set(BODIES)


def test_the_page_shows_the_commands(cast: Cast) -> None:
    page = unescape(client_of(cast.alice).get(reverse("api_docs")).content.decode())
    for path, item in DOCUMENT.items():
        for method in item:
            assert command(method.upper(), path, "http://testserver") in page, path


@pytest.fixture
def variables(transactional_db: None, redis_server: str, settings: Any, live_server: Any) -> dict[str, dict[str, str]]:
    """By the noun of a path what its `$` words are."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    cast = make_cast()
    User.objects.filter(pk=cast.alice.pk).update(is_operator=True)
    vm, group = made_vm(cast), create_group(cast.payments, "web")
    port, route = vm.ports.get(), add_route(cast.router, "172.16.0.0/16", "10.20.0.9")
    parsed = parse_public_key(BODIES["POST /api/v1/keys"]["public_key"])
    provider = made_provider(cast)
    trace, host = made_trace(cast), made_host()
    made_flow_record(host)
    VM.objects.update(host=host)
    volume = made_volume(cast, host=host)
    bundle = made_bundle(cast)
    hv8 = made_host("hv8")
    made_topology_record(hv8)
    key = KeyPair.objects.create(user=cast.alice, name="old", public_key=parsed.text, fingerprint="SHA256:old")
    everywhere = {
        "TOKEN": make_token(cast.alice, "docs", True, 7)[1], "URL": live_server.url, "port": str(port.uuid),
        "receiver": str(made_mirror(cast, vm).target.uuid),
        "group": str(group.uuid), "vm": str(vm.uuid), "host": host.name, "bridge": "br-int", "topic": "team:payments", "action": "stop",
    }  # fmt: skip
    of = {
        "vms": {"uuid": str(vm.uuid)}, "operations": {"uuid": str(Operation.objects.get(object_uuid=vm.uuid).uuid)},
        "traces": {"uuid": str(trace.uuid)}, "ports": {"uuid": str(port.uuid)},
        "networks": {
            "uuid": str(cast.network.uuid), "port": str(reserve(cast.network, "later", "10.20.0.91").uuid), "number": str(cast.network.subnets.all()[0].pk),
        },
        "provider-networks": {"uuid": str(provider.uuid), "number": str(provider.subnets.all()[0].pk)},
        "routers": {"uuid": str(cast.router.uuid), "number": str(route.pk)},
        "routers/ports": {"uuid": str(cast.router.uuid), "number": str(cast.router.ports.all()[0].pk)},
        "security-groups": {"uuid": str(group.uuid), "rule_id": str(add_rule(group, RuleSpec()).pk)},
        "floating-addresses": {"uuid": str(allocate_floating(cast.payments, cast.external).uuid)},
        "alerts": {"uuid": str(made_alert(cast).uuid)}, "channels": {"uuid": str(made_channel(cast).uuid)},
        "alert-rules": {"uuid": str(add_alert_rule(cast.payments, cast.alice, "vm_cpu_percent", 90, 5).uuid)},
        "boards": {"uuid": str(kept_team_board(cast.payments).uuid)},
        "external-networks": {"uuid": str(cast.external.uuid)}, "keys": {"number": str(key.pk)},
        "migrations": {"uuid": str(vm.uuid)},
        "adoption-plans": {"domain": str(made_foreign(hv8).uuid)},
        "adoptions": {"uuid": str(vm.uuid), "domain": str(made_foreign(hv8, "legacy-2").uuid)},
        "snippets": {"number": str(Snippet.objects.create(team=cast.payments, name="Old", text="#!/bin/sh\n").pk)},
        "service-accounts": {"number": str(create_service(cast.payments, cast.alice, "old", "member").pk)},
        "teams": {"slug": "search"},
        "members": {"username": "charlie"},
        "invitations": {"number": str(invite(cast.payments, cast.alice, "viewer", 7)[0].pk)},
        "me": {"slug": _left_team(cast), "number": str(_session(cast).pk)},
        "hosts": {"host": hv8.name, "orphan": str(made_orphan(hv8).uuid)},
        "tokens": {"number": str(make_token(cast.alice, "old", False, 7)[0].pk)},
        "captures": {"uuid": str(made_capture(cast, trace).uuid)}, "bundles": {"uuid": str(bundle.uuid)},
        "flow-what-ifs": {"uuid": str(made_flow_what_if(cast, host).uuid)},
        "bundle-traces": {"uuid": str(bundle.traces.get().uuid)},
        "port-traces": {"uuid": str(made_port_trace(cast, hv8).uuid)},
        "probings": {"uuid": str(made_probing(cast, trace, "running").uuid)},
        "vms/snapshots": {"uuid": str(vm.uuid), "snapshot": str(made_snapshot(vm).uuid)},
        "vms/snapshots/revert": {"uuid": str(vm.uuid), "snapshot": str(made_snapshot(vm, "later").uuid)},
        "volumes/snapshots": _own_snapshot(made_volume(cast, "data-3")),
        "volumes/snapshots/revert": _own_snapshot(made_volume(cast, "data-4")),
        "volumes/snapshots/clone": _own_snapshot(made_volume(cast, "data-5")),
        "volumes": {"uuid": str(volume.uuid)}, "backups": {"uuid": str(made_backup(vm).uuid)},
        "backups/restore": {"uuid": str(made_backup(vm).uuid)}, "backup-stores": {"uuid": str(made_store("loft").uuid)},
        "pools": {"uuid": str(Pool.objects.get().uuid)},
        "image-imports": {"uuid": str(made_import(cast).uuid)}, "images": {"slug": made_image(cast).slug},
        "image-copies": {"number": str(made_copy(cast).pk)},
    }  # fmt: skip
    return {noun: everywhere | words for noun, words in of.items()} | {"": everywhere}


def _own_snapshot(volume: Volume) -> dict[str, str]:
    return {"uuid": str(volume.uuid), "snapshot": str(made_volume_snapshot(volume).uuid)}


def _left_team(cast: Cast) -> str:
    """The slug of a team that Alice is in beside her own."""
    spare = Team.objects.create(name="Spare", slug="spare")
    spare.memberships.create(user=cast.alice, role="viewer")
    return spare.slug


def _session(cast: Cast) -> LogIn:
    """A session of Alice's that is open."""
    store = SessionStore()
    store.create()
    return LogIn.objects.create(user=cast.alice, session_key=store.session_key)


def test_every_command_works_as_it_stands(variables: dict[str, dict[str, str]]) -> None:
    VM.objects.update(state="running")
    wrong = []
    asked = [(path, method) for path, item in DOCUMENT.items() for method in item]
    made = [one for one in sorted(asked) if one[1] != "delete"]
    inside_out = sorted(sorted(asked, reverse=True), key=lambda one: -one[0].count("/"))
    for path, method in made + [one for one in inside_out if one[1] == "delete"]:
        if LATER.search(f"{method.upper()} {path}"):
            continue
        nouns = path.split("/")[3::2]
        words = variables.get("/".join(nouns)) or variables.get(nouns[0]) or variables[""]
        shown = command(method.upper(), path, words["URL"])
        told = AuditRow.objects.count()
        argv = ["sh", "-c", f"{shown} -w '\\n%{{http_code}}'"]
        done = subprocess.run(argv, env={**os.environ, **words}, capture_output=True, text=True, timeout=60)
        answer, _, status = done.stdout.rpartition("\n")
        # A refusal in the API's own words about the state of things is an answer too; a form or an address that is wrong is none.
        fits = status.startswith("2") or (
            status == "422" and json.loads(answer)["title"].startswith(("Nothing was changed", "Nothing can be shown"))
        )
        row = AuditRow.objects.first()
        changed = status.startswith("2") and method != "get" and not UNAUDITED.search(path)
        if changed and (AuditRow.objects.count() == told or row is None or row.actor != "alice"):
            wrong.append(f"{shown}\n{status}, and the audit knows nothing of it")
        if not fits:
            wrong.append(f"{shown}\n{status} {answer[:300]} {done.stderr}")
    assert not wrong, "\n\n".join(wrong)
