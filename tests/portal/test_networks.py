"""Networks, routers and floating addresses through the pages and the API: who may, what is refused and in which words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from portal.compute.requests import VMSpec, create_vm
from portal.hosts.models import Host
from portal.networks.gateways import LOST_AFTER, Candidate, choose_gateway, reassign_gateways
from portal.networks.intent import load_snapshot
from portal.networks.models import ExternalNetwork, FloatingAddress, Network, Port, Router, Subnet
from portal.networks.network_requests import NetworkSpec, SubnetSpec, create_network
from portal.networks.router_requests import RouterSpec, create_router
from sdn.compiler import compile_host
from sdn.model.addresses import HostName
from sdn.model.intent import HostView
from tasks.controller_observer import _lose_host
from tests.cast import Cast

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def client_of(user: object) -> Client:
    client = Client()
    client.force_login(user)  # type: ignore[arg-type]
    return client


def ask(user: object, method: str, path: str, **body: Any) -> Any:
    return getattr(client_of(user), method)(f"/api/v1/{path}", body, content_type="application/json")


def made_network(cast: Cast, name: str = "back", cidr: str = "10.30.0.0/24") -> Network:
    return create_network(cast.payments, NetworkSpec(name, SubnetSpec(cidr)))


def seeded_router(cast: Cast) -> Router:
    return Router.objects.get(team=cast.payments)


def vm_port(cast: Cast, name: str = "web-1") -> Port:
    return create_vm(
        cast.payments, cast.alice, VMSpec(name, cast.image, cast.flavor, cast.network, name)
    ).vm.ports.get()


def host(name: str, number: int, **values: Any) -> Host:
    return Host.objects.create(name=name, underlay_ip=f"192.0.2.{number}", underlay_mtu=1600, **values)


# ------------------------------------------------------------------------------------------------------------- pages


@pytest.mark.parametrize("name", ["networks", "network_create", "routers", "floating"])
def test_a_member_sees_every_page(cast: Cast, name: str) -> None:
    vm_port(cast)
    assert client_of(cast.bob).get(reverse(name)).status_code == 200


def test_ipv6_outside_is_an_address_of_the_external_networks_prefix_or_none(cast: Cast) -> None:
    """made of the router's external MAC: ff:fe in its middle (RFC 4291, appendix A)"""
    router = seeded_router(cast)
    said = ask(cast.bob, "get", f"routers/{router.uuid}").json()["external_address6"]
    assert said.startswith("2001:db8:51:0:") and "ff:fe" in said
    assert said in client_of(cast.bob).get(reverse("router", args=[router.uuid])).content.decode()
    assert str(load_snapshot().externals[0].cidr6) == "2001:db8:51::/64"
    ExternalNetwork.objects.update(cidr6="")
    assert ask(cast.bob, "get", f"routers/{router.uuid}").json()["external_address6"] is None


@pytest.mark.parametrize(
    ("changed", "field", "words"),
    [
        ({"cidr6": "2001:db8:60::/48"}, "cidr6", "an IPv6 network of /64 is allowed"),
        ({"cidr6": "203.0.113.128/26"}, "cidr6", "an IPv6 network of /64 is allowed"),
        ({"cidr6": "2001:db8:60::1/64"}, "cidr6", "2001:db8:60::/64 is allowed"),
        ({"cidr6": "2001:db8:51::/64"}, "cidr6", "internet has 2001:db8:51::/64"),
        ({"cidr6": "2001:db8:60::/64", "gateway": ""}, "gateway", "IPv6 leaves by the same next hop"),
    ],
)
def test_a_wrong_ipv6_prefix_outside_is_named(cast: Cast, changed: dict[str, str], field: str, words: str) -> None:
    asked = {"name": "dmz", "cidr": "203.0.113.0/25", "gateway": "203.0.113.1", "vid": 7, **changed}
    said = ask(cast.olga, "post", "external-networks", **asked)
    assert said.status_code == 422 and words in " ".join(said.json()["errors"][field]), said.content
    assert ExternalNetwork.objects.count() == 1


