"""What changes on a host's switch is kept with what explains it, an instant is told from it, and gaps where nobody could tell."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from portal.accounts.audit import record as audit
from portal.hosts.models import Host
from portal.networks.models import Port, PortKind
from portal.operations.models import Operation
from portal.topology import topology_rows
from portal.topology.inventory import Scope, load_inventory
from portal.topology.models import HostSeen, TopologyChange
from portal.topology.topology_objects import diff_objects, diff_switches, domain_objects, switch_objects, undo
from portal.topology.topology_rows import KEPT, changes_after, objects_at, prune
from sdn.model.switch import BridgeSeen, InterfaceSeen, PortSeen, SwitchSeen
from tasks.foreign_domains import record_foreign_domains
from tasks.hypervisor.driver import DomainState
from tasks.inventory import note_links, record_switch
from tasks.topology_history import note_away
from tests.cast import Cast
from tests.portal.clients import client_of, made_host, made_vm

By = TopologyChange.By


def switch(*ports: PortSeen, controller: str = "connected", fail_mode: str = "secure") -> SwitchSeen:
    """br-int with these ports."""
    named = tuple(sorted(ports, key=lambda port: port.name))
    return SwitchSeen("3.1.0", (BridgeSeen("br-int", "netdev", fail_mode, controller, named),))


def port(name: str, tag: int | None = None, **interface: object) -> PortSeen:
    return PortSeen(name, (InterfaceSeen(name, interface.pop("type", ""), 1, **interface),), tag)  # type: ignore[arg-type]


TUNNEL = port("vxlan0", type="vxlan", remote_ip="flow")


@pytest.fixture
def host(cast: Cast) -> Host:
    """hv1, whose switch was just seen for the first time: br-int with its tunnel."""
    found = made_host()
    record_switch("hv1", switch(TUNNEL), is_first=True)
    return found


def rows() -> list[TopologyChange]:
    return list(TopologyChange.objects.order_by("id"))


def at_instant(at: datetime) -> dict[str, Any] | None:
    seen = HostSeen.objects.get()
    return objects_at(seen, at, changes_after([seen], at)[seen.pk])


def only() -> TopologyChange:
    (found,) = rows()
    return found


def test_a_first_look_begins_the_history_and_is_no_change(host: Host) -> None:
    seen = HostSeen.objects.get()
    assert rows() == [] and seen.known_from is not None and seen.switch_seen_at is not None
    record_switch("hv1", switch(TUNNEL))
    assert rows() == []


def test_a_port_added_by_hand_is_foreign_and_an_instant_before_has_it_not(host: Host) -> None:
    before = HostSeen.objects.get().known_from
    assert before is not None
    record_switch("hv1", switch(TUNNEL, port("byhand", tag=0)))
    record_switch("hv1", switch(TUNNEL, port("byhand", tag=7, link="up")))
    came, tagged = rows()
    assert (came.object, came.by, came.before, came.cause) == (
        "port br-int/byhand",
        By.FOREIGN,
        None,
        "not by Hopsight",
    )
    assert came.after is not None and came.after["tag"] == 0
    assert (tagged.before, tagged.after) == ({"tag": 0, "link": None}, {"tag": 7, "link": "up"})
    told = [at_instant(at) for at in (before, came.at, tagged.at)]
    assert all(objects is not None for objects in told)
    assert [(objects or {}).get("port br-int/byhand", {}).get("tag") for objects in told] == [None, 0, 7]
    assert "link" not in (told[1] or {})["port br-int/byhand"]
    record_switch("hv1", switch(TUNNEL, port("byhand", tag=7)))
    assert rows()[-1].cause == "not by Hopsight: the switch tells it"


def test_an_instant_as_the_api_writes_it_is_of_the_change_that_it_names(cast: Cast, host: Host) -> None:
    record_switch("hv1", switch(TUNNEL, port("byhand")))
    client = client_of(cast.olga)
    at = client.get("/api/v1/topology/history").json()["items"][0]["at"]
    told = client.get("/api/v1/topology/diff", {"from": at, "to": at}).json()
    assert datetime.fromisoformat(at) == only().at and told["lines"] == []
    later = client.get("/api/v1/topology/diff", {"from": at}).json()
    assert later["lines"] == [], "the port was there at the instant of its change"


def test_a_tap_that_comes_during_its_vms_operation_is_that_operations(cast: Cast, host: Host) -> None:
    vm = made_vm(cast)
    operation = Operation.objects.get(object_uuid=vm.uuid)
    Operation.objects.filter(pk=operation.pk).update(started_at=timezone.now())
    iface = str(vm.ports.get().uuid)
    record_switch("hv1", switch(TUNNEL, port("vnet7", iface_id=iface, vm_id=str(vm.uuid))))
    record_switch("hv1", switch(TUNNEL, port("vnet7", iface_id=iface, vm_id=str(vm.uuid), link="up")))
    came, up = rows()
    for row in (came, up):
        assert (row.by, row.operation, row.vm, row.guest) == (By.OPERATION, operation.uuid, vm.uuid, "VM web-1")
        assert row.cause.startswith("alice: ") and row.cause.endswith(" web-1")
    assert up.after == {"link": "up"}


def test_a_ports_row_knows_its_taps_link_as_the_switch_told_it_last(cast: Cast, host: Host) -> None:
    row = made_vm(cast).ports.get()
    Port.objects.filter(pk=row.pk).update(
        host=host, tap="vnet7", device_chain={"tap": "vnet7", "tap_link": "up", "tap_mtu": 1450, "queues": 2}
    )
    tap = {"iface_id": str(row.uuid), "mtu": 1450}

    def told(link: str, **more: Any) -> dict[str, Any]:
        note_links("hv1", switch(port("uplink", link="up"), port("vnet7", link=link, **{**tap, **more})))
        chain: dict[str, Any] = Port.objects.get(pk=row.pk).device_chain
        return chain

    with CaptureQueriesContext(connection) as caught:
        assert told("up")["tap_link"] == "up"
    assert len(caught) == 2, "one for what is known, one of the test's own"
    down = told("down")
    assert (down["tap_link"], down["tap_mtu"], down["queues"]) == ("down", 1450, 2) and down["seen_at"]
    assert told("up", mtu=1400)["tap_mtu"] == 1400
    assert told("")["tap_link"] == "up", "what the switch does not tell is as it was"
    guest = next(one for one in load_inventory(Scope(None)).guests if one.name == "web-1")
    assert guest.nics[0].link == "up", "and the map has it"
    Port.objects.filter(pk=row.pk).update(device_chain={"tap": "vnet9", "bridge": "br-lan"})
    assert told("down") == {"tap": "vnet9", "bridge": "br-lan"}, (
        "its tap is in a Linux bridge, and this is a cable to it"
    )


def test_a_tap_that_goes_when_nothing_was_asked_of_its_vm_is_not_by_hopsight(cast: Cast, host: Host) -> None:
    vm = made_vm(cast)
    tap = port("vnet7", iface_id=str(vm.ports.get().uuid), vm_id=str(vm.uuid))
    record_switch("hv1", switch(TUNNEL, tap))
    long_ago = timezone.now() - timedelta(hours=1)
    Operation.objects.update(started_at=long_ago, finished_at=long_ago)
    TopologyChange.objects.all().delete()
    HostSeen.objects.update(switch_seen_at=timezone.now() + timedelta(minutes=1))  # nobody did anything since
    record_switch("hv1", switch(TUNNEL))
    row = only()
    assert (row.object, row.after, row.by) == ("port br-int/vnet7", None, By.FOREIGN)
    assert row.cause == "not by Hopsight: nothing was asked of VM web-1 then"


def test_a_vm_that_is_deleted_meanwhile_keeps_its_name(cast: Cast, host: Host) -> None:
    vm = made_vm(cast)
    uuid = vm.uuid
    record_switch("hv1", switch(TUNNEL, port("vnet7", vm_id=str(uuid))))
    Operation.objects.update(started_at=timezone.now())
    vm.delete()
    record_switch("hv1", switch(TUNNEL))
    assert (rows()[-1].guest, rows()[-1].by) == ("VM web-1", By.OPERATION)


@pytest.mark.parametrize(
    ("now", "by"),
    [
        (switch(), By.FOREIGN),  # the tunnel is never taken away by us
        (switch(replace(TUNNEL, tag=9)), By.FOREIGN),
        (switch(TUNNEL, fail_mode="standalone"), By.FOREIGN),
        (switch(TUNNEL, controller="away"), By.RECONCILER),
        (switch(TUNNEL, port("geneve0", type="geneve", remote_ip="flow")), By.RECONCILER),
        (switch(TUNNEL, port("geneve0", type="geneve", remote_ip="192.0.2.9")), By.FOREIGN),
        (switch(TUNNEL, port("hs-ex", type="patch", peer="hs-int")), By.RECONCILER),
        (switch(TUNNEL, port("eth9")), By.FOREIGN),
    ],
)  # fmt: skip
def test_what_the_controller_keeps_is_its_own_and_nothing_else_is(host: Host, now: SwitchSeen, by: str) -> None:
    record_switch("hv1", now)
    assert only().by == by


def test_what_the_controller_puts_back_is_told_with_who_had_just_changed_the_host(cast: Cast, host: Host) -> None:
    HostSeen.objects.update(switch_seen_at=timezone.now() + timedelta(minutes=1))
    record_switch("hv1", switch())
    record_switch("hv1", switch(TUNNEL))
    assert [row.by for row in rows()] == [By.FOREIGN, By.RECONCILER]
    audit("host.change", None, cast.olga, ("host", str(host.uuid), "hv1"))
    record_switch("hv1", switch(TUNNEL, port("hs-ex", type="patch", peer="hs-int")))
    assert (rows()[-1].by, rows()[-1].cause.split()[0]) == (By.PERSON, "olga")


def test_a_seat_of_ours_without_a_vm_is_hopsights(cast: Cast, host: Host) -> None:
    seat = Port.objects.create(network=cast.network, kind=PortKind.ACCESS, name="access", mac="52:54:00:00:00:99")
    record_switch("hv1", switch(TUNNEL, port("seat", type="internal", iface_id=str(seat.uuid))))
    assert (only().by, only().cause) == (By.RECONCILER, "Hopsight’s own seat access in payments-net")


def test_a_foreign_domain_its_tap_and_its_end_are_told_by_its_name(host: Host) -> None:
    uuid = uuid4()
    HostSeen.objects.update(foreign_domains=[{"name": "other", "uuid": str(uuid), "state": "running"}])
    record_switch("hv1", switch(TUNNEL, port("vnet1", vm_id=str(uuid))))
    record_foreign_domains(host, None, {"other": DomainState.STOPPED})
    record_foreign_domains(host, None, {})
    tap, stopped, gone = rows()
    assert (tap.guest, tap.by, tap.vm) == ("domain other", By.FOREIGN, None)
    assert stopped.object == "domain other" and (stopped.after or {})["state"] == DomainState.STOPPED.value
    assert gone.after is None
    at = at_instant(tap.at)
    assert at is not None and at["domain other"] == {"uuid": str(uuid), "state": "running"}


def test_what_changed_while_the_switch_was_not_known_is_found_after_a_gap_with_two_ends(host: Host) -> None:
    note_away(["hv1"])
    lost_at = HostSeen.objects.get().switch_seen_at
    record_switch("hv1", switch(TUNNEL, port("byhand")), is_first=True)
    gap, found = rows()
    assert (gap.kind, found.kind, gap.at) == ("gap", "found", lost_at)
    assert gap.until is not None and gap.at < gap.until <= found.at
    assert "OVSDB was not reached" in gap.why and HostSeen.objects.get().away == ""
    record_switch("hv1", switch(TUNNEL, port("byhand")), is_first=True)
    assert rows()[-1].kind == "gap" and "nobody recorded" in rows()[-1].why


def test_what_is_old_or_too_much_goes_and_what_is_left_can_be_told(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now()
    HostSeen.objects.update(known_from=now - timedelta(hours=80))
    seen = HostSeen.objects.get()
    for hours in (60, 50, 10, 9, 8):
        seen.changes.create(at=now - timedelta(hours=hours), object="port br-int/x", after={"tag": hours})
    prune(seen, now)
    seen.refresh_from_db()
    assert seen.changes.count() == 3 and seen.known_from == now - timedelta(hours=50)
    assert at_instant(now - KEPT) is not None and at_instant(now - timedelta(hours=55)) is None
    monkeypatch.setattr(topology_rows, "MOST_ROWS", 2)
    prune(seen, now)
    seen.refresh_from_db()
    assert [row.after for row in seen.changes.all()] == [{"tag": 9}, {"tag": 8}]
    assert seen.known_from == now - timedelta(hours=10)


IFACES = st.builds(
    InterfaceSeen, st.sampled_from(("n1", "n2", "n3")), st.sampled_from(("", "vxlan", "patch")), st.integers(0, 2),
    link=st.sampled_from(("", "up", "down")), vm_id=st.sampled_from(("", str(UUID(int=7)))),
)  # fmt: skip
PORTS = st.builds(
    PortSeen, st.sampled_from(("p1", "p2", "p3")),
    st.lists(IFACES, min_size=1, max_size=2, unique_by=lambda one: one.name).map(tuple),
    st.one_of(st.none(), st.integers(0, 2)),
)  # fmt: skip
PORTS_OF_ONE = st.lists(PORTS, max_size=3, unique_by=lambda one: one.name).map(tuple)
BRIDGES = st.builds(BridgeSeen, st.sampled_from(("br-int", "br-x")), st.just("netdev"), st.sampled_from(("", "secure")), st.sampled_from(("none", "away")), PORTS_OF_ONE)  # fmt: skip
SWITCHES = st.builds(SwitchSeen, st.just("3.1.0"), st.lists(BRIDGES, max_size=2, unique_by=lambda one: one.name).map(tuple))  # fmt: skip


@given(SWITCHES, SWITCHES)
def test_a_diff_undone_gives_what_was_before_and_twice_too(before: SwitchSeen, after: SwitchSeen) -> None:
    changes = diff_switches(before, after)
    assert changes == tuple(
        replace(plain, vm_id=one.vm_id, iface_id=one.iface_id)
        for plain, one in zip(diff_objects(switch_objects(before), switch_objects(after)), changes, strict=True)
    )
    objects = switch_objects(after)
    for _ in range(2):
        for change in reversed(changes):
            undo(objects, change)
        assert objects == switch_objects(before)
    assert domain_objects([]) == {}
