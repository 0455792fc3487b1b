"""The map at an instant that is over: switches out of their history, with the guests that were plugged then."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.urls import reverse
from django.utils import timezone

from portal.networks.models import Port
from portal.topology.models import HostSeen
from portal.topology.topology_objects import switch_objects
from portal.topology.topology_past import domains_of, namespaces_of, neighbours_of, switch_of
from portal.topology.topology_rows import objects_at
from sdn.model.switch import BridgeSeen, InterfaceSeen, PortSeen, SwitchSeen, switch_to_json
from tests.cast import Cast
from tests.portal.clients import client_of, made_host, made_vm

GONE = "7a0c6a0e-0000-4000-8000-00000000dead"
TUNNEL = PortSeen("vxlan0", (InterfaceSeen("vxlan0", "vxlan", 1, "up", remote_ip="flow"),))
BOND = PortSeen(
    "bond0", (InterfaceSeen("eth0", "", 2, "up"), InterfaceSeen("eth1", "", 3, "down")), bond_mode="balance-slb"
)


def tap(name: str, ofport: int, iface_id: str, vm_id: str) -> PortSeen:
    return PortSeen(name, (InterfaceSeen(name, "", ofport, "up", driver="tun", iface_id=iface_id, vm_id=vm_id),))


def switch(*ports: PortSeen) -> SwitchSeen:
    return SwitchSeen("3.1.0", (BridgeSeen("br-ex", "netdev", "", "none", (BOND,)), BridgeSeen("br-int", "netdev", "secure", "connected", (TUNNEL, *ports))))  # fmt: skip


@pytest.fixture
def port(cast: Cast) -> Port:
    """web-1 is on hv2 now; a minute ago it was on hv1, beside a VM that no row has any more."""
    one, two = made_host(), made_host("hv2")
    port: Port = made_vm(cast, "web-1").ports.get()
    assert port.vm is not None
    port.host, port.ofport, port.tap = two, 9, "vnet9"
    port.save()
    port.vm.host = two
    port.vm.save()
    now, uuid, vm = timezone.now(), str(port.uuid), str(port.vm.uuid)
    long_ago = now - timedelta(hours=1)
    here = HostSeen.objects.create(host=one, switch=switch_to_json(switch()), known_from=long_ago)
    there = HostSeen.objects.create(
        host=two, switch=switch_to_json(switch(tap("vnet9", 9, uuid, vm))), known_from=long_ago
    )
    at = now - timedelta(seconds=30)
    was = {"kind": "tap", "link": "up"}
    here.changes.create(at=at, object="port br-int/vnet7", before={**was, "ofport": 7, "iface_id": uuid, "vm_id": vm}, vm=vm, guest="VM web-1")  # fmt: skip
    here.changes.create(at=at, object="port br-int/vnet8", before={**was, "ofport": 8, "iface_id": "gone", "vm_id": GONE}, vm=GONE, guest="VM old-1")  # fmt: skip
    there.changes.create(at=at, object="port br-int/vnet9", after={**was, "ofport": 9, "iface_id": uuid, "vm_id": vm}, vm=vm, guest="VM web-1")  # fmt: skip
    return port


def asked(cast: Cast, when: Any, status: int = 200, who: str = "olga") -> str:
    words = when if isinstance(when, str) else when.isoformat()
    answer = client_of(getattr(cast, who)).get(f"{reverse('topology')}?{urlencode({'when': words})}")
    assert answer.status_code == status, answer.content.decode()[:300]
    return answer.content.decode()


def island(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        text.partition('<script id="topology-data" type="application/json">')[2].partition("</script>")[0]
    )
    return found


def test_guests_are_where_they_were_plugged_and_the_gone_ones_are_named(cast: Cast, port: Port) -> None:
    """then: [web-1]--vnet7--[hv1]--vnet8--[old-1]      now: [web-1]--vnet9--[hv2]"""
    text = asked(cast, timezone.now() - timedelta(minutes=1))
    then = island(text)
    assert "As it was at" in text and "Back to live" in text and then["topic"] == "" and then["past"]
    assert port.vm is not None
    web = then["state"][f"vm:{port.vm.uuid}"]
    assert (web["host"], web["nics"][0]["tap"], web["nics"][0]["ofport"]) == ("hv1", "vnet7", 7)
    old = then["state"][f"vm:{GONE}"]
    assert (old["name"], old["host"], old["nics"][0]["tap"]) == ("old-1", "hv1", "vnet8")
    assert f"/vms/{GONE}" not in text, "it has no page any more"
    now = island(asked(cast, ""))
    assert (
        now["topic"] == "topology"
        and now["state"][f"vm:{port.vm.uuid}"]["host"] == "hv2"
        and f"vm:{GONE}" not in now["state"]
    )
    assert len(now["kept"]) == 1, "the three changes were at one instant"
    assert island(asked(cast, now["kept"][0]))["state"][f"vm:{port.vm.uuid}"]["host"] == "hv2"


def test_a_trouble_of_now_is_none_of_then_and_a_gap_is_said(cast: Cast, port: Port) -> None:
    seen = HostSeen.objects.get(host__name="hv1")
    seen.host.ovs_error = "away since a second"
    seen.host.save()
    at = timezone.now() - timedelta(minutes=10)
    text = asked(cast, at)
    assert "away since a second" not in text and island(text)["state"]["host:hv1"]["reached"] is True
    seen.changes.create(at=at - timedelta(minutes=1), until=at + timedelta(minutes=1), kind="gap", why="away")
    text = asked(cast, at)
    assert "hv1: nobody could tell just then" in text and island(text)["state"]["host:hv1"]["reached"] is False


def test_what_is_not_kept_or_no_time_is_said_and_the_map_stays_live(cast: Cast, port: Port) -> None:
    for when, words in (
        ("2001-01-01T00:00:00Z", "not kept: the oldest kept is"),
        ("yesterday", "an ISO time is allowed"),
    ):
        text = asked(cast, when, 422)
        assert words in text and island(text)["topic"] == "topology"


def test_it_is_the_operators_alone(cast: Cast, port: Port) -> None:
    asked(cast, timezone.now(), 404, "bob")
    assert island(asked(cast, "", who="bob"))["kept"] == []


def test_objects_lead_back_to_what_they_were_made_of() -> None:
    whole = switch(
        tap("vnet7", 7, "iface", "vm"),
        PortSeen("tagged", (InterfaceSeen("tagged", "internal", 0),), tag=0, trunks=(1, 2)),
    )
    back = switch_of(switch_objects(whole))
    assert back is not None and switch_objects(back) == switch_objects(whole) and switch_of({}) is None
    assert [asdict(one)["name"] for one in back.bridges] == ["br-ex", "br-int"]
    objects = {
        "domain old": {"uuid": GONE, "state": "running"}, "namespace blue": {"process": "sleep"},
        "interface blue/eth0": {"mac": "52:54:00:00:00:01", "addresses": ["10.0.0.1/24"], "port": "veth1"},
        "neighbour eth0/tor-1/Eth1/7": {"chassis": "aa", "vlans": [5]},
    }  # fmt: skip
    assert domains_of(objects) == [{"name": "old", "uuid": GONE, "state": "running"}]
    (space,), (neighbour,) = namespaces_of(objects), neighbours_of(objects)
    assert (space.name, space.process, space.interfaces[0].addresses, space.is_cabled) == (
        "blue",
        "sleep",
        ("10.0.0.1/24",),
        True,
    )
    assert (neighbour.nic, neighbour.system, neighbour.port, neighbour.vlans) == ("eth0", "tor-1", "Eth1/7", (5,))


def test_an_instant_before_everything_has_nothing(port: Port) -> None:
    assert objects_at(HostSeen.objects.first(), timezone.now() - timedelta(days=9), ()) is None