def test_a_viewer_sees_and_changes_nothing(cast: Cast) -> None:
    router = seeded_router(cast)
    assert client_of(cast.charlie).get(reverse("router", args=[router.uuid])).status_code == 200
    assert client_of(cast.charlie).get(reverse("network", args=[cast.network.uuid])).status_code == 200
    changes = [
        ("post", reverse("routers"), {"name": "r"}),
        ("post", reverse("router_change", args=[router.uuid]), {"action": "set_external", "external": ""}),
        ("post", reverse("router_delete", args=[router.uuid]), {}),
        ("post", reverse("network_delete", args=[cast.network.uuid]), {}),
        ("post", reverse("network", args=[cast.network.uuid]), {"cidr": "10.31.0.0/24"}),
        ("post", reverse("floating"), {"external": "internet"}),
    ]
    for method, path, form in changes:
        assert getattr(client_of(cast.charlie), method)(path, form).status_code == 403, path


def test_nothing_of_another_team_exists(cast: Cast) -> None:
    router = seeded_router(cast)
    floating = client_of(cast.alice).post(reverse("floating"), {"external": "internet"})
    assert floating.status_code == 302
    row = FloatingAddress.objects.get()
    for name, uuid in (("network", cast.network.uuid), ("network_delete", cast.network.uuid), ("router", router.uuid), ("router_delete", router.uuid)):  # fmt: skip
        assert client_of(cast.dana).get(reverse(name, args=[uuid])).status_code == 404
    assert (
        client_of(cast.dana).post(reverse("floating_change", args=[row.uuid]), {"action": "release"}).status_code == 404
    )
    assert ask(cast.dana, "delete", f"routers/{router.uuid}").status_code == 404
    assert ask(cast.dana, "delete", f"networks/{cast.network.uuid}").status_code == 404
    subnet = cast.network.subnets.first()
    assert subnet is not None
    answer = ask(cast.dana, "post", "routers", name="mine", subnets=[subnet.pk])
    assert answer.status_code == 422 and "none of Search's" in str(answer.json()["errors"]["subnet"])


@pytest.mark.parametrize(("person", "status"), [("alice", 403), ("dana", 403), ("olga", 200)])
def test_only_operators_make_external_networks(cast: Cast, person: str, status: int) -> None:
    assert client_of(getattr(cast, person)).get(reverse("external_networks")).status_code == status
    if status == 403:
        assert (
            ask(getattr(cast, person), "post", "external-networks", name="x", cidr="203.0.113.0/24").status_code == 403
        )


def test_a_hostile_name_is_escaped_wherever_it_is_shown(cast: Cast) -> None:
    answer = client_of(cast.alice).post(reverse("network_create"), {"name": "<script>alert(1)</script>", "cidr": "<b>"})
    assert answer.status_code == 422 and b"<script>alert" not in answer.content and b"&lt;script&gt;" in answer.content


def test_a_network_is_made_in_one_form(cast: Cast) -> None:
    host("hv1", 11)
    answer = client_of(cast.bob).post(reverse("network_create"), {"name": "back", "cidr": "10.30.0.0/24"})
    network = Network.objects.get(name="back")
    assert answer.url == reverse("network", args=[network.uuid])
    subnet = network.subnets.get()
    assert (subnet.gateway, subnet.pool_start, subnet.pool_end) == ("10.30.0.1", "10.30.0.1", "10.30.0.254")
    assert network.mtu == 1500, "1600 less 50 for VXLAN, and no more than Ethernet's"
    assert network.vni not in (4097, 4098)


# ---------------------------------------------------------------------------------------------------- what is refused


def test_every_wrong_field_of_a_network_is_told_at_once(cast: Cast) -> None:
    bad = {"name": "A b", "cidr": "10.30.0.5/24", "gateway": "ten", "dns": ["x"], "mtu": 9000}
    errors = ask(cast.alice, "post", "networks", **bad).json()["errors"]
    assert set(errors) == {"name", "cidr", "gateway", "dns", "mtu"}
    assert "10.30.0.0/24 is allowed" in errors["cidr"][0]


