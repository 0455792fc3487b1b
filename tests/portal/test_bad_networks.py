"""Bad input about networks, as a table: what is asked of the API → every field that is wrong, with a word of why."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from portal.networks.models import Network, Router, SecurityGroup, SecurityRule, Subnet
from portal.networks.network_requests import NetworkSpec, SubnetSpec, create_network
from portal.networks.problems import NetworkProblem
from tests.cast import Cast
from tests.portal.clients import client_of, made_vm

Asked = tuple[str, str, dict[str, Any] | None]  # method, path, body


def overlapping_subnet(cast: Cast) -> Subnet:
    """A subnet of another network that shares addresses with payments-net."""
    other = Network.objects.create(team=cast.payments, name="twin", vni=77, router_mac="02:00:00:00:00:77")
    return Subnet.objects.create(
        network=other, cidr="10.20.0.0/25", gateway="10.20.0.1", pool_start="10.20.0.10", pool_end="10.20.0.99"
    )


def _overlapping(cast: Cast) -> Asked:
    return "POST", f"/routers/{cast.router.uuid}/ports", {"subnet": overlapping_subnet(cast).pk}


def _rule(cast: Cast, **body: Any) -> Asked:
    group = SecurityGroup.objects.get(team=cast.payments, name="default")
    return "POST", f"/security-groups/{group.uuid}/rules", body


def _used_network(cast: Cast) -> Asked:
    made_vm(cast)
    return "DELETE", f"/networks/{cast.network.uuid}", None


def _used_group(cast: Cast) -> Asked:
    made_vm(cast)
    return "DELETE", f"/security-groups/{SecurityGroup.objects.get(team=cast.payments, name='ssh-and-ping').uuid}", None


CASES: dict[str, tuple[Callable[[Cast], Asked], dict[str, str]]] = {
    "overlapping subnets on one router": (_overlapping, {"subnet": "10.20.0.0/24"}),
    "addresses outside of the subnet": (
        lambda cast: ("POST", "/networks", {"name": "a", "cidr": "10.9.0.0/24", "gateway": "10.8.0.1", "pool_end": "1.2.3.4"}),
        {"gateway": "10.9.0.1 to 10.9.0.254", "pool_end": "10.9.0.1 to 10.9.0.254"},
    ),
    "a VM's address outside of the subnet": (
        lambda cast: ("POST", "/vms", {"name": "v", "image": "tiny", "flavor": "nano", "network": "payments-net", "address": "192.0.2.7"}),
        {"address": "10.20.0.0/24"},
    ),
    "a VM's address that is the gateway's": (
        lambda cast: ("POST", "/vms", {"name": "v", "image": "tiny", "flavor": "nano", "network": "payments-net", "address": "10.20.0.1"}),
        {"address": "gateway"},
    ),
    "a rule with ports for ICMP": (lambda cast: _rule(cast, protocol="icmp", ports="80-90"), {"ports": "icmp has no ports"}),
    "a rule's CIDR with host bits": (lambda cast: _rule(cast, cidr="10.1.2.3/8"), {"cidr": "host bits"}),
    "everything of a rule at once": (
        lambda cast: _rule(cast, direction="up", protocol="tcp", ports="99999", cidr="10.1.2.3/8"),
        {"direction": "ingress, egress", "ports": "1 to 65535", "cidr": "host bits"},
    ),
    "a subnet with host bits and a bad name": (
        lambda cast: ("POST", "/networks", {"name": "A b", "cidr": "10.9.0.7/24"}),
        {"name": "allowed are", "cidr": "10.9.0.0/24 is allowed"},
    ),
    "a network in use is deleted": (_used_network, {"network": "web-1"}),
    "a group in use is deleted": (_used_group, {"group": "take it off there first"}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_every_wrong_field_is_named_in_one_answer_and_nothing_changes(cast: Cast, case: str) -> None:
    ask, wrong = CASES[case]
    method, path, body = ask(cast)
    before = _counts()
    answer = client_of(cast.alice).generic(method, f"/api/v1{path}", _json(body), content_type="application/json")
    errors = answer.json()["errors"]
    assert answer.status_code in (409, 422), (answer.status_code, errors)
    assert set(errors) == set(wrong), errors
    for field, words in wrong.items():
        assert words in " ".join(errors[field]), (field, errors[field])
    assert _counts() == before


def test_a_vni_in_use_is_named_with_whatever_else_is_wrong(cast: Cast) -> None:
    """No form asks for a VNI: who asks for one is code."""
    with pytest.raises(NetworkProblem) as refused:
        create_network(cast.payments, NetworkSpec("A b", SubnetSpec("10.9.0.7/24"), vni=cast.network.vni))
    assert set(refused.value.errors) == {"name", "cidr", "vni"}
    assert "is in use" in refused.value.errors["vni"][0]


def test_a_group_may_name_itself_which_means_its_members_and_is_no_use_by_others(cast: Cast) -> None:
    alice = client_of(cast.alice)
    made = alice.post("/api/v1/security-groups", {"name": "peers"}, content_type="application/json").json()
    rule = {"protocol": "tcp", "ports": "5432", "remote_group": made["uuid"]}
    url = f"/api/v1/security-groups/{made['uuid']}"
    assert alice.post(f"{url}/rules", rule, content_type="application/json").status_code == 201
    assert alice.delete(url).status_code == 204


def _counts() -> tuple[int, ...]:
    return tuple(model.objects.count() for model in (Network, Subnet, Router, SecurityGroup, SecurityRule))


def _json(body: dict[str, Any] | None) -> str:

    return json.dumps(body) if body is not None else ""
