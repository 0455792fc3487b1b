"""Pools, exclusions, reservations and address pairs: by page and API, checked whole, refilled, audited, in force."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from django.urls import reverse

from portal.accounts.models import AuditRow
from portal.compute.requests import VMSpec, create_vm
from portal.networks.intent import load_snapshot
from portal.networks.models import Port, PortKind, Subnet
from portal.networks.subnet_requests import SubnetChange, change_subnet, reservations, reserve, use_of_subnet
from sdn.model.intent import AddressPair
from tests.cast import Cast
from tests.portal.clients import client_of, form, made_provider, made_vm


@pytest.fixture
def subnet(cast: Cast) -> Subnet:
    return next(one for one in cast.network.subnets.all() if "." in one.cidr)


@pytest.fixture
def port(cast: Cast) -> Port:
    return Port.objects.get(vm=made_vm(cast))


def page_of(subnet: Subnet) -> str:
    return reverse("subnet", args=[subnet.network.uuid, subnet.pk])


def addresses_of(port: Port) -> list[str]:
    return [row.address for row in port.addresses.all()]


def test_a_changed_pool_is_what_the_next_vm_gets_its_address_of(cast: Cast, subnet: Subnet) -> None:
    bob, before = client_of(cast.bob), use_of_subnet(subnet)
    asked = {"pool_start": "10.20.0.40", "pool_end": "10.20.0.60", "exclusions": "10.20.0.40-10.20.0.44 10.20.0.46", "dns": "9.9.9.9"}  # fmt: skip
    assert bob.post(page_of(subnet), asked).status_code == 302
    given = [addresses_of(Port.objects.get(vm=made_vm(cast, name)))[0] for name in ("web-1", "web-2")]
    assert given == ["10.20.0.45", "10.20.0.47"]
    assert use_of_subnet(subnet.__class__.objects.get(pk=subnet.pk)).free == 21 - 6 - 2 < before.free
    told = next(one for network in load_snapshot().networks for one in network.subnets if one.id == subnet.pk)
    assert [str(one) for one in told.dns] == ["9.9.9.9"]
    row = AuditRow.objects.get(action="network.subnet_change")
    assert row.actor == "bob" and row.after["exclusions"] == ["10.20.0.40-10.20.0.44", "10.20.0.46"]
    shown = bob.get(page_of(subnet)).content.decode()
    assert 'value="10.20.0.40-10.20.0.44, 10.20.0.46"' in shown


def test_everything_wrong_about_a_subnet_is_told_at_once_and_the_form_keeps_it(cast: Cast, subnet: Subnet) -> None:
    wrong = {"pool_start": "10.20.0.99", "pool_end": "10.20.0.9", "exclusions": "10.20.0.7-10.20.0.3 10.21.0.1 x 10.20.0.1-10.20.0.5", "dns": "resolver"}  # fmt: skip
    page = client_of(cast.bob).post(page_of(subnet), wrong)
    text = page.content.decode()
    assert page.status_code == 422
    for words in (
        "10.20.0.9 was given, which is before the pool’s start 10.20.0.99", "which ends before it begins", "10.21.0.1 was given",
        "“x” was given", "“resolver” was given",
    ):  # fmt: skip
        assert words in text, words
    for value in wrong.values():
        assert f'value="{value}"' in text
    patch = {"pool_start": "10.20.0.9", "pool_end": "10.20.0.9", "exclusions": ["10.20.0.9"]}
    url = f"/api/v1/networks/{cast.network.uuid}/subnets/{subnet.pk}"
    told = client_of(cast.bob).patch(url, patch, content_type="application/json")
    assert told.status_code == 422, told.content
    assert told.json()["errors"] == {"exclusions": ["nothing of 10.20.0.9 to 10.20.0.9 is left: no guest would get an address"]}  # fmt: skip
    assert Subnet.objects.get(pk=subnet.pk).exclusions == []


def test_what_is_left_out_of_a_patch_stays(cast: Cast, subnet: Subnet) -> None:
    change_subnet(subnet, SubnetChange(exclusions=("10.20.0.50",)))
    url = f"/api/v1/networks/{cast.network.uuid}/subnets/{subnet.pk}"
    told = client_of(cast.bob).patch(url, {"dns": ["1.1.1.1"]}, content_type="application/json").json()
    assert (told["exclusions"], told["dns"]) == ([["10.20.0.50", "10.20.0.50"]], ["1.1.1.1"])
    assert told["pool"] == [subnet.pool_start, subnet.pool_end]


def test_a_reserved_address_waits_and_the_vm_that_asks_for_it_gets_it_with_its_mac(cast: Cast, subnet: Subnet) -> None:
    bob = client_of(cast.bob)
    network = reverse("network", args=[cast.network.uuid])
    assert bob.post(reverse("reservation_add", args=[cast.network.uuid]), {"name": "db-later", "address": "10.20.0.90"}).status_code == 302  # fmt: skip
    kept = Port.objects.get(kind=PortKind.RESERVED)
    assert "db-later" in bob.get(network).content.decode()
    assert '<option value="10.20.0.90' in bob.get(reverse("vm_create")).content.decode()
    bob.post(reverse("vm_create"), form(name="db-1", address="10.20.0.90"))
    taken = Port.objects.get(vm__name="db-1")
    assert (taken.pk, taken.mac) == (kept.pk, kept.mac) and "10.20.0.90" in addresses_of(taken)
    assert kept.mac not in bob.get(network).content.decode().partition("Reserved addresses")[2]
    assert not reservations(cast.network).exists() and "Reserved addresses" in bob.get(network).content.decode()


def test_a_reservation_is_released_and_the_address_is_free_again(cast: Cast, subnet: Subnet) -> None:
    url = f"/api/v1/networks/{cast.network.uuid}/reservations"
    bob = client_of(cast.bob)
    made = bob.post(url, {"name": "later"}, content_type="application/json").json()
    assert bob.get(url).json()["items"] == [made]
    assert bob.delete(f"/api/v1/networks/{cast.network.uuid}").json()["errors"]["network"][0].startswith("later is reserved on payments-net")  # fmt: skip
    assert bob.delete(f"{url}/{made['port']}").status_code == 204
    assert addresses_of(Port.objects.get(vm=made_vm(cast))) == made["addresses"][:1] + addresses_of(Port.objects.get(vm__name="web-1"))[1:]  # fmt: skip
    assert {row.action for row in AuditRow.objects.filter(object_name="later")} == {"port.reserve", "port.release"}


def test_everything_wrong_about_a_reservation_is_told_by_its_field(cast: Cast, port: Port) -> None:
    reserve(cast.network, "later", "10.20.0.90")
    url = f"/api/v1/networks/{cast.network.uuid}/reservations"
    cases = {
        ("A b", "10.99.0.1"): {"name": "allowed are", "address": "10.99.0.1 was given"},
        ("later", "10.20.0.1"): {"name": "has a port later already", "address": "it is the gateway"},
        ("moving-x", "10.20.0.90"): {"name": "kept for NICs on the move", "address": "reserved already, as later"},
        ("other", addresses_of(port)[0]): {"address": "it is web-1"},
    }
    for (name, address), wrong in cases.items():
        answer = client_of(cast.bob).post(url, {"name": name, "address": address}, content_type="application/json")
        errors = answer.json()["errors"]
        assert set(errors) == set(wrong), errors
        page = client_of(cast.bob).post(reverse("reservation_add", args=[cast.network.uuid]), {"name": name, "address": address})  # fmt: skip
        text = page.content.decode()
        assert page.status_code == 422 and f'value="{name}"' in text and f'value="{address}"' in text
        for field, words in wrong.items():
            assert words in errors[field][0] and words in text, (field, errors)
    assert Port.objects.filter(kind=PortKind.RESERVED).count() == 1


def test_a_pair_goes_from_the_page_to_the_intent_and_away_again(cast: Cast, port: Port) -> None:
    bob, url = client_of(cast.bob), reverse("port_pairs", args=[port.uuid])

    def intent() -> tuple[AddressPair, ...]:
        return next(one for one in load_snapshot().ports if one.id == port.pk).pairs

    bob.post(url, {"cidr": "10.20.0.200"})
    bob.post(url, {"cidr": "10.20.1.0/24", "mac": "52:54:00:AA:BB:CC"})
    assert intent() == (AddressPair(ip_network("10.20.0.200/32")), AddressPair(ip_network("10.20.1.0/24"), "52:54:00:aa:bb:cc"))  # type: ignore[arg-type]  # fmt: skip
    assert "52:54:00:aa:bb:cc" in bob.get(url).content.decode()
    bob.post(url, {"remove": "10.20.0.200/32"})
    assert [str(pair.cidr) for pair in intent()] == ["10.20.1.0/24"]
    assert [row.actor for row in AuditRow.objects.filter(action="port.pairs")] == ["bob"] * 3


def test_pairs_that_would_make_an_impostor_are_refused_all_at_once(cast: Cast, port: Port) -> None:
    pairs = [
        {"cidr": "10.0.0.0/8"}, {"cidr": "10.20.0.0/28"}, {"cidr": "10.20.0.9/24"}, {"cidr": "nine", "mac": "01:00:5e:00:00:01"},
        {"cidr": "10.20.0.200", "mac": cast.network.router_mac}, {"cidr": "10.20.0.201"}, {"cidr": "10.20.0.201/32"},
    ]  # fmt: skip
    url = f"/api/v1/ports/{port.uuid}/address-pairs"
    errors = client_of(cast.bob).put(url, {"pairs": pairs}, content_type="application/json").json()["errors"]
    wrong = {
        "pairs.0.cidr": "an owner switches port security off", "pairs.1.cidr": "the gateway’s address 10.20.0.1",
        "pairs.2.cidr": "10.20.0.0/24 is allowed", "pairs.3.cidr": "“nine” was given", "pairs.3.mac": "a single machine’s MAC",
        "pairs.4.mac": "which is the gateway’s", "pairs.6.cidr": "given twice",
    }  # fmt: skip
    assert set(errors) == set(wrong), errors
    for field, words in wrong.items():
        assert words in errors[field][0], field
    page = client_of(cast.bob).post(reverse("port_pairs", args=[port.uuid]), {"cidr": "10.20.0.9/24", "mac": "nope"})
    text = page.content.decode()
    assert page.status_code == 422 and "10.20.0.0/24 is allowed" in text and "“nope” was given" in text
    assert 'value="10.20.0.9/24"' in text and 'value="nope"' in text
    assert not port.pairs.exists()


def test_on_a_shared_network_no_pair_holds_another_teams_address(cast: Cast) -> None:
    network = made_provider(cast, shared=True)
    ours, theirs = (
        Port.objects.get(vm=create_vm(team, person, VMSpec(name, cast.image, cast.flavor, network, name)).vm)
        for team, person, name in ((cast.payments, cast.bob, "ours"), (cast.search, cast.dana, "theirs"))
    )
    url = f"/api/v1/ports/{ours.uuid}/address-pairs"
    body = {"pairs": [{"cidr": addresses_of(theirs)[0]}, {"cidr": "10.60.0.250", "mac": theirs.mac}]}
    errors = client_of(cast.bob).put(url, body, content_type="application/json").json()["errors"]
    assert "an address of another team" in errors["pairs.0.cidr"][0] and "another team’s" in errors["pairs.1.mac"][0]