@pytest.mark.parametrize(
    ("asked", "field", "words"),
    [
        ({"cidr": "10.30.0.0"}, "cidr", "without a prefix length"),
        ({"cidr": "10.30.0.0/31"}, "cidr", "/8 to /29 are allowed"),
        ({"cidr": "224.0.0.0/24"}, "cidr", "which no host can have"),
        ({"cidr": "127.0.0.0/24"}, "cidr", "which no host can have"),
        ({"cidr": "fd00::/48"}, "cidr", "/64 to /64 are allowed"),
        ({"cidr": "10.30.0.0/24", "gateway": "10.31.0.1"}, "gateway", "10.30.0.1 to 10.30.0.254"),
        ({"cidr": "10.30.0.0/24", "gateway": "10.30.0.255"}, "gateway", "10.30.0.1 to 10.30.0.254"),
        ({"cidr": "10.30.0.0/24", "pool_start": "10.30.0.9", "pool_end": "10.30.0.5"}, "pool_end", "before the pool's start"),
        ({"cidr": "10.30.0.0/24", "pool_start": "fd00::1"}, "pool_start", "10.30.0.1 to 10.30.0.254"),
        ({"cidr": "10.30.0.0/24", "name": "payments-net"}, "name", "has a network payments-net already"),
    ],
)  # fmt: skip
def test_a_network_that_makes_no_sense_is_refused(cast: Cast, asked: dict[str, str], field: str, words: str) -> None:
    answer = ask(cast.alice, "post", "networks", **({"name": "back"} | asked))
    assert answer.status_code == 422 and words in " ".join(answer.json()["errors"][field]), answer.json()
    assert not Network.objects.filter(name="back").exists()


def test_a_network_in_use_is_not_deleted_and_says_by_whom(cast: Cast) -> None:
    vm_port(cast)
    answer = ask(cast.alice, "delete", f"networks/{cast.network.uuid}")
    words = " ".join(answer.json()["errors"]["network"])
    assert answer.status_code == 422
    assert "web-1 is on payments-net: delete it first" in words and "router payments-router is attached" in words
    assert (
        b"router payments-router"
        in client_of(cast.alice).get(reverse("network_delete", args=[cast.network.uuid])).content
    )


def test_an_unused_network_is_deleted_with_its_subnets(cast: Cast) -> None:
    network = made_network(cast)
    assert ask(cast.alice, "delete", f"networks/{network.uuid}").status_code == 204
    assert not Subnet.objects.filter(cidr="10.30.0.0/24").exists()


def test_subnets_of_one_network_may_not_overlap(cast: Cast) -> None:
    answer = ask(cast.alice, "post", f"networks/{cast.network.uuid}/subnets", cidr="10.20.0.128/25")
    assert "the network has 10.20.0.0/24" in answer.json()["errors"]["cidr"][0]


def test_overlapping_subnets_are_refused_on_one_router(cast: Cast) -> None:
    other = made_network(cast, "twin", "10.20.0.0/16").subnets.get()
    answer = ask(cast.alice, "post", f"routers/{seeded_router(cast).uuid}/ports", subnet=other.pk)
    assert "shares addresses with 10.20.0.0/24" in answer.json()["errors"]["subnet"][0]


def test_a_subnet_of_the_external_networks_addresses_is_refused(cast: Cast) -> None:
    other = made_network(cast, "twin", "198.51.100.0/25").subnets.get()
    answer = ask(cast.alice, "post", f"routers/{seeded_router(cast).uuid}/ports", subnet=other.pk)
    assert "the external network internet" in answer.json()["errors"]["subnet"][0]


def test_a_gateway_that_is_a_ports_address_is_refused(cast: Cast) -> None:
    network = made_network(cast)
    vm = create_vm(
        cast.payments, cast.alice, VMSpec("db-1", cast.image, cast.flavor, network, "k", address="10.30.0.9")
    )
    network.subnets.update(gateway="10.30.0.9")
    answer = ask(cast.alice, "post", f"routers/{seeded_router(cast).uuid}/ports", subnet=network.subnets.get().pk)
    assert f"is {vm.vm.name}'s" in answer.json()["errors"]["subnet"][0]


