"""A trace that waits for the first packet of the next connection: who may, what is waited for, and what comes of it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from portal.captures.points import opening_of
from portal.captures.requests import ORDERS
from portal.live.events import connection
from portal.networks.models import Port
from portal.traces.models import TraceRequest
from sdn.capture import Captured
from sdn.model.addresses import Mac
from sdn.model.packet import Packet
from sdn.probe import TOKEN_BYTES, build_frame
from tasks.catching import FIRST_NUMBER, _order_of, _settle
from tasks.trace_kept import Kept
from tasks.tracer import GIVEN_UP_AFTER, resend_traces
from tasks.traces import answer
from tests.cast import Cast
from tests.portal.clients import client_of, made_host, made_vm


def ends(cast: Cast) -> tuple[Port, Port]:
    """web-1, plugged in, and db-1."""
    web, db = (made_vm(cast, name).ports.get() for name in ("web-1", "db-1"))
    web.host, web.ofport = made_host(), 5
    web.save()
    return web, db


def asked(web: Port, db: Port, **changed: Any) -> dict[str, Any]:
    return {
        "source": str(web.uuid),
        "target": str(db.uuid),
        "protocol": "tcp",
        "port_dst": 22,
        "moment": "next",
    } | changed


def address(port: Port) -> Any:
    from ipaddress import ip_address

    return ip_address(port.addresses.filter(address__contains=".").get().address)


def waiting(cast: Cast) -> tuple[TraceRequest, Port, Port]:
    web, db = ends(cast)
    answer_ = client_of(cast.bob).post("/api/v1/traces", asked(web, db), content_type="application/json")
    assert answer_.status_code == 202 and answer_.json()["state"] == "waiting"
    return TraceRequest.objects.get(), web, db


def syn(web: Port, db: Port) -> bytes:
    packet = Packet("tcp", Mac(web.mac), Mac(db.mac), address(web), address(db), ttl=63, port_src=51234, port_dst=22)
    return build_frame(packet, bytes(TOKEN_BYTES))


@pytest.mark.django_db(transaction=True)
def test_the_controller_is_asked_to_wait_for_what_the_question_says(cast: Cast) -> None:
    connection().delete(ORDERS)
    row, web, db = waiting(cast)
    assert json.loads(connection().rpop(ORDERS)) == {"catch": row.pk}
    order = _order_of(row.pk)
    assert order is not None and (order.number, order.packets) == (FIRST_NUMBER + row.pk, 1)
    (point,) = order.points
    assert (point.host, point.ofport, point.port_id) == ("hv1", 5, web.pk)
    assert dict(point.opening[0]) == {
        "tcp": "",
        "nw_src": str(address(web)),
        "nw_dst": str(address(db)),
        "tp_dst": "22",
    }
    assert dict(opening_of(row) or ()) == dict(point.opening[0])
    assert "Waiting for web-1 to open a connection" in client_of(cast.bob).get(reverse("trace", args=[row.uuid])).content.decode()  # fmt: skip


def test_the_caught_packet_is_the_one_that_is_asked_about(cast: Cast) -> None:
    row, web, db = waiting(cast)
    _settle(row.pk, [Captured(0, False, 1.0, syn(web, db))], "1 packets were caught")
    row.refresh_from_db()
    assert row.state == "running" and row.caught is not None
    found = answer(row, Kept())
    assert found is not None
    packet = found.asked.packet
    assert (packet.port_src, packet.ttl, packet.tcp_flags, packet.eth_dst) == (51234, 63, "syn", db.mac)
    assert found.asked.moment == "first"
    assert found.predicted.packet["tp_src"] == "51234"
    assert found.question().packet.port_src != 51234, "a probe is no packet of the guest's own connection"
    assert found.reply is not None and found.reply["packet"]["tp_dst"] == "51234"  # type: ignore[index, call-overload]


def test_a_connection_that_never_came_is_said_so(cast: Cast) -> None:
    row, _, _ = waiting(cast)
    _settle(row.pk, [], "60 s are over")
    row.refresh_from_db()
    assert (row.state, row.error) == ("failed", "No such connection was opened: 60 s are over.")
    _settle(row.pk, [], "again")
    row.refresh_from_db()
    assert "60 s" in row.error, "it is settled once"


def test_without_a_controller_the_sweep_ends_the_waiting(cast: Cast) -> None:
    row, _, _ = waiting(cast)
    resend_traces()
    TraceRequest.objects.update(created_at=timezone.now() - GIVEN_UP_AFTER - timedelta(seconds=1))
    resend_traces()
    row.refresh_from_db()
    assert row.state == "failed" and "No controller waited" in row.error


def test_what_cannot_be_waited_for_is_refused_in_words(cast: Cast) -> None:
    web, db = ends(cast)
    bob = client_of(cast.bob)

    def refused(**changed: Any) -> str:
        told = bob.post("/api/v1/traces", asked(web, db, **changed), content_type="application/json")
        assert told.status_code == 422, told.content
        return told.content.decode()

    assert "arp was given" in refused(protocol="arp")
    assert "db-1 is off" in refused(source=str(db.uuid), target=str(web.uuid))
    Port.objects.filter(pk=web.pk).update(is_secured=False)
    assert "port security of web-1 is off" in refused()
    assert not TraceRequest.objects.exists()
