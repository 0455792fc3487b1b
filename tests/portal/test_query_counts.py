"""How many queries each page asks, as a table; the same with one VM as with many."""

from __future__ import annotations

from uuid import UUID

from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from portal.accounts.factors import POLICY_KEY, POLICY_S
from portal.checks.requests import WhatIfSpec, add_check, ask_matrix, ask_what_if
from portal.hosts.models import Host
from portal.networks.floating_requests import give_floating
from portal.networks.groups import default_group
from portal.networks.models import Port
from portal.networks.rule_check import RuleSpec
from portal.operations.models import Operation
from portal.traces.diagnosis import ask_why
from portal.traces.requests import TraceSpec
from tests.cast import Cast
from tests.portal.clients import (
    client_of,
    made_backup,
    made_bundle,
    made_flow_record,
    made_flow_what_if,
    made_host,
    made_image,
    made_import,
    made_snapshot,
    made_topology_record,
    made_trace,
    made_vm,
    made_volume,
    made_volume_snapshot,
)

# Page → queries, those of the session, the person, the teams and the frame included. Fewer is welcome: lower it then.
BASELINE: dict[str, int] = {
    "dashboard": 29,
    "matrix": 9,
    "checks": 13,
    "what_if_new": 8,
    "what_if": 8,
    "flow_what_if_new": 8,
    "flow_what_if": 8,
    "vm_list": 12,
    "vm_create": 37,
    "vm_effect": 13,
    "snippets": 7,
    "images": 11,
    "volumes": 15,
    "volume": 21,
    "pools": 8,
    "networks": 16,
    "network": 17,
    "routers": 13,
    "router": 14,
    "floating": 13,
    "external_networks": 7,
    "mirrors": 10,
    "security_groups": 7,
    "security_group": 11,
    "operations": 7,
    "trace_new": 13,
    "keys": 7,
    "tokens": 7,
    "sessions": 7,
    "members": 8,
    "activity": 8,
    "operator_activity": 8,
    "hosts": 10,
    "host_load": 8,
    "search": 6,
    "/api/v1/search?q=web": 10,
    "alerts": 10,
    "channels": 8,
    "flow_hosts": 8,
    "topology_history": 9,
    "/api/v1/topology/history": 5,
    "/api/v1/topology/diff": 6,
    "status_line": 8,
    "api_docs": 6,
    "vm": 32,
    "vm_delete": 14,
    "vm_change": 21,
    "vm_nics": 18,
    "vm_snapshots": 25,
    "vm_backups": 21,
    "backups": 10,
    "backup_restore": 14,
    "backup_stores": 9,
    "console": 13,
    "operation": 11,
    "trace": 9,
    "diagnosis": 11,
    "bundles": 7,
    "bundle": 8,
    "/api/v1/vms": 9,
    "/api/v1/operations": 5,
    "/api/v1/volumes": 4,
    "/api/v1/backups": 8,
    "/api/v1/networks": 7,
    "/api/v1/routers": 7,
    "/api/v1/floating-addresses": 4,
    "/api/v1/hosts": 4,
    "/api/v1/history/traffic": 4,
    "/api/v1/status": 4,
    "/api/v1/live/team:payments": 23,
}


def counts(cast: Cast, urls: dict[str, str]) -> dict[str, int]:
    client = client_of(cast.alice)
    client.get(urls["keys"])  # the first one notes the session's use
    found = {}
    for name, url in urls.items():
        cache.set(POLICY_KEY, False, POLICY_S)  # kept for a minute, which may end between any two pages
        with CaptureQueriesContext(connection) as queries:
            assert client.get(url).status_code == 200, url
        found[name] = len(queries)
    return found


def asked_of_shadow(cast: Cast, port: Port, address: str) -> UUID:
    """A check, a matrix and a what-if, none of them answered; the what-if's uuid."""
    add_check(cast.payments, cast.alice, TraceSpec(port, None, "icmp", 0, address), "dropped")
    ask_matrix(cast.payments, cast.alice, "tcp", 22)
    group = default_group(cast.payments.pk)
    return ask_what_if(cast.payments, cast.alice, WhatIfSpec(group, RuleSpec(cidr=f"{address}/32"))).uuid


def test_pages_ask_as_many_queries_as_they_did_and_no_more_with_more_rows(cast: Cast) -> None:
    cast.alice.is_operator = True
    cast.alice.save()
    host = made_host()
    seen, flow_run = made_topology_record(host), made_flow_what_if(cast, host)
    made_flow_record(host)
    vm, trace = made_vm(cast), made_trace(cast)
    group = default_group(cast.payments.pk)
    arguments = {
        "vm": vm.uuid,
        "vm_delete": vm.uuid,
        "vm_change": vm.uuid,
        "vm_nics": vm.uuid,
        "vm_snapshots": vm.uuid,
        "vm_backups": vm.uuid,
        "trace": trace.uuid,
        "host_load": "hv1",
        "security_group": group.uuid,
        "flow_what_if": flow_run.uuid,
    }
    arguments |= {"network": cast.network.uuid, "router": cast.router.uuid, "console": vm.uuid}
    arguments["what_if"] = asked_of_shadow(cast, Port.objects.get(vm=vm), "203.0.113.1")
    made_snapshot(vm)
    first = made_backup(vm)
    arguments["backup_restore"] = first.uuid
    arguments["volume"] = (volume := made_volume(cast)).uuid
    made_volume_snapshot(volume)
    arguments["bundle"] = made_bundle(cast).uuid
    arguments["diagnosis"] = ask_why(vm.ports.get(), cast.alice).uuid
    arguments["operation"] = Operation.objects.get(object_uuid=vm.uuid).uuid
    urls = {
        name: name if name.startswith("/") else reverse(name, args=[arguments[name]] if name in arguments else [])
        for name in BASELINE
    }
    give_floating(cast.payments, vm.ports.get())
    made_import(cast), made_image(cast)
    few = counts(cast, urls)
    for number in range(2, 7):
        made_vm(cast, f"web-{number}")
        made_topology_record(made_flow_record(made_host(f"hv{number}")).host)
        made_flow_what_if(cast, host)
        made_trace(cast)
        made_snapshot(vm, f"s{number}")
        made_volume_snapshot(volume, f"s{number}")
        seen.changes.create(at=timezone.now(), object=f"port br-int/p{number}", after={"kind": "nic"})
        made_backup(vm, first)
        made_volume(cast, f"data-{number}", Host.objects.get(name=f"hv{number}"))
        made_import(cast), made_image(cast)
        give_floating(cast.payments, Port.objects.get(name=f"web-{number}"))
        asked_of_shadow(cast, Port.objects.get(name=f"web-{number}"), f"203.0.113.{number}")
    assert counts(cast, urls) == few
    assert few == BASELINE
