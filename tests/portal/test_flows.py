"""The flow browser's pages: who may look, which bridges there are, and what they export."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from redis.connection import AbstractConnection

from portal.hosts.models import Host
from portal.live.transient import Change, TransientWriter
from portal.topology.bridges import bridges_topic
from tasks.flow_history import _bridges
from tests.cast import Cast
from tests.portal.clients import made_host

HOSTILE = '"><script>alert(1)</script>'
OURS = {
    "table": 10, "table_name": "port_security", "priority": 100, "match": "ip,reg0=0x1,nw_src=10.20.0.11",
    "actions": "goto_table:20", "cookie": "0x4853020000000001", "packets": 3, "bytes": 300, "foreign": False,
    "cause": f"Port of {HOSTILE}", "cause_url": "/vms/1/",
}  # fmt: skip
FOREIGN = {
    **OURS,
    "table": 9,
    "match": "",
    "actions": "drop",
    "cookie": "0x77",
    "foreign": True,
    "cause": "",
    "cause_url": "",
}


@pytest.fixture
def host(cast: Cast) -> Host:
    """hv1 with br-int, and br-ex that is somebody else's, as their topics tell."""
    row = Host.objects.create(
        name="hv1", libvirt_uri="test:///default", ovsdb="unix:/x", ovs_rundir="/x", controller_target="unix:/x/c.sock",
        disks_dir="/x", underlay_ip="192.0.2.11",
    )  # fmt: skip
    writer = TransientWriter(bridges_topic("hv1"))
    writer.write([Change("bridge.changed", name, {"foreign": name != "br-int"}) for name in ("br-int", "br-ex")])
    flows = TransientWriter("flows:hv1/br-int")
    flows.write(
        [
            Change("flow.changed", "a", OURS),
            Change("flow.changed", "b", FOREIGN),
            Change("monitor.changed", "monitor", {"state": "live"}),
        ]
    )
    return row


def _as(user: str, cast: Cast) -> Client:
    client = Client()
    client.force_login(getattr(cast, user))
    return client


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was sent to Redis, one item a round trip."""
    sent: list[bytes] = []
    really = AbstractConnection.send_packed_command

    def send(self: AbstractConnection, command: Any, check_health: bool = True) -> Any:
        sent.append(command)
        return really(self, command, check_health)

    monkeypatch.setattr(AbstractConnection, "send_packed_command", send)
    return sent


def test_redis_is_asked_once_for_the_bridges_of_all_hosts(cast: Cast, host: Host, trips: list[bytes]) -> None:
    olga = _as("olga", cast)

    def asked() -> list[int]:
        counts = []
        for ask in (_bridges, lambda: olga.get("/flows/"), lambda: olga.get("/flows/hv1/br-int/")):
            trips.clear()
            ask()
            counts.append(len(trips))
        return counts

    asked()  # what is looked up once, is by now
    with_one = asked()
    for number in range(2, 9):
        made_host(f"hv{number}")
        TransientWriter(bridges_topic(f"hv{number}")).write(
            [Change("bridge.changed", f"br-{number}", {"foreign": True})]
        )
    assert asked() == with_one and with_one[0] == 1
    assert ("hv8", "br-8") in _bridges() and len(_bridges()) == 2 * 8
    assert "br-8" in olga.get("/flows/").content.decode()


@pytest.mark.parametrize(
    "path", ["/flows/", "/flows/hv1/br-int/", "/flows/hv1/br-int/flows.txt", "/flows/hv1/br-int/flows.json"]
)
@pytest.mark.parametrize(
    ("user", "may"), [("olga", True), ("alice", False), ("bob", False), ("charlie", False), ("dana", False)]
)
def test_only_operators_see_flow_tables(cast: Cast, host: Host, path: str, user: str, may: bool) -> None:
    answer = _as(user, cast).get(path)
    assert (answer.status_code == 200) is may, answer.status_code
    assert may or answer.status_code in (403, 404)


def test_foreign_bridges_are_listed_and_flagged_and_others_are_not_there(cast: Cast, host: Host) -> None:
    olga = _as("olga", cast)
    listed = olga.get("/flows/").content.decode()
    assert "br-ex on hv1" in listed and "foreign" in listed
    assert "foreign bridge: shown, never touched" in olga.get("/flows/hv1/br-ex/").content.decode()
    for path in ("/flows/hv1/br-none/", "/flows/hv9/br-int/", "/flows/hv1/..%2F..%2Fetc/"):
        assert olga.get(path).status_code == 404


def test_the_page_without_script_shows_why_each_flow_is_there(cast: Cast, host: Host) -> None:
    page = _as("olga", cast).get("/flows/hv1/br-int/").content.decode()
    assert HOSTILE not in page and "Port of &quot;&gt;&lt;script&gt;" in page
    assert "port_security" in page and "cookie 0x77" in page


def test_the_export_is_what_ovs_ofctl_takes_and_json(cast: Cast, host: Host) -> None:
    olga = _as("olga", cast)
    text = olga.get("/flows/hv1/br-int/flows.txt").content.decode().splitlines()
    assert text == [
        " cookie=0x77, table=9, n_packets=3, n_bytes=300, priority=100 actions=drop",
        " cookie=0x4853020000000001, table=10, n_packets=3, n_bytes=300, priority=100,ip,reg0=0x1,nw_src=10.20.0.11"
        " actions=goto_table:20",
    ]
    told = json.loads(olga.get("/flows/hv1/br-int/flows.json").content)
    assert [flow["table"] for flow in told["flows"]] == [9, 10]
