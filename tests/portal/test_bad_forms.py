"""Bad input about networks through the pages: every sentence in one answer, beside its field, and nothing that was typed is lost."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape

import pytest
from django.urls import reverse

from portal.compute.models import VM
from portal.networks.models import ExternalNetwork, Network, Port, Router, SecurityGroup, SecurityRule, Subnet
from portal.networks.subnet_requests import reserve
from portal.operations.models import Operation
from tests.cast import Cast
from tests.portal.clients import client_of, form, made_host, made_vm
from tests.portal.test_bad_networks import overlapping_subnet

Posted = dict[str, str]
# What is posted, by whom and where → field → words that stand beside it ("" for what is of no field).
Case = tuple[str, Callable[[Cast], tuple[str, Posted]], dict[str, str]]


def _new_network(**given: str) -> Callable[[Cast], tuple[str, Posted]]:
    return lambda cast: (reverse("network_create"), given)


def _subnet_of(cast: Cast) -> tuple[str, Posted]:
    return reverse("network", args=[cast.network.uuid]), {"cidr": "10.20.0.128/25", "gateway": "10.99.0.1", "dns": "resolver"}  # fmt: skip


def _attached(cast: Cast) -> tuple[str, Posted]:
    return reverse("router_change", args=[cast.router.uuid]), {"action": "attach", "subnet": str(overlapping_subnet(cast).pk)}  # fmt: skip


def _route(cast: Cast) -> tuple[str, Posted]:
    return reverse("router_change", args=[cast.router.uuid]), {"action": "add_route", "destination": "10.1.2.3/8", "next_hop": "somebody"}  # fmt: skip


def _rule(**given: str) -> Callable[[Cast], tuple[str, Posted]]:
    group = {"direction": "ingress", "family": "4", "protocol": "tcp", "ports": "", "cidr": "", "remote_group": ""}
    return lambda cast: (
        reverse("security_group", args=[SecurityGroup.objects.get(team=cast.payments, name="default").uuid]), group | given,
    )  # fmt: skip


def _vm(address: str) -> Callable[[Cast], tuple[str, Posted]]:
    return lambda cast: (reverse("vm_create"), form(address=address, name="A b"))


def _nic(cast: Cast) -> tuple[str, Posted]:
    vm = made_vm(cast)
    VM.objects.update(state="running", host=made_host())
    Operation.objects.update(state="done")
    return reverse("vm_nics", args=[vm.uuid]), {"what": "add", "network": "payments-net", "model": "e1000e", "address": "10.20.0.1"}  # fmt: skip


def _limits(cast: Cast) -> tuple[str, Posted]:
    port = Port.objects.get(vm=made_vm(cast))
    return reverse("port_limits", args=[port.uuid]), {"sends_kbps": "fast", "sends_burst_kbit": "", "receives_kbps": "1", "receives_burst_kbit": "99"}  # fmt: skip


def _taken_address(cast: Cast) -> tuple[str, Posted]:
    reserve(cast.network, "later", "10.20.0.90")
    return reverse("reservation_add", args=[cast.network.uuid]), {"name": "A b", "address": "10.20.0.90"}


CASES: dict[str, Case] = {
    "everything of a network at once": (
        "alice",
        _new_network(name="A b", cidr="10.9.0.7/24", mtu="big", gateway="10.8.0.1", dns="resolver", kind="geneve"),
        {"name": "allowed are", "cidr": "10.9.0.0/24 is allowed", "mtu": "a number is allowed", "dns": "“resolver” was given"},
    ),
    "addresses outside of the subnet": (
        "alice",
        _new_network(name="a", cidr="10.9.0.0/24", gateway="10.8.0.1", pool_start="10.9.0.9", pool_end="1.2.3.4", mtu="99999"),
        {"gateway": "10.9.0.1 to 10.9.0.254", "pool_end": "10.9.0.1 to 10.9.0.254", "mtu": "99999 was given"},
    ),
    "a subnet that shares addresses with another": ("alice", _subnet_of, {"cidr": "shares addresses", "gateway": "10.99.0.1", "dns": "resolver"}),
    "overlapping subnets on one router": ("alice", _attached, {"subnet": "10.20.0.0/24"}),
    "a route with host bits to nobody": ("alice", _route, {"destination": "10.0.0.0/8 is allowed", "next_hop": "“somebody” was given"}),
    "a rule with ports for ICMP": ("alice", _rule(protocol="icmp", ports="80-90"), {"ports": "icmp has no ports"}),
    "a rule with host bits and no such port": (
        "alice", _rule(ports="99999", cidr="10.1.2.3/8"), {"ports": "1 to 65535", "cidr": "host bits"},
    ),
    "a VM's address outside of the subnet": ("alice", _vm("192.0.2.7"), {"address": "10.20.0.0/24", "name": "was given"}),
    "a VM's address that is the gateway's": ("alice", _vm("10.20.0.1"), {"address": "gateway"}),
    "a NIC's address that is the gateway's": ("alice", _nic, {"address": "gateway"}),
    "limits that are none": ("alice", _limits, {"sends_kbps": "a number is allowed", "receives_kbps": "64 to", "receives_burst_kbit": "100 to"}),
    "a reservation of what is reserved": ("alice", _taken_address, {"name": "allowed are", "address": "reserved already, as later"}),
    "everything of an external network at once": (
        "olga",
        lambda cast: (reverse("external_networks"), {"name": "A b", "cidr": "192.0.2.9/24", "vid": "9999", "mtu": "big"}),
        {"name": "allowed are", "cidr": "192.0.2.0/24 is allowed", "vid": "4094", "mtu": "a number is allowed"},
    ),
    "everything of a provider network at once": (
        "olga",
        lambda cast: (reverse("provider_networks"), {"name": "A b", "kind": "vlan", "cidr": "10.9.0.7/24", "vid": "9999", "mtu": "big"}),
        {"name": "allowed are", "cidr": "10.9.0.0/24 is allowed", "vid": "4094", "mtu": "a number is allowed"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_every_wrong_field_is_told_beside_it_and_the_form_keeps_what_was_typed(cast: Cast, case: str) -> None:
    person, ask, wrong = CASES[case]
    url, posted = ask(cast)
    before = _counts()
    page = client_of(getattr(cast, person)).post(url, posted)
    text = unescape(page.content.decode())
    assert page.status_code == 422, page.status_code
    for field, words in wrong.items():
        assert words in _beside(text, field), (field, _beside(text, field)[:1500])
    for field, value in posted.items():
        if value and field not in ("action", "request_key", "what"):
            assert _keeps(text, field, value), (field, value)
    assert _counts() == before


def _beside(text: str, field: str) -> str:
    """The errors that stand behind the field's control, up to the next control."""
    start = re.search(rf'<(?:input|select|textarea)[^>]* name="{field}"', text)
    assert start, f"the page has no field {field}"
    rest = text[start.end() :]
    end = re.search(r"<(?:input|textarea|button|select)\b", rest)  # the next control
    return " ".join(re.findall(r'class="err"[^>]*>([^<]*)<', rest[: end.start() if end else None]))


def _keeps(text: str, field: str, value: str) -> bool:
    """Is the value in the field's control: typed, or chosen?"""
    control = re.search(rf'<input[^>]* name="{field}"[^>]* value="{re.escape(value)}"|<input[^>]* value="{re.escape(value)}"[^>]* name="{field}"', text)  # fmt: skip
    option = rf'<option value="{re.escape(value)}"[^>]*\bselected|<option selected>{re.escape(value)}<'
    selects = re.findall(rf'<select[^>]* name="{field}".*?</select>', text, re.S)
    chosen = any(re.search(option, body) for body in selects)
    return bool(control) or chosen


def _counts() -> tuple[int, ...]:
    models = (Network, Subnet, Router, SecurityGroup, SecurityRule, ExternalNetwork, Port)
    return tuple(model.objects.count() for model in models)  # type: ignore[attr-defined]