def test_a_subnet_has_one_router(cast: Cast) -> None:
    subnets = [subnet.pk for subnet in cast.network.subnets.all()]
    answer = ask(cast.alice, "post", "routers", name="second", subnets=subnets)
    assert "is attached to router payments-router already" in answer.json()["errors"]["subnet"][0]
    assert Router.objects.filter(team=cast.payments).count() == 1


@pytest.mark.parametrize(
    ("destination", "next_hop", "field", "words"),
    [
        ("172.16.0.1/16", "10.20.0.9", "destination", "172.16.0.0/16 is allowed"),
        ("172.16.0.0/16", "10.99.0.9", "next_hop", "an address of 10.20.0.0/24"),
        ("172.16.0.0/16", "10.20.0.1", "next_hop", "which is payments-router itself"),
        ("10.20.0.0/24", "10.20.0.9", "destination", "no route is needed"),
    ],
)
def test_a_route_that_leads_nowhere_is_refused(cast: Cast, destination: str, next_hop: str, field: str, words: str) -> None:  # fmt: skip
    path = f"routers/{seeded_router(cast).uuid}/routes"
    answer = ask(cast.alice, "post", path, destination=destination, next_hop=next_hop)
    assert answer.status_code == 422 and words in answer.json()["errors"][field][0], answer.json()


def test_a_subnet_that_a_route_leads_through_is_not_detached(cast: Cast) -> None:
    router = seeded_router(cast)
    path = f"routers/{router.uuid}"
    assert (
        ask(cast.alice, "post", f"{path}/routes", destination="172.16.0.0/16", next_hop="10.20.0.9").status_code == 201
    )
    leg = router.ports.get(subnet__cidr="10.20.0.0/24")
    answer = ask(cast.alice, "delete", f"{path}/ports/{leg.pk}")
    assert "the route to 172.16.0.0/16" in answer.json()["errors"]["subnet"][0]
    ask(cast.alice, "delete", f"{path}/routes/{router.routes.get().pk}")
    assert ask(cast.alice, "delete", f"{path}/ports/{leg.pk}").status_code == 204


# ------------------------------------------------------------------------------------------------- floating addresses


def test_one_click_gives_a_vm_a_floating_address_and_one_takes_it_back(cast: Cast) -> None:
    port = vm_port(cast)
    assert port.vm is not None
    page, click = reverse("vm", args=[port.vm.uuid]), reverse("vm_floating", args=[port.vm.uuid])
    client = client_of(cast.bob)
    client.post(click)
    floating = FloatingAddress.objects.get()
    assert floating.fixed is not None and floating.fixed.port == port
    assert str(floating).encode() in client.get(page).content
    client.post(click)
    assert FloatingAddress.objects.count() == 1, "two clicks are one address"
    client.post(click, {"action": "take"})
    floating.refresh_from_db()
    assert floating.fixed is None
    client.post(click)
    assert FloatingAddress.objects.count() == 1, "one that stands for nothing is used again"


def test_a_vm_has_a_floating_address_of_each_family(cast: Cast) -> None:
    """[web-1 10.20.0.10, fd…]--router--[198.51.100.0/24, 2001:db8:51::/64]"""
    port = vm_port(cast)
    assert port.vm is not None
    click, client = reverse("vm_floating", args=[port.vm.uuid]), client_of(cast.bob)
    client.post(click)
    client.post(click, {"family": "6"})
    client.post(click, {"family": "6"})
    four, six = sorted(FloatingAddress.objects.all(), key=lambda row: row.family)
    assert (four.family, six.family, str(six)) == (4, 6, "2001:db8:51::1:0")
    assert six.fixed is not None and ":" in six.fixed.address and six.fixed.port == port
    page = client.get(reverse("vm", args=[port.vm.uuid])).content.decode()
    assert str(four) in page and str(six) in page and page.count("Take back") >= 2
    stands = {str(one.address): str(one.fixed) for one in load_snapshot().routers[0].floating}
    assert stands[str(six)] == six.fixed.address
    client.post(click, {"action": "take", "family": "6"})
    four.refresh_from_db(), six.refresh_from_db()
    assert four.fixed is not None and six.fixed is None, "the other family's stays"


