"""How many networks and floating addresses a team may have: refused in words by the page and the API, and room again after a delete."""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from portal.accounts.models import Team
from portal.networks.floating_requests import allocate_floating
from portal.networks.models import FloatingAddress, Network
from portal.networks.network_requests import delete_network
from tests.cast import Cast
from tests.portal.clients import client_of, made_provider, made_vm

JSON: dict[str, Any] = {"content_type": "application/json"}


def limited(cast: Cast, **limits: int) -> None:
    Team.objects.filter(pk=cast.payments.pk).update(**limits)


def test_a_network_over_the_limit_is_refused_and_one_that_goes_makes_room(cast: Cast) -> None:
    made_provider(cast)  # the operators', whoever uses it
    limited(cast, max_networks=2)
    client = client_of(cast.bob)
    assert client.post("/api/v1/networks", {"name": "back", "cidr": "10.30.0.0/24"}, **JSON).status_code == 201
    refused = client.post("/api/v1/networks", {"name": "third", "cidr": "10.31.0.0/24"}, **JSON)
    words = "over quota: 2 of 2 networks are made; delete one, or ask an operator for more"
    assert refused.status_code == 422 and refused.json()["errors"]["name"] == [words]
    assert client.get("/api/v1/usage").json()["networks"] == {"used": 2, "limit": 2}
    assert "2 of 2 networks of Payments are made." in client.get(reverse("networks")).content.decode()
    assert words in client.get(reverse("network_create")).content.decode()
    page = client.post(reverse("network_create"), {"name": "third", "cidr": "10.31.0.0/24"})
    assert page.status_code == 422 and words in page.content.decode()
    delete_network(Network.objects.get(name="back"))
    assert client.post("/api/v1/networks", {"name": "third", "cidr": "10.31.0.0/24"}, **JSON).status_code == 201


def test_a_floating_address_over_the_limit_is_refused_while_one_that_is_free_is_still_given(cast: Cast) -> None:
    limited(cast, max_floating_addresses=1)
    vm = made_vm(cast)
    idle = allocate_floating(cast.payments, cast.external)
    client = client_of(cast.bob)
    refused = client.post("/api/v1/floating-addresses", {"external": "internet"}, **JSON)
    assert refused.status_code == 422
    assert "1 of 1 floating addresses are taken" in refused.json()["errors"]["external"][0]
    given = client.post("/api/v1/floating-addresses", {"port": str(vm.ports.get().uuid)}, **JSON)
    assert given.status_code == 201 and given.json()["uuid"] == str(idle.uuid)
    other = made_vm(cast, "web-2")
    page = client.post(reverse("vm_floating", args=[other.uuid]), follow=True)
    assert "1 of 1 floating addresses are taken" in page.content.decode()
    assert FloatingAddress.objects.count() == 1


def test_operators_set_both_limits(cast: Cast) -> None:
    client = client_of(cast.olga)
    limits = {"max_networks": 3, "max_floating_addresses": 4}
    told = client.patch("/api/v1/teams/payments", {"limits": limits}, **JSON).json()["limits"]
    assert {name: told[name] for name in limits} == limits
    assert "Floating addresses" in client.get(reverse("team", args=["payments"])).content.decode()
