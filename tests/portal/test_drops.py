"""What was dropped, on pages and over REST: in words, with what to do, and of the own team alone."""

from __future__ import annotations

import pytest
import redis
from django.urls import reverse
from django.utils import timezone

from portal.drops.models import DropCounter
from portal.networks.models import Port
from sdn.model.cookie import CauseKind
from tests.cast import Cast
from tests.portal.clients import client_of, made_host, made_vm


@pytest.fixture
def port(cast: Cast) -> Port:
    port = Port.objects.get(vm=made_vm(cast))
    for number, (reason, packets) in enumerate((("ingress_denied", 7), ("spoofed_mac", 3), ("ingress_denied", 2))):
        DropCounter.objects.create(
            host=made_host(f"hv{number + 1}"), kind=CauseKind.PORT, row_id=port.pk, port=port, reason=reason,
            packets=packets, bytes=packets * 60, last_at=timezone.now(),
        )  # fmt: skip
    return port


def test_the_vms_page_says_why_what_to_do_and_where_to_look(cast: Cast, port: Port) -> None:
    page = client_of(cast.charlie).get(reverse("vm", args=[port.vm.uuid])).content.decode()
    assert "Its source MAC is not the port&#x27;s own" in page
    assert "in an ingress rule of one of web-1&#x27;s security groups" in page
    assert f"{reverse('trace_new')}?target={port.uuid}" in page
    network = client_of(cast.charlie).get(reverse("network", args=[cast.network.uuid])).content.decode()
    assert "No ingress rule allows it" in network


def test_the_page_is_there_while_redis_is_away(cast: Cast, port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise redis.ConnectionError("connection refused")

    monkeypatch.setattr("portal.drops.sampling.connection", away)
    assert port.vm is not None
    assert client_of(cast.bob).get(reverse("vm", args=[port.vm.uuid])).status_code == 200


def test_the_trace_of_a_drop_has_its_port_filled_in(cast: Cast, port: Port) -> None:
    page = client_of(cast.bob).get(f"{reverse('trace_new')}?target={port.uuid}").content.decode()
    assert 'value="web-1"' in page


def test_the_api_sums_a_reason_over_hosts_and_tells_another_team_nothing(cast: Cast, port: Port) -> None:
    told = client_of(cast.charlie).get(f"/api/v1/ports/{port.uuid}/drops").json()
    assert {one["reason"]: one["packets"] for one in told["reasons"]} == {"ingress_denied": 9, "spoofed_mac": 3}
    assert told["packets"] == 12
    listed = client_of(cast.charlie).get("/api/v1/drops?reason=spoofed_mac").json()["items"]
    assert [one["name"] for one in listed] == ["web-1"]
    assert client_of(cast.charlie).get("/api/v1/drops?reason=no_route").json()["items"] == []
    assert client_of(cast.dana).get(f"/api/v1/ports/{port.uuid}/drops").status_code == 404
    assert client_of(cast.dana).get("/api/v1/drops").json()["items"] == []
