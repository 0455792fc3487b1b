"""Asking for a capture: where it may be, what it copies, who may, and that it stays in the team."""

from __future__ import annotations

from typing import Any

from django.test import Client
from django.urls import reverse

from portal.accounts.models import AuditRow
from portal.captures.models import Capture
from portal.captures.points import Filter, points_of
from portal.hosts.models import Host
from portal.networks.models import Port
from portal.traces.models import TraceRequest
from tests.cast import Cast
from tests.portal.clients import client_of, made_host
from tests.traces.test_asking import vm_port


def plugged(port: Port, host: Host, ofport: int) -> Port:
    port.host, port.ofport, port.tap = host, ofport, f"vnet{ofport}"
    port.save()
    return port


def made(cast: Cast, **columns: Any) -> TraceRequest:
    """web-1 on hv1 → db-1 on hv2."""
    first = made_host()
    second = Host.objects.exclude(pk=first.pk).first() or Host.objects.create(name="hv9", underlay_ip="192.0.2.99")
    web, db = plugged(vm_port(cast, "web-1"), first, 7), plugged(vm_port(cast, "db-1"), second, 5)
    given = {"source": web, "target": db, "protocol": "tcp", "port_dst": 22, "title": "web-1 → db-1 tcp/22"} | columns
    return TraceRequest.objects.create(team=cast.payments, created_by=cast.alice, state="done", **given)


def test_a_path_over_two_hosts_has_its_taps_and_its_tunnels_each_held_to_the_team(cast: Cast) -> None:
    trace = made(cast)
    points = {point.key: point for point in points_of(trace, Filter("tcp", 22))}
    assert trace.source is not None and trace.source.host is not None
    tunnels = [key for key in points if key.startswith("tunnel-")]
    assert set(points) == {"source", "target", *tunnels} and len(tunnels) == 2
    (coming,), (going,) = points["source"].coming, points["source"].going
    assert dict(coming)["tp_dst"] == "22" and dict(going)["tp_src"] == "22"
    assert points["target"].coming == ((going),) and points["target"].going == ((coming),)
    vni = f"{trace.source.network.vni:#x}"
    for key in tunnels:
        assert all("tun_id" in dict(one) for one in points[key].coming), (
            "a tunnel is shared: its packets are named by VNI"
        )
        assert all("reg1" in dict(one) for one in points[key].going)
        assert any(dict(one)["tun_id"] == vni for one in points[key].coming)


def test_a_filter_may_be_wider_than_the_traces_packet_and_stays_in_the_network(cast: Cast) -> None:
    points = {point.key: point for point in points_of(made(cast), Filter("any", is_between=False))}
    assert points["source"].coming == ((),), "whatever its own VM sends"
    assert all({"tun_id"} == set(dict(one)) for key, point in points.items() if key.startswith("tunnel") for one in point.coming)  # fmt: skip


def start(client: Client, trace: TraceRequest, **given: Any) -> Any:
    return client.post(reverse("capture_new", args=[trace.uuid]), {"points": ["source"], "protocol": "icmp", "port": "", "packets": "10", "seconds": "5", "is_between": "on"} | given)  # fmt: skip


BAD: tuple[tuple[dict[str, Any], str], ...] = (
    ({"points": []}, "points none were given; this path has source, target"),
    ({"points": ["roof"]}, "points roof were given"),
    ({"protocol": "gre"}, "allowed are any, arp, icmp, tcp, udp"),
    ({"port": "99999"}, "port 99999 was given; allowed are 1 to 65535"),
    ({"port": "ssh"}, "port -1 was given"),
    ({"packets": "1001"}, "packets 1001 was given; allowed are 1 to 1000"),
    ({"seconds": "0"}, "seconds 0 was given; allowed are 1 to 60"),
)


def test_what_is_wrong_is_said_by_its_field_and_nothing_is_stored(cast: Cast) -> None:
    trace, client = made(cast), client_of(cast.bob)
    for given, words in BAD:
        answer = start(client, trace, **given)
        assert answer.status_code == 422 and words in answer.content.decode(), (given, answer.content.decode())
    assert not Capture.objects.exists()


def test_a_member_may_it_is_audited_and_four_at_once_are_too_many(cast: Cast) -> None:
    trace = made(cast)
    assert start(client_of(cast.charlie), trace).status_code == 403
    assert start(client_of(cast.dana), trace).status_code == 404
    for _ in range(3):
        assert start(client_of(cast.bob), trace).status_code == 302
    answer = start(client_of(cast.bob), trace)
    assert answer.status_code == 422 and "3 captures under way" in answer.content.decode()
    assert AuditRow.objects.filter(action="capture.start", actor="bob").count() == 3
    row = Capture.objects.first()
    assert row is not None
    assert client_of(cast.bob).post(reverse("capture_stop", args=[row.uuid])).status_code == 302
    row.refresh_from_db()
    assert (row.state, row.why) == ("done", "stopped"), "it had not begun"


def test_a_page_lists_packets_and_which_are_the_same_and_its_file_is_the_teams_alone(cast: Cast) -> None:
    packet = {"at_ms": 0.0, "point": "web-1 vnet7 on hv1", "is_out": False, "size": 98, "protocol": "ICMP", "source": "10.20.0.11", "target": "10.20.0.12", "what": "<b>echo</b>"}  # fmt: skip
    row = Capture.objects.create(
        team=cast.payments, trace=made(cast), filter_words="icmp", max_packets=10, seconds=5, state="done", count=2,
        rows=[packet, packet | {"at_ms": 1.5, "is_out": True}], meetings=[[[0, 0.0], [1, 1500.0]]], file=b"\n\r\r\n",
    )  # fmt: skip
    page = client_of(cast.bob).get(reverse("capture", args=[row.uuid])).content.decode()
    assert "as no. 1, 1500 µs ago" in page and "&lt;b&gt;echo" in page
    file = reverse("capture_file", args=[row.uuid])
    assert client_of(cast.bob).get(file).content == b"\n\r\r\n"
    assert client_of(cast.charlie).get(file).status_code == 403
    assert client_of(cast.dana).get(file).status_code == 404
