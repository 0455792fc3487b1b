"""The map: what is there is told to those who may know it, and to everybody else as numbers."""

from __future__ import annotations

import json

import pytest
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from portal.compute.models import VM
from portal.compute.requests import VMSpec, create_vm
from portal.hosts.models import Host
from portal.live.topics import refusal_of
from portal.live.transient import transient_snapshot
from portal.networks.models import Network, Port
from portal.networks.router_models import Router, RouterPort
from portal.topology.inventory import Scope, load_inventory
from portal.topology.models import HostSeen
from portal.topology.neighbours import lldp_to_json
from portal.topology.serialize import inventory_as_state
from sdn.linux.lldp import Neighbour
from sdn.linux.namespaces import Namespace, NamespacesSeen, SpaceInterface
from sdn.model.switch import BridgeSeen, InterfaceSeen, PortSeen, SwitchSeen, switch_to_json
from sdn.transport.lldpd import LldpSeen
from sdn.transport.port_counters import PortCounters, rates_between
from tasks.foreign_domains import record_foreign_domains
from tasks.hypervisor.driver import DomainState
from tasks.inventory import record_switch
from tasks.namespaces import record_namespaces
from tasks.neighbours import record_lldp
from tasks.topology_watch import MapTopic, changes_between, ports_to_name, traffic_data
from tests.cast import Cast

SECRETS = (
    "pay-web",
    "vnetpay",
    "pay-net",
    "payments",
    "Payments",
    "br-pay",
    "pay-foreign",
    "pay-leaf",
    "uplink-pay",
    "pay-space",
    "52:54:00:aa",
)
DANAS = ("search-1", "vnet9")
PAY_SPACE = Namespace(
    "pay-space", "dnsmasq",
    (
        SpaceInterface("e<th>0", "veth", "02:00:00:00:00:77", ("192.0.2.77/24",), "UP", port="pay-stray"),
        SpaceInterface("eth1", "veth", state="UP", port="vnetpay1"),
        SpaceInterface("eth2", "veth", state="DOWN", port="eth1"),
    ),
)  # fmt: skip
LEAF = Neighbour("eth1", "LLDP", "pay-leaf", "02:00:00:00:0a:01", "Gi1/0/3", "to hv1", 200, (200,), ("198.51.100.7",))


def client_of(user: object) -> Client:
    client = Client()
    client.force_login(user)  # type: ignore[arg-type]
    return client


def tap(name: str, port: Port | None = None, vm_id: str = "") -> PortSeen:
    seen = InterfaceSeen(name, "", 7, "up", driver="tun", iface_id=str(port.uuid) if port else "", vm_id=vm_id)
    return PortSeen(name, (seen,))


def place(vm: VM, host: Host, tap_name: str) -> Port:
    VM.objects.filter(pk=vm.pk).update(host=host, state="running")
    port = vm.ports.get()
    port.host, port.tap, port.ofport = host, tap_name, 7
    port.save()
    return port


@pytest.fixture
def world(cast: Cast) -> Cast:
    """[pay-web, a foreign domain]--[br-int@hv1]  [search-1]--[br-int@hv1]; a foreign bridge br-pay beside."""
    host = Host.objects.create(
        name="hv1", libvirt_uri="test:///default", ovsdb="unix:/x", ovs_rundir="/nowhere", controller_target="unix:/y",
        disks_dir="/z", underlay_ip="192.0.2.11", ovs_error="no socket /secret/payments",
    )  # fmt: skip
    web = create_vm(cast.payments, cast.alice, VMSpec("pay-web", cast.image, cast.flavor, cast.network, "k1")).vm
    search_net = Network.objects.get(name="search-net")
    other = create_vm(cast.search, cast.dana, VMSpec("search-1", cast.image, cast.flavor, search_net, "k2")).vm
    web_port, other_port = place(web, host, "vnetpay1"), place(other, host, "vnet9")
    foreign_tap = PortSeen("vnetpay2", (InterfaceSeen("vnetpay2", "", 9, "up", driver="tun", vm_id="uuid-f"),))
    tunnel = PortSeen("vxlan0", (InterfaceSeen("vxlan0", "vxlan", 1, "up", remote_ip="flow"),))
    stray = PortSeen("pay-stray", (InterfaceSeen("pay-stray", "internal", 4, "up"),))
    cable = PortSeen("to-pay", (InterfaceSeen("to-pay", "patch", 5, "up", peer="pay-end"),))
    uplink = PortSeen("eth1", (InterfaceSeen("eth1", "", 1, "up", mtu=1600, driver="veth"),))
    foreign_nic = PortSeen("uplink-pay", (InterfaceSeen("uplink-pay", "", 1, "up"),))
    seen = SwitchSeen(
        "3.1.0",
        (
            BridgeSeen("br-ex", "netdev", "", "none", (uplink,)),
            BridgeSeen(
                "br-int", "netdev", "secure", "connected",
                (stray, cable, tunnel, tap("vnetpay1", web_port), tap("vnet9", other_port), foreign_tap),
            ),
            BridgeSeen("br-pay", "netdev", "", "none", (foreign_nic,)),
        ),
    )  # fmt: skip
    row = HostSeen.objects.create(host=host, switch=switch_to_json(seen))
    row.foreign_domains = [{"name": "pay-foreign", "uuid": "uuid-f", "state": "running"}]
    row.lldp = lldp_to_json(LldpSeen("answers", "", (LEAF,)))
    row.save()
    return cast


