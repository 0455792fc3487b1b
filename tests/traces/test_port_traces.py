"""A packet at any port of a live host's bridges, ours or foreign, asked by operators.

[web-1]--7--[br-int@hv1]--8--[db-1]
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.urls import reverse

from portal.accounts.models import AuditRow
from portal.topology.models import HostSeen
from portal.traces.models import PortTrace
from tasks.port_traces import run_port_trace
from tests.portal.clients import client_of
from tests.traces.conftest import Street

SEEN = {
    "ovs_version": "3.1.0",
    "bridges": [
        {"name": name, "datapath_type": "dummy", "fail_mode": "secure", "controller": "none", "ports": []}
        for name in ("br-int", "br-ex")
    ],
}


@pytest.fixture
def seen(street: Street) -> Street:
    street.install()
    HostSeen.objects.create(host=street.web.host, switch=SEEN)  # type: ignore[misc]
    return street


def ask(street: Street, flow: str, bridge: str = "br-int", person: str = "olga", **more: Any) -> Any:
    host = street.web.host
    assert host is not None
    body = json.dumps({"bridge": bridge, "flow": flow, **more})
    return client_of(getattr(street.cast, person)).post(
        f"/api/v1/hosts/{host.name}/port-traces", body, content_type="application/json"
    )


def answered(response: Any) -> dict[str, Any]:
    assert response.status_code == 202, response.content
    row = PortTrace.objects.latest("id")
    run_port_trace(row.pk)
    row.refresh_from_db()
    return {"state": row.state, "error": row.error, "result": row.result or {}, "uuid": str(row.uuid)}


def between(street: Street, port: str) -> str:
    web, db = street.web, street.db
    ends = [next(row.address for row in one.addresses.all() if ":" not in row.address) for one in (web, db)]
    return (
        f"in_port={port},tcp,dl_src={web.mac},dl_dst={db.mac},nw_src={ends[0]},nw_dst={ends[1]},tp_src=4000,tp_dst=22"
    )


def test_a_port_by_its_number_is_followed_through_our_tables(seen: Street) -> None:
    found = answered(ask(seen, between(seen, str(seen.web.ofport))))
    assert found["state"] == "done", found["error"]
    tables = [step["table"] for hop in found["result"]["hops"] for step in hop["steps"]]
    assert tables[:2] == [0, 10], "judged as that port's own packet"
    question = found["result"]["question"]
    assert (question["bridge"], question["flow"], question["family"]) == (
        "br-int",
        between(seen, str(seen.web.ofport)),
        4,
    )
    page = client_of(seen.cast.olga).get(reverse("port_trace", args=[found["uuid"]]))
    assert page.status_code == 200 and "data-verdict" in page.content.decode()
    spoofed = answered(ask(seen, between(seen, str(seen.db.ofport))))
    assert spoofed["result"]["verdict"] == "dropped"


def test_a_port_of_a_bridge_that_is_not_ours_is_followed_there(seen: Street) -> None:
    """[br-ex: ex-hs] ✘: nobody gave that bridge a flow"""
    found = answered(ask(seen, "in_port=ex-hs,icmp,nw_dst=198.51.100.9", bridge="br-ex"))
    assert found["state"] == "done", found["error"]
    assert found["result"]["hops"][-1]["object"].startswith("br-ex"), found["result"]["hops"]


def test_whatever_cannot_be_followed_says_why(seen: Street) -> None:
    nobody = answered(ask(seen, "in_port=99,icmp"))
    assert nobody["state"] == "failed" and "in_port 99 was given; br-int" in nobody["error"]
    without = answered(ask(seen, "icmp"))
    assert "no in_port" in without["error"]
    refused = answered(ask(seen, "in_port=7,icmp,nw_dst=nonsense"))
    assert refused["state"] == "failed" and "gave no trace" in refused["error"]
    answer = ask(seen, "", bridge="br-none")
    assert answer.status_code == 422
    errors = answer.json()["errors"]
    assert "br-none" in errors["bridge"][0] and "br-int, br-ex" in errors["bridge"][0] and "flow" in errors


def test_only_operators_ask_and_it_is_audited(seen: Street) -> None:
    assert ask(seen, "in_port=7,icmp", person="alice").status_code == 403
    page = reverse("port_traces", args=["hv1", "br-int"])
    assert client_of(seen.cast.alice).get(page).status_code == 403
    olga = client_of(seen.cast.olga)
    shown = olga.post(page, {"in_port": "7", "protocol": "icmp", "target": "10.20.0.99"})
    assert shown.status_code == 302
    row = PortTrace.objects.get()
    assert row.flow == "in_port=7,icmp,nw_dst=10.20.0.99"
    assert AuditRow.objects.filter(action="flow.trace").exists()
    assert row.flow in olga.get(page).content.decode()
    assert olga.get(reverse("port_traces", args=["hv1", "br-none"])).status_code == 404
    assert olga.post(page, {"flow": "\x01"}).status_code == 422


def test_the_oldest_go(seen: Street, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.traces.port_traces.MOST", 2)
    for number in range(4):
        assert ask(seen, f"in_port={number + 1},icmp").status_code == 202
    assert [row.flow for row in PortTrace.objects.all()] == ["in_port=4,icmp", "in_port=3,icmp"]