def test_a_floating_address_stands_for_an_address_of_its_own_family(cast: Cast) -> None:
    port = vm_port(cast)
    port.addresses.filter(address__contains=":").delete()
    made = ask(cast.bob, "post", "floating-addresses", external="internet", family=6)
    assert made.status_code == 201 and made.json()["address"] == "2001:db8:51::1:0"
    refused = ask(cast.bob, "patch", f"floating-addresses/{made.json()['uuid']}", port=str(port.uuid))
    assert refused.status_code == 422 and "has no IPv6 address yet" in str(refused.json()["errors"]["port"])
    for wanted, words in (
        ("2001:db8:51::1", "2001:db8:51::1:0 to 2001:db8:51::1:ffff are allowed"),
        ("2001:DB8:51:0:0:0:1:0", "it is in use"),
        ("2001:db8:52::1:5", "are allowed on internet"),
    ):
        said = ask(cast.bob, "post", "floating-addresses", external="internet", address=wanted)
        assert said.status_code == 422 and words in str(said.json()["errors"]["address"]), said.json()
    ExternalNetwork.objects.update(cidr6="")
    none = ask(cast.bob, "post", "floating-addresses", external="internet", family=6)
    assert none.status_code == 422 and "internet has no IPv6" in str(none.json()["errors"]["address"])


def test_the_click_says_what_is_missing(cast: Cast) -> None:
    port = vm_port(cast)
    assert port.vm is not None
    assert ask(cast.alice, "patch", f"routers/{seeded_router(cast).uuid}", external=None).status_code == 200
    answer = client_of(cast.alice).post(reverse("vm_floating", args=[port.vm.uuid]), follow=True)
    assert b"leads to no external network" in answer.content


def test_an_external_address_is_given_once(cast: Cast) -> None:
    external = ExternalNetwork.objects.get()
    external.pool_end = "198.51.100.13"
    external.save()
    taken = {row.external_address.address for row in Router.objects.all() if row.external_address}
    given = [ask(cast.alice, "post", "floating-addresses", external="internet") for _ in range(3)]
    addresses = [answer.json()["address"] for answer in given[:2]]
    assert taken == {"198.51.100.10", "198.51.100.11"} and addresses == ["198.51.100.12", "198.51.100.13"]
    assert given[2].status_code == 422 and "all 4 addresses of internet" in given[2].json()["errors"]["address"][0]
    wanted = ask(cast.alice, "post", "floating-addresses", external="internet", address="198.51.100.10")
    assert "it is in use" in wanted.json()["errors"]["address"][0]


def test_a_router_whose_floating_address_is_in_use_stays(cast: Cast) -> None:
    port, router = vm_port(cast), seeded_router(cast)
    assert ask(cast.alice, "post", "floating-addresses", port=str(port.uuid)).status_code == 201
    assert "leads through" in str(ask(cast.alice, "delete", f"routers/{router.uuid}").json()["errors"])
    assert "take it from its VM first" in str(ask(cast.alice, "patch", f"routers/{router.uuid}", external=None).json())
    floating = FloatingAddress.objects.get()
    assert ask(cast.alice, "patch", f"floating-addresses/{floating.uuid}", port=None).status_code == 200
    assert ask(cast.alice, "delete", f"floating-addresses/{floating.uuid}").status_code == 204
    assert ask(cast.alice, "delete", f"routers/{router.uuid}").status_code == 204


def test_an_external_network_in_use_stays_and_two_may_not_share(cast: Cast) -> None:
    external = ExternalNetwork.objects.get()
    answer = client_of(cast.olga).post(reverse("external_delete", args=[external.uuid]))
    assert answer.status_code == 422 and b"router payments-router of Payments leads to internet" in answer.content
    twin = {"name": "twin", "cidr": "198.51.100.128/25", "vid": "5000"}
    answer = client_of(cast.olga).post(reverse("external_networks"), twin)
    assert answer.status_code == 422 and set(answer.context["errors"]) == {"cidr", "vid"}
    assert client_of(cast.olga).post(reverse("external_networks"), {"name": "dmz", "cidr": "203.0.113.0/24", "vid": "100"}).status_code == 302  # fmt: skip