def test_a_team_sees_its_own_and_numbers_for_the_rest(world: Cast) -> None:
    state = inventory_as_state(load_inventory(Scope(world.search)))
    host = state["host:hv1"]
    assert [bridge["name"] for bridge in host["bridges"]] == ["br-int", "br-ex"]
    assert [port["name"] for port in host["bridges"][0]["ports"]] == ["vxlan0"]
    assert host["others"] == {"guests": 2, "ports": 5, "bridges": 1}
    guests = [data for key, data in state.items() if key.startswith("vm:")]
    assert [(guest["name"], guest["nics"][0]["tap"]) for guest in guests] == [("search-1", "vnet9")]


def test_an_operator_sees_all_of_it_and_what_is_foreign(world: Cast) -> None:
    state = inventory_as_state(load_inventory(Scope(None)))
    bridges = {bridge["name"]: bridge for bridge in state["host:hv1"]["bridges"]}
    assert {name: bridge["foreign"] for name, bridge in bridges.items()} == {
        "br-int": False, "br-ex": False, "br-pay": True,
    }  # fmt: skip
    assert {port["name"]: port["foreign"] for port in bridges["br-int"]["ports"]} == {
        "vxlan0": False,
        "to-pay": False,
        "pay-stray": True,
    }
    assert state["foreign:hv1/pay-foreign"]["taps"] == ["vnetpay2"]
    assert state["host:hv1"]["others"] == {"guests": 0, "ports": 0, "bridges": 0}
    assert state["host:hv1"]["trouble"]


def test_neighbours_by_lldp_are_operators_to_see_and_none_is_said_with_its_reason(world: Cast) -> None:
    host = inventory_as_state(load_inventory(Scope(None)))["host:hv1"]
    assert (host["lldp"], [one["system"] for one in host["neighbours"]]) == ("answers", ["pay-leaf"])
    told = inventory_as_state(load_inventory(Scope(world.payments)))["host:hv1"]
    assert (told["lldp"], told["lldp_problem"], told["neighbours"]) == ("", "", [])
    client = client_of(world.olga)
    page = client.get(reverse("topology")).content.decode()
    assert "pay-leaf" in page and "Gi1/0/3" in page and "200 untagged" in page and "198.51.100.7" in page
    reasons = {
        LldpSeen("answers"): "has heard no neighbour",
        LldpSeen("absent"): "No lldpd was found beside its Open vSwitch",
        LldpSeen("unread", "Permission denied <b>"): "Its lldpd could not be asked: Permission denied &lt;b&gt;",
    }
    for seen, words in reasons.items():
        record_lldp(Host.objects.get(name="hv1").pk, seen)
        assert words in client.get(reverse("topology")).content.decode()
    HostSeen.objects.update(lldp={"another": "Hopsight's"})
    assert client.get("/api/v1/hosts/hv1").json()["lldp"] == {"state": "", "problem": "", "neighbours": []}


