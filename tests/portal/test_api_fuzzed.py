"""The whole API under generated requests, valid and not, as each of the cast: no 5xx, and every answer as documented."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from django.test import Client
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from portal.accounts.tokens import make_token
from portal.api.api import api
from portal.checks.requests import WhatIfSpec, ask_matrix, ask_what_if
from portal.dashboards.requests import kept_team_board
from portal.networks.floating_requests import allocate_floating
from portal.networks.groups import default_group
from portal.networks.rule_check import RuleSpec
from portal.operations.models import Operation
from portal.traces.diagnosis import ask_why
from tests.cast import Cast
from tests.portal.clients import (
    made_alert,
    made_backup,
    made_bundle,
    made_capture,
    made_channel,
    made_flow_record,
    made_flow_what_if,
    made_host,
    made_image,
    made_import,
    made_mirror,
    made_port_trace,
    made_probing,
    made_provider,
    made_store,
    made_topology_record,
    made_trace,
    made_vm,
    made_volume,
)
from tests.portal.walked import number_of
from tests.scenes import Scene

EXAMPLES = 8
DOCUMENT = json.loads(json.dumps(api.get_openapi_schema(), default=str))
OPERATIONS = sorted(
    f"{method.upper()} {path}" for path, item in DOCUMENT["paths"].items() for method in item if "/events/" not in path
)
# What a GET answers when it is asked well where that is not 200: the VM is off (tests/console/test_screens.py has others).
OF_NOTHING = {path: 422 for path in DOCUMENT["paths"] if path.endswith("/screenshot")}
CHECKS: list[Any] = [not_a_server_error, content_type_conformance, response_schema_conformance]


@pytest.fixture
def kept_connection() -> Iterator[None]:
    """Requests that come through WSGI leave the test's connection, and the transaction in it, as Django's client does."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@lru_cache(maxsize=1)
def _schema() -> Any:
    """The API's document as it is served, read once: it takes longer than most operations' requests."""
    return schemathesis.openapi.from_wsgi("/api/v1/openapi.json", get_wsgi_application())


@dataclass(frozen=True)
class Known:
    """What is there to be asked about, by what a path calls it, and who asks."""

    tokens: list[str]
    uuids: dict[str, str]
    other: str


def _known(cast: Cast) -> Known:
    host = made_topology_record(made_flow_record(made_host()).host).host
    vm, trace = made_vm(cast), made_trace(cast)
    tokens = [make_token(person, "fuzz", True, 30)[1] for person in (cast.alice, cast.charlie, cast.dana, cast.olga)]
    operations = str(Operation.objects.get(object_uuid=vm.uuid).uuid)
    floating = str(allocate_floating(cast.payments, cast.external).uuid)
    known = {"/routers/": str(cast.router.uuid), "/floating-addresses/": floating}
    known |= {"/security-groups/": str(default_group(cast.payments.pk).uuid)}
    known |= {"/provider-networks/": str(made_provider(cast).uuid)}
    known |= {"/networks/": str(cast.network.uuid), "/external-networks/": str(cast.external.uuid)}
    known |= {"/ports/": str(vm.ports.get().uuid), "/captures/": str(made_capture(cast, trace).uuid)}
    known |= {"/probings/": str(made_probing(cast, trace).uuid)}
    made_mirror(cast, vm), (volume := made_volume(cast))
    known |= {"/volumes/": str(volume.uuid), "/pools/": str(volume.pool and volume.pool.uuid)}
    known |= {"/image-imports/": str(made_import(cast).uuid), "/backups/": str(made_backup(vm).uuid)}
    known |= {
        "/migrations/": str(vm.uuid),
        "/backup-stores/": str(made_store("loft").uuid),
        "/adoptions/": str(vm.uuid),
    }
    known |= {"/vms/": str(vm.uuid), "/traces/": str(trace.uuid), "/operations/": operations}
    known |= {"/alerts/": str(made_alert(cast).uuid), "/channels/": str(made_channel(cast).uuid)}
    known |= {"/boards/": str(kept_team_board(cast.payments).uuid)}
    group = default_group(cast.payments.pk)
    what_if = ask_what_if(cast.payments, cast.alice, WhatIfSpec(group, RuleSpec(ports="8443")))
    known |= {"/matrices/": str(ask_matrix(cast.payments, cast.alice, "tcp", 22).uuid), "/what-ifs/": str(what_if.uuid)}
    known |= {"/flow-what-ifs/": str(made_flow_what_if(cast, host).uuid)}
    bundle = made_bundle(cast)
    known |= {
        "/bundles/": str(bundle.uuid),
        "/bundle-traces/": str(bundle.traces.get().uuid),
        "/port-traces/": str(made_port_trace(cast, host).uuid),
    }
    known |= {"/diagnoses/": str(ask_why(vm.ports.get(), cast.alice).uuid)}
    return Known(tokens, known, str(vm.uuid))


_rows = Scene(_known, fresh_s=10)


@pytest.mark.usefixtures("kept_connection")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_request_of_anybody_breaks_the_api(cast: Cast, operation: str) -> None:
    known = _rows.stand(cast, upon=str(cast.network.uuid))
    tokens, schema = known.tokens, _schema()
    method, _, path = operation.partition(" ")
    one = schema[path][method]
    uuid = next((value for noun, value in known.uuids.items() if noun in path), known.other)
    port, number = known.uuids["/ports/"], number_of(path, cast)
    there = {"uuid": uuid, "host": "hv1", "bridge": "br-int", "port": port, "number": number}
    turn = iter(range(10**6))
    answered: set[int] = set()

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(case=one.as_strategy())
    def run(case: Any) -> None:
        number = next(turn)
        if number % 3 == 0:
            case.path_parameters = {
                name: there.get(name, drawn) for name, drawn in (case.path_parameters or {}).items()
            }
            if "bridge" in case.path_parameters:
                case.query = {}
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {tokens[number % len(tokens)]}"}
        case.headers.pop("Hopsight-Team", None)
        # a part of an answer, when some fields alone are asked for, is no whole one
        checks = CHECKS[:-1] if "fields" in (case.query or {}) else CHECKS
        answered.add(case.call_and_validate(checks=checks).status_code)

    run()
    by_name = there | {"slug": made_image(cast).slug if "/images/" in path else "payments", "username": "bob"}
    known_path = re.sub(r"\{(\w+)\}", lambda place: str(by_name.get(place[1], place[0])), path)
    if method == "GET" and "{" not in known_path:  # of all that is drawn, one who may ask may never have asked well
        answered |= {Client(headers={"Authorization": f"Bearer {one}"}).get(known_path).status_code for one in tokens}
    assert 401 not in answered, "the tokens are known"
    if method == "GET" and "{topic}" not in path:
        assert OF_NOTHING.get(path, 200) in answered, answered