# ------------------------------------------------------------------------------------------------ intent and gateways


def test_rows_become_intent_that_compiles(cast: Cast) -> None:
    host("hv1", 11)
    host("hv2", 12)
    reassign_gateways()
    port, back = vm_port(cast), made_network(cast)
    create_router(cast.payments, RouterSpec("second", (back.subnets.get(),)))
    ask(cast.alice, "post", "floating-addresses", port=str(port.uuid))
    snapshot = load_snapshot()
    assert [router.name for router in snapshot.routers] == ["payments-router", "search-router", "second"]
    first = snapshot.routers[0]
    assert first.gateway_host in ("hv1", "hv2") and len(first.floating) == 1
    assert first.floating[0].fixed in [
        address for one in snapshot.ports if one.id == port.id for address in one.addresses
    ]
    for name in ("hv1", "hv2"):
        assert compile_host(snapshot, HostView(HostName(name), (), 1, 9))


def candidates(**errors: str) -> list[Candidate]:
    return [Candidate(number, name, True, error, NOW - timedelta(minutes=1)) for number, (name, error) in enumerate(errors.items(), 1)]  # fmt: skip


def test_a_router_stays_on_its_host_until_that_is_lost() -> None:
    whole = candidates(hv1="", hv2="", hv3="")
    for current in (1, 2, 3):
        assert choose_gateway("r", current, whole, NOW) == current
    assert choose_gateway("r", 2, candidates(hv1="", hv2="gone", hv3=""), NOW) in (1, 3)
    just_now = [Candidate(2, "hv2", True, "gone", NOW - timedelta(seconds=2)), *candidates(hv1="")]
    assert choose_gateway("r", 2, just_now, NOW) == 2, "a switch that is just restarted keeps its routers"
    assert choose_gateway("r", 2, candidates(hv1="gone"), NOW) is None


def test_routers_spread_and_a_lost_hosts_routers_spread_over_the_rest() -> None:
    names = [f"router-{number}" for number in range(300)]
    before = {name: choose_gateway(name, None, candidates(hv1="", hv2="", hv3=""), NOW) for name in names}
    assert all(70 < list(before.values()).count(number) < 130 for number in (1, 2, 3))
    after = {name: choose_gateway(name, None, candidates(hv1="", hv2="gone", hv3=""), NOW) for name in names}
    assert {name for name in names if before[name] != after[name]} == {name for name in names if before[name] == 2}
    moved = [after[name] for name in names if before[name] == 2]
    assert 25 < moved.count(1) < len(moved) - 25


def test_routers_move_away_from_a_disabled_host_and_not_back(cast: Cast) -> None:
    first, second = host("hv1", 11), host("hv2", 12)
    reassign_gateways()
    router = seeded_router(cast)
    other = second if router.gateway_host == first else first
    Host.objects.filter(pk=router.gateway_host_id).update(enabled=False)
    assert router in reassign_gateways()
    router.refresh_from_db()
    assert router.gateway_host == other
    Host.objects.update(enabled=True)
    assert reassign_gateways() == []


def test_a_host_that_is_cut_off_for_ten_seconds_keeps_its_routers(cast: Cast) -> None:
    home = host("hv1", 11)
    host("hv2", 12)
    reassign_gateways()
    Router.objects.update(gateway_host=home)
    Host.objects.update(ovs_error="", ovs_seen_at=timezone.now() - timedelta(seconds=20))  # last looked at long ago
    _lose_host("hv1", "OpenFlow channel: no answer to echo")
    assert reassign_gateways() == []
    seen_at = Host.objects.get(pk=home.pk).ovs_seen_at
    _lose_host("hv1", "the database did not answer")
    assert Host.objects.get(pk=home.pk).ovs_seen_at == seen_at, "how long it is away counts from the first word of it"
    Host.objects.filter(pk=home.pk).update(ovs_seen_at=timezone.now() - LOST_AFTER - timedelta(seconds=1))
    assert seeded_router(cast) in reassign_gateways()