def test_what_lldpd_tells_again_is_no_change_of_the_map(world: Cast) -> None:
    host, before = Host.objects.get(name="hv1"), HostSeen.objects.get().changed_at
    record_lldp(host.pk, LldpSeen("answers", "", (LEAF,)))
    assert HostSeen.objects.get().changed_at == before
    record_lldp(host.pk, LldpSeen("answers"))
    assert HostSeen.objects.get().changed_at > before
    record_lldp(0, LldpSeen("answers"))


def test_namespaces_are_operators_to_see_and_stand_with_the_ports_that_are_no_guests(world: Cast) -> None:
    host = Host.objects.get(name="hv1")
    client = client_of(world.olga)
    assert client.get("/api/v1/hosts/hv1").json()["namespaces"] == {"state": "", "problem": "", "namespaces": []}
    record_namespaces(host.pk, NamespacesSeen("read", "", (PAY_SPACE,)))
    at = HostSeen.objects.get().changed_at
    record_namespaces(host.pk, NamespacesSeen("read", "", (PAY_SPACE,)))
    assert HostSeen.objects.get().changed_at == at, "what is read again is no change"
    state = inventory_as_state(load_inventory(Scope(None)))
    space = state["namespace:hv1/pay-space"]
    assert [one["port"] for one in space["interfaces"]] == ["pay-stray", "vnetpay1", "eth1"]
    assert space["taps"] == ["pay-stray"], "vnetpay1 is a guest's, and eth1 is in another bridge"
    assert state == json.loads(json.dumps(state)) and state["host:hv1"]["netns"] == "read"
    theirs = inventory_as_state(load_inventory(Scope(world.payments)))
    assert not [key for key in theirs if key.startswith("namespace:")] and theirs["host:hv1"]["netns"] == ""
    page = client.get(reverse("topology")).content.decode()
    assert 'data-table="namespaces"' in page and "namespace pay-space, e&lt;th&gt;0 192.0.2.77/24" in page
    assert "pay-space" not in client_of(world.alice).get(reverse("topology")).content.decode()
    record_namespaces(
        host.pk, NamespacesSeen("unread", "it is another machine, reached by libvirt and Open vSwitch alone")
    )
    page = client.get(reverse("topology")).content.decode()
    assert "Its namespaces could not be read: it is another machine" in page and "192.0.2.77" in page
    HostSeen.objects.update(namespaces={"another": "Hopsight's"})
    assert client.get("/api/v1/hosts/hv1").json()["namespaces"]["state"] == ""
    record_namespaces(0, NamespacesSeen("read"))


@pytest.mark.parametrize("path", ["topology", "topology_inventory"])
def test_dana_never_reads_a_name_of_payments(world: Cast, path: str) -> None:
    record_namespaces(Host.objects.get(name="hv1").pk, NamespacesSeen("read", "", (PAY_SPACE,)))
    text = client_of(world.dana).get(reverse(path)).content.decode()
    assert [secret for secret in SECRETS if secret in text] == []
    assert all(own in text for own in DANAS)


def test_no_event_names_what_is_another_teams(world: Cast, redis_server: str) -> None:
    topic = MapTopic(Scope(world.search))
    topic.look()
    counters = {name: PortCounters(10, 10, 1000, 1000, 1) for name in ("vnet9", "vnetpay1", "vnetpay2", "vxlan0")}
    rates = rates_between({name: PortCounters() for name in counters}, counters, 1.0)
    data = traffic_data(rates, topic.named["hv1"])
    assert set(data["ports"]) == {"vnet9", "vxlan0", ""}
    assert data["ports"][""] == [20, 20, 16000, 16000, 2]
    told = json.dumps([transient_snapshot("topology:search"), data])
    assert [secret for secret in SECRETS if secret in told] == []
    assert "search-1" in told


@pytest.mark.parametrize(
    ("person", "topic", "may"),
    [
        ("alice", "topology:payments", True), ("charlie", "topology:payments", True), ("dana", "topology:payments", False),
        ("olga", "topology", True), ("alice", "topology", False), ("alice", "topology:", False), ("alice", "topology:nope", False),
    ],
)  # fmt: skip
def test_a_map_is_joined_by_those_it_is_made_for(world: Cast, person: str, topic: str, may: bool) -> None:
    assert (refusal_of(getattr(world, person), topic) == "") is may


