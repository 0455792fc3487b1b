"""Provider networks through the pages and the API: operators make and share them, teams use them and see their own alone."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from portal.accounts.models import AuditRow
from portal.compute.requests import VMSpec, create_vm
from portal.networks.external_requests import ExternalSpec, create_external
from portal.networks.intent import load_snapshot
from portal.networks.models import Network, Port
from portal.networks.network_requests import NetworkSpec, SubnetSpec, create_network
from portal.networks.owners import usable_networks
from portal.networks.problems import NetworkProblem
from portal.networks.router_requests import attach_subnet
from portal.topology.inventory import Scope, load_inventory
from portal.traces.requests import find_target, ports_of
from tests.cast import Cast
from tests.portal.clients import client_of, made_host, made_provider

ASKED = {"name": "office", "kind": "vlan", "vid": 200, "cidr": "10.60.0.0/24", "teams": ["payments", "search"]}


def ask(user: object, method: str, path: str, **body: Any) -> Any:
    return getattr(client_of(user), method)(f"/api/v1/{path}", body, content_type="application/json")


def vm_of(cast: Cast, network: Network, name: str, *, danas: bool = False) -> Port:
    team, user = (cast.search, cast.dana) if danas else (cast.payments, cast.alice)
    return create_vm(team, user, VMSpec(name, cast.image, cast.flavor, network, name)).vm.ports.get()


def test_an_operator_makes_one_and_its_teams_get_addresses_from_it(cast: Cast) -> None:
    said = ask(cast.olga, "post", "provider-networks", **ASKED)
    assert said.status_code == 201, said.content
    body = said.json()
    assert (body["kind"], body["vid"], body["team"], body["shared_with"]) == ("vlan", 200, "payments", ["search"])
    for user in (cast.bob, cast.dana):
        listed = ask(user, "get", "networks").json()["items"]
        assert [one["vid"] for one in listed if one["name"] == "office"] == [200]
    network = Network.objects.get(name="office")
    mine, danas = vm_of(cast, network, "web-1"), vm_of(cast, network, "dana-1", danas=True)
    assert mine.addresses.get().address != danas.addresses.get().address
    assert {group.team for group in danas.groups.all()} == {cast.search}
    intent = next(one for one in load_snapshot().networks if one.name == "office")
    assert (intent.kind, intent.vid, intent.is_provider, intent.domain) == ("vlan", 200, True, "")


def test_the_form_makes_a_flat_one_and_it_is_audited(cast: Cast) -> None:
    page = client_of(cast.olga)
    cast.external.routers.update(external=None, external_address=None)
    cast.external.taken.all().delete()
    cast.external.delete()
    form = {"name": "lab", "kind": "flat", "vid": "", "cidr": "10.61.0.0/24", "teams": ["search"]}
    assert page.post(reverse("provider_networks"), form).status_code == 302
    row = Network.objects.get(name="lab")
    assert (row.kind, row.vid, row.team, row.carried_by) == ("flat", None, cast.search, "untagged on br-ex")
    assert page.post(reverse("provider_share", args=[row.uuid]), {"shared": ["payments"]}).status_code == 302
    assert list(row.shared_with.all()) == [cast.payments]
    assert "untagged on br-ex" in page.get(reverse("provider_networks")).content.decode()
    assert page.post(reverse("provider_delete", args=[row.uuid])).status_code == 302
    actions = list(AuditRow.objects.filter(object_name="lab").order_by("id").values_list("action", "actor"))
    assert actions == [("provider.create", "olga"), ("provider.share", "olga"), ("provider.delete", "olga")]


def test_everything_that_is_wrong_is_told_at_once_with_its_field(cast: Cast) -> None:
    made_provider(cast)
    wrong = {
        "name": "-x", "kind": "vxlan", "vid": 5000, "cidr": "10.60.0.5/24", "gateway": "nobody", "mtu": 9000,
        "teams": ["none", "search"],
    }  # fmt: skip
    said = ask(cast.olga, "post", "provider-networks", **wrong)
    assert said.status_code == 422
    errors = said.json()["errors"]
    assert set(errors) == {"name", "kind", "vid", "cidr", "gateway", "mtu", "teams"}, errors
    assert "1 to 4094 are allowed" in errors["vid"][0] and "vlan and flat are allowed" in errors["kind"][0]
    assert "10.60.0.0/24 is allowed" in errors["cidr"][0] and "there is no team" in errors["teams"][0]
    assert Network.objects.filter(kind="vlan").count() == 1


@pytest.mark.parametrize(
    ("changed", "field", "words"),
    [
        ({"vid": 200}, "vid", "VLAN 200 is office's already"),
        ({"vid": 7}, "vid", "VLAN 7 is dmz's already"),
        ({"vid": None}, "vid", "a VLAN network needs one of 1 to 4094"),
        ({"vid": 4095}, "vid", "4095 was given"),
        ({"kind": "flat", "vid": None}, "vid", "the untagged network is internet's already"),
        ({"kind": "flat", "vid": 300}, "vid", "a flat network is untagged"),
        ({"name": "payments-net"}, "name", "Payments has a network payments-net already"),
        ({"teams": []}, "teams", "name the team that it is for"),
        ({"teams": ["payments\0"]}, "teams", "there is no team of that name"),
        ({"mtu": 1501}, "mtu", "576 to 1500 fit the hosts' underlay"),
    ],
)
def test_a_wrong_field_is_named(cast: Cast, changed: dict[str, Any], field: str, words: str) -> None:
    made_provider(cast)
    create_external(ExternalSpec("dmz", "203.0.113.0/25", vid=7))
    made_host()
    said = ask(cast.olga, "post", "provider-networks", **{**ASKED, "name": "other", "vid": 201, **changed})
    assert said.status_code == 422 and words in " ".join(said.json()["errors"][field]), said.content


def test_an_external_network_cannot_take_a_provider_networks_vlan(cast: Cast) -> None:
    made_provider(cast)
    said = ask(cast.olga, "post", "external-networks", name="dmz", cidr="203.0.113.0/25", vid=200)
    assert said.status_code == 422 and "VLAN 200 is office's already" in said.json()["errors"]["vid"][0]


def test_only_operators_change_it(cast: Cast) -> None:
    row = made_provider(cast)
    subnet = row.subnets.get()
    alice = client_of(cast.alice)
    assert alice.get(reverse("network", args=[row.uuid])).status_code == 200
    assert alice.post(reverse("network", args=[row.uuid]), {"cidr": "10.61.0.0/24"}).status_code == 403
    assert alice.post(reverse("network_delete", args=[row.uuid])).status_code == 403
    assert alice.post(reverse("subnet_delete", args=[row.uuid, subnet.pk])).status_code == 403
    assert ask(cast.alice, "delete", f"networks/{row.uuid}").status_code == 404
    assert ask(cast.alice, "post", f"networks/{row.uuid}/subnets", cidr="10.61.0.0/24").status_code == 404
    olga = client_of(cast.olga)
    assert olga.post(reverse("network", args=[row.uuid]), {"cidr": "2001:db8:60::/64"}).status_code == 302
    assert row.subnets.count() == 2


def test_no_router_of_ours_is_attached_to_it(cast: Cast) -> None:
    subnet = made_provider(cast).subnets.get()
    with pytest.raises(NetworkProblem, match=r"has its router outside, at 10\.60\.0\.1"):
        attach_subnet(cast.router, subnet)


def test_it_is_not_deleted_nor_unshared_while_a_team_has_a_vm_on_it(cast: Cast) -> None:
    row = made_provider(cast, shared=True)
    vm_of(cast, row, "dana-1", danas=True)
    said = ask(cast.olga, "patch", f"provider-networks/{row.uuid}", shared_with=[])
    assert said.status_code == 422 and "Search has dana-1 on office" in said.json()["errors"]["teams"][0]
    assert ask(cast.olga, "delete", f"provider-networks/{row.uuid}").status_code == 422
    assert cast.search in row.shared_with.all()


def test_a_team_sees_its_own_ports_of_a_shared_network_alone(cast: Cast) -> None:
    row = made_provider(cast, shared=True)
    mine, danas = vm_of(cast, row, "web-1"), vm_of(cast, row, "dana-1", danas=True)
    for user, own, other in ((cast.alice, "web-1", "dana-1"), (cast.dana, "dana-1", "web-1")):
        for url in (reverse("network", args=[row.uuid]), reverse("networks")):
            page = client_of(user).get(url).content.decode()
            assert own in page and other not in page, url
    assert danas not in ports_of(cast.payments) and mine in ports_of(cast.payments)
    assert find_target(cast.payments, mine, danas.addresses.get().address)[0] is None
    assert {guest.name for guest in load_inventory(Scope(cast.search)).guests} == {"dana-1"}
    groups = reverse("port_groups", args=[danas.uuid])
    assert client_of(cast.alice).post(groups, {"groups_shown": "1"}).status_code == 404
    assert client_of(cast.dana).post(groups, {"groups_shown": "1"}).status_code == 302
    assert ask(cast.alice, "put", f"ports/{danas.uuid}/groups", groups=[]).status_code == 404
    seen = client_of(cast.olga).get(reverse("network", args=[row.uuid])).content.decode()
    assert "web-1" in seen and "dana-1" in seen


def test_a_network_that_is_not_shared_with_a_team_does_not_exist_for_it(cast: Cast) -> None:
    row = made_provider(cast)
    assert client_of(cast.dana).get(reverse("network", args=[row.uuid])).status_code == 404
    assert ask(cast.dana, "get", f"networks/{row.uuid}").status_code == 404
    said = ask(cast.dana, "post", "vms", name="x", image="tiny", flavor="nano", network="office")
    assert said.status_code == 422 and "no network of that name" in said.json()["errors"]["network"][0]
    assert row not in usable_networks(cast.search)


def test_a_team_makes_no_network_of_a_shared_ones_name(cast: Cast) -> None:
    made_provider(cast, shared=True)
    with pytest.raises(NetworkProblem, match="Payments shares a network office already"):
        create_network(cast.search, NetworkSpec("office", SubnetSpec("10.99.0.0/24")))


def test_a_team_chooses_geneve_for_an_overlay_and_no_segment_of_the_wire(cast: Cast) -> None:
    made_host()
    said = ask(cast.bob, "post", "networks", name="gen", cidr="10.70.0.0/24", kind="geneve")
    assert (said.status_code, said.json()["kind"], said.json()["mtu"]) == (201, "geneve", 1450)
    assert load_snapshot().needs_geneve
    wrong = ask(cast.bob, "post", "networks", name="x", cidr="10.71.0.0/24", kind="vlan")
    assert wrong.status_code == 422 and "vxlan and geneve are allowed" in wrong.json()["errors"]["kind"][0]
    form = {"name": "gen-2", "cidr": "10.72.0.0/24", "kind": "geneve"}
    assert client_of(cast.bob).post(reverse("network_create"), form).status_code == 302
    assert Network.objects.get(name="gen-2").carried_by.startswith("Geneve, VNI ")
