"""What another team has set up is told to nobody of the asking team: not on the page, nor by API, exports or sockets.

[web-1, Payments]--7--[br-int@hv1]--10--[secret-1, Search]     both on provider network `office`, which is shared
"""

from __future__ import annotations

import json
from ipaddress import IPv4Address

import pytest
from django.urls import reverse

from portal.accounts.models import Membership
from portal.compute.models import VM
from portal.compute.requests import VMSpec, create_vm
from portal.live.topics import snapshot_of
from portal.networks.floating_requests import give_floating
from portal.networks.groups import create_group, set_port_groups
from portal.networks.models import Network, Port, Router
from portal.traces.exports import EXPORTS
from portal.traces.models import TraceRequest
from portal.traces.requests import TraceSpec, create_trace
from sdn.model.trace import from_json
from sdn.trace.redact import HIDDEN, redacted
from tasks.counter_watch import _bridges
from tests.portal.clients import client_of, made_provider
from tests.traces.conftest import Street

SECRETS = ("secret-1", "searchers-only", "10.99.0.0/16", "search-net")


def plugged(street: Street, name: str, team: str, ofport: int) -> Port:
    office = made_provider(street.cast, shared=True)
    owner = getattr(street.cast, team)
    maker = street.cast.alice if team == "payments" else street.cast.dana
    vm = create_vm(owner, maker, VMSpec(name, street.cast.image, street.cast.flavor, office, name)).vm
    VM.objects.filter(pk=vm.pk).update(state="running", host=street.host)
    port: Port = vm.ports.get()
    port.host, port.ofport, port.tap = street.host, ofport, f"vnet{ofport}"
    port.save()
    return port


@pytest.fixture
def asked(street: Street) -> TraceRequest:
    """The answered trace from Payments' VM to Search's, which lets in only its own."""
    street.shadow.vsctl("--if-exists", "del-port", "br-int", "vnet10")
    street.shadow.vsctl(
        "add-port", "br-int", "vnet10", "--", "set", "interface", "vnet10", "type=dummy", "ofport_request=10"
    )
    Port.objects.filter(pk=street.web.pk).update(ofport=None, host=None)
    sender, secret = plugged(street, "asker", "payments", 7), plugged(street, "secret-1", "search", 10)
    guarded = create_group(street.cast.search, "searchers-only")
    guarded.rules.create(
        direction="ingress", family=4, protocol="tcp", number_first=22, number_last=22, cidr="10.99.0.0/16"
    )
    set_port_groups(secret, [guarded])
    street.install()
    address = secret.addresses.get(address__contains=".").address
    spec = TraceSpec(sender, None, "tcp", 22, address=address, moment="first")
    row = create_trace(street.cast.payments, street.cast.bob, spec)
    neighbour = TraceRequest.objects.get(pk=row.pk)
    street.answer()
    neighbour.refresh_from_db()
    assert neighbour.result is not None
    return neighbour


def test_behind_its_floating_address_a_vm_of_another_team_stays_unknown(street: Street) -> None:
    """[web-1]--7--[br-int@hv1: out as 198.51.100.x, turned round, in to Search's floating address]--10--[secret-1]"""
    street.shadow.vsctl("--if-exists", "del-port", "br-int", "vnet10")
    street.shadow.vsctl(
        "add-port", "br-int", "vnet10", "--", "set", "interface", "vnet10", "type=dummy", "ofport_request=10"
    )
    network = Network.objects.get(name="search-net")
    vm = create_vm(
        street.cast.search, street.cast.dana, VMSpec("secret-1", street.cast.image, street.cast.flavor, network, "s")
    ).vm
    secret: Port = vm.ports.get()
    secret.host, secret.ofport, secret.tap = street.host, 10, "vnet10"
    secret.save()
    secret.addresses.filter(address__contains=".").update(address="10.20.0.77")
    Router.objects.filter(team=street.cast.search).update(gateway_host=street.host)
    floating = give_floating(street.cast.search, secret)
    guarded = create_group(street.cast.search, "searchers-only")
    guarded.rules.create(direction="ingress", family=4, protocol="tcp", number_first=22, number_last=22)
    set_port_groups(secret, [guarded])
    street.install()
    spec = TraceSpec(street.web, None, "tcp", 22, address=str(floating), moment="first")
    row = create_trace(street.cast.payments, street.cast.bob, spec)
    street.answer()
    row.refresh_from_db()
    assert row.result is not None and row.result["verdict"] == "delivered", row.result["reason"]
    private = secret.addresses.get(address__contains=".").address
    for where, text in everything_told(street, row).items():
        for word in (*SECRETS, private, f"{int(IPv4Address(private)):#x}", secret.mac, str(secret.uuid)):
            assert word not in text, (where, word)
    assert str(floating) in json.dumps(row.result), "what was asked for is no secret"


def everything_told(street: Street, row: TraceRequest) -> dict[str, str]:
    bob = client_of(street.cast.bob)
    told = {
        f"page {way}": bob.get(f"{reverse('trace', args=[row.uuid])}?dir={way}").content.decode(errors="replace")
        for way in ("forward", "return")
    }
    told |= {
        form: bob.get(reverse("trace_export", args=[row.uuid, form])).content.decode(errors="replace")
        for form in EXPORTS
    }
    told["api"] = bob.get(f"/api/v1/traces/{row.uuid}").content.decode()
    told["list"] = bob.get("/api/v1/traces").content.decode()
    told["topic"] = json.dumps(snapshot_of(f"trace:{row.uuid}"))
    told["counters"] = repr([bridge.keys for bridge in _bridges(str(row.uuid))])
    told["row"] = json.dumps([row.result, row.reply, row.probe])
    return told


def test_a_member_of_the_asking_team_learns_no_name_address_or_rule_of_the_other(
    street: Street, asked: TraceRequest
) -> None:
    secret = Port.objects.get(vm__name="secret-1")
    rows = [str(secret.uuid), *(row.address for row in secret.addresses.all() if row.address != asked.address)]
    for where, text in everything_told(street, asked).items():
        for word in (*SECRETS, *rows):
            assert word not in text, (where, word)


def test_the_places_of_hidden_hops_stay(street: Street, asked: TraceRequest) -> None:
    assert asked.result is not None
    trace = from_json(asked.result)
    hidden = [step for hop in trace.hops for step in hop.steps if step.match == HIDDEN]
    assert hidden and all(step.cookie is None and not step.flow_key for step in hidden), [
        hop.object for hop in trace.hops
    ]
    own = [step for hop in trace.hops for step in hop.steps if step.intent and step.intent.team == "payments"]
    assert own, "what is the team's own is told"
    page = client_of(street.cast.charlie).get(reverse("trace", args=[asked.uuid])).content.decode()
    assert "another team&#x27;s" in page


def test_a_trace_is_read_by_its_team_alone(street: Street, asked: TraceRequest) -> None:
    url = reverse("trace", args=[asked.uuid])
    assert client_of(street.cast.dana).get(url).status_code == 404
    Membership.objects.create(user=street.cast.dana, team=street.cast.payments, role="viewer")
    assert client_of(street.cast.dana).get(url).status_code == 200


def test_a_trace_within_ones_team_is_left_as_it_is(street: Street) -> None:
    create_trace(street.cast.payments, street.cast.bob, TraceSpec(street.web, street.db, "icmp"))
    street.answer()
    trace = from_json(TraceRequest.objects.get().result or {})
    assert redacted(trace, "payments") is trace
    assert redacted(trace, "search") is not trace and "web-1" not in "".join(
        step.intent.words for hop in redacted(trace, "search").hops for step in hop.steps if step.intent
    )