def test_snapshot_and_events_tell_the_same(world: Cast) -> None:
    before = inventory_as_state(load_inventory(Scope(None)))
    Port.objects.filter(tap="vnetpay1").update(ofport=11)
    VM.objects.filter(name="search-1").delete()
    after = inventory_as_state(load_inventory(Scope(None)))
    state: dict[str, object] = dict(before)
    for change in changes_between(before, after):
        if change.data is None:
            del state[change.object]
        else:
            state[change.object] = change.data
    assert state == after
    assert changes_between(after, after) == []


def test_the_topic_says_what_the_rows_say_after_any_change(world: Cast, redis_server: str) -> None:
    topic = MapTopic(Scope(world.payments))
    topic.writer.load()
    topic.look()
    VM.objects.filter(name="pay-web").update(state="stopped")
    topic.stamp = ()  # what a publisher's event does
    topic.look()
    assert transient_snapshot("topology:payments")["state"] == inventory_as_state(load_inventory(Scope(world.payments)))


def test_more_guests_cost_no_more_queries(world: Cast) -> None:
    client = client_of(world.olga)
    client.get(reverse("topology"))  # the first one also writes down the session
    with CaptureQueriesContext(database) as few:
        client.get(reverse("topology"))
    for number in range(5):
        spec = VMSpec(f"more-{number}", world.image, world.flavor, world.network, f"m{number}")
        create_vm(world.payments, world.alice, spec)
    with CaptureQueriesContext(database) as many:
        client.get(reverse("topology"))
    assert len(many) == len(few)


def test_a_team_is_told_where_its_ports_drops_are_and_an_operator_is_not(world: Cast) -> None:
    urls = {
        person: client_of(getattr(world, person)).get(reverse("topology")).context["island"]["urls"]["drops"]
        for person in ("bob", "olga")
    }
    assert urls == {"bob": "/api/v1/ports/{uuid}/drops", "olga": ""}


def test_a_big_map_is_told_in_sums_and_fetched_by_the_island(world: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.topology.map.MOST_IN_PAGE", 1)
    answer = client_of(world.olga).get(reverse("topology"))
    assert b"2 guests are more than a page can list" in answer.content
    assert answer.context["island"]["state"] is None
    assert "pay-web" in client_of(world.olga).get(reverse("topology_inventory")).content.decode()


def test_what_is_foreign_is_written_down_once(world: Cast) -> None:
    host = Host.objects.get(name="hv1")
    domains = {"pay-foreign": DomainState.RUNNING, VM.objects.get(name="pay-web").domain: DomainState.RUNNING}
    before = HostSeen.objects.get(host=host).changed_at
    record_foreign_domains(host, None, domains)
    assert HostSeen.objects.get(host=host).changed_at == before
    record_foreign_domains(host, None, {})
    assert HostSeen.objects.get(host=host).foreign_domains == []


def test_a_switch_is_written_only_when_it_differs(world: Cast) -> None:
    seen = SwitchSeen("3.1.0", (BridgeSeen("br-int", "netdev", "secure", "away", ()),))
    record_switch("hv1", seen)
    at = HostSeen.objects.get(host__name="hv1").changed_at
    record_switch("hv1", seen)
    record_switch("no-such-host", seen)
    assert HostSeen.objects.get(host__name="hv1").changed_at == at


def test_routers_are_their_teams_and_the_operators(world: Cast) -> None:
    subnet = world.network.subnets.order_by("id")[0]
    router = Router.objects.create(
        team=world.payments, name="pay-router", vni=5001, zone=901, external_mac="52:54:00:fe:00:01"
    )
    RouterPort.objects.filter(subnet=subnet).update(router=router)
    told = inventory_as_state(load_inventory(Scope(world.payments)))[f"router:{router.uuid}"]
    assert told["networks"] == [str(world.network.uuid)]
    assert "pay-router" in client_of(world.olga).get(reverse("topology")).content.decode()
    assert "pay-router" not in client_of(world.dana).get(reverse("topology")).content.decode()


def test_foreign_taps_are_named_for_operators_only(world: Cast) -> None:
    assert "vnetpay2" in ports_to_name(load_inventory(Scope(None)))["hv1"]
    assert ports_to_name(load_inventory(Scope(world.search)))["hv1"] == {"vnet9", "vxlan0", "eth1"}
