"""What-ifs: computed on the copy, nothing written; applied by the group page's own function, audited; or thrown away."""

from __future__ import annotations

import json

from django.urls import reverse

from portal.accounts.models import AuditRow
from portal.checks.models import MatrixRun, WhatIf
from portal.checks.presentation import current_generation
from portal.checks.requests import ask_matrix
from portal.traces.models import TraceRequest
from tasks.matrices import run_matrix
from tasks.what_ifs import run_what_if
from tests.checks.conftest import Town
from tests.portal.clients import client_of

OPEN = {"group": "closed", "direction": "ingress", "family": "4", "protocol": "tcp", "ports": "5432", "cidr": "", "remote_group": ""}  # fmt: skip


def asked(town: Town, **changed: str) -> WhatIf:
    answer = client_of(town.cast.bob).post(reverse("what_if_new"), OPEN | changed)
    assert answer.status_code == 302, answer.content.decode()
    run = WhatIf.objects.get(uuid=answer["Location"].rstrip("/").rpartition("/")[2])
    run_what_if(run.pk)
    run.refresh_from_db()
    assert run.state == "done", run.error
    return run


def made_trace(town: Town) -> TraceRequest:
    return TraceRequest.objects.create(
        team=town.cast.payments, created_by=town.cast.alice, title="web-1 → db-1 tcp/5432", source=town.web_1,
        target=town.db_1, protocol="tcp", port_dst=5432,
    )  # fmt: skip


def test_a_rule_tried_shows_flows_traces_and_every_pair_and_writes_nothing(town: Town) -> None:
    before = current_generation(), town.closed.rules.count()
    web_1 = town.web_1.addresses.get(address__contains=".").address
    run = asked(town, cidr=f"{web_1}/32", trace=str(made_trace(town).uuid))
    assert (current_generation(), town.closed.rules.count()) == before
    result = run.result
    assert result is not None
    assert (result["before"]["verdict"], result["after"]["verdict"]) == ("dropped", "delivered")
    assert {(one["source"], one["target"], one["service"]) for one in result["changed"]} == {
        ("web-1", "db-1", "tcp/5432"), ("web-1", "web-2", "tcp/5432"),
    }  # fmt: skip
    assert set(result["flows"]) == {"hv1", "hv2"}
    assert any(line.startswith("+ ") and f"nw_src={web_1}" in line for line in result["flows"]["hv2"])
    page = client_of(town.cast.charlie).get(reverse("what_if", args=[run.uuid])).content.decode()
    assert "Verdicts that change: 2" in page and "Ask an owner" in page and "Now: dropped" in page


def test_apply_makes_exactly_that_change_once_and_the_verdicts_are_as_foretold(town: Town) -> None:
    run = asked(town)
    client = client_of(town.cast.bob)
    url = reverse("what_if_apply", args=[run.uuid])
    assert client_of(town.cast.charlie).post(url).status_code == 403
    for _ in range(2):
        assert client.post(url).status_code == 302
    rule = town.closed.rules.get(number_first=5432)
    assert (rule.direction, rule.protocol, rule.number_last, rule.cidr) == ("ingress", "tcp", 5432, "")
    audit = AuditRow.objects.get(action="rule.add")
    assert (audit.actor, audit.object_name, audit.after) == ("bob", "closed", {"rule": "tcp/5432 from anywhere"})
    matrix = ask_matrix(town.cast.payments, town.cast.bob, "tcp", 5432)
    run_matrix(matrix.pk)
    result = MatrixRun.objects.get(pk=matrix.pk).result
    assert result is not None and run.result is not None
    names = [port["name"] for port in result["ports"]]
    for one in run.result["changed"]:
        at = result["rows"][names.index(one["source"])][names.index(one["target"])]
        assert result["reasons"][at][0] == one["after"]


def test_a_rule_taken_away_is_foretold_too_and_gone_after_apply(town: Town) -> None:
    town.closed.rules.create(direction="ingress", family=4, protocol="icmp")
    rule = town.closed.rules.get(protocol="icmp")
    run = asked(town, remove=str(rule.pk))
    assert run.result is not None and run.result["services"] == ["icmp"]
    assert {one["after"] for one in run.result["changed"]} == {"dropped"}
    assert len(run.result["changed"]) == 6, "each of three VMs pinged each other one"
    assert client_of(town.cast.bob).post(f"/api/v1/what-ifs/{run.uuid}/apply").status_code == 200
    assert not town.closed.rules.filter(protocol="icmp").exists()
    assert AuditRow.objects.get(action="rule.remove").before == {"rule": "icmp from anywhere"}


def test_what_is_wrong_with_a_rule_is_said_and_a_throw_away_leaves_nothing(town: Town) -> None:
    client = client_of(town.cast.bob)
    page = client.post(reverse("what_if_new"), OPEN | {"ports": "80-20", "cidr": "10.0.0.1/8"})
    told = page.content.decode()
    assert page.status_code == 422 and "80-20" in told and "host bits" in told
    run = asked(town)
    assert client.post(reverse("what_if_discard", args=[run.uuid])).status_code == 302
    assert not WhatIf.objects.exists() and town.closed.rules.count() == 2
    wrong = {"group": str(town.closed.uuid), "ports": "x"}
    answer = client.post("/api/v1/what-ifs", json.dumps(wrong), content_type="application/json")
    assert answer.status_code == 422 and "ports" in answer.json()["errors"]


def test_a_traces_page_offers_the_rule_and_the_pin(town: Town) -> None:
    from dataclasses import replace

    from sdn.model.trace import to_json
    from tests.traces.factory import dropped

    trace = made_trace(town)
    trace.result = to_json(
        replace(dropped(), reason="Dropped in table 65 (ingress_rules) of hv2: no ingress rule allows it.")
    )
    trace.state = "done"
    trace.save()
    page = client_of(town.cast.bob).get(reverse("trace", args=[trace.uuid])).content.decode()
    assert "What if I allow it?" in page and "Pin as check" in page
    trace.result = to_json(dropped())  # by port security, which no rule overrules
    trace.save()
    spoofed = client_of(town.cast.bob).get(reverse("trace", args=[trace.uuid])).content.decode()
    assert "What if I allow it?" not in spoofed and "What if a rule were added?" in spoofed
    assert f'value="{town.web_1.addresses.get(address__contains=".").address}/32"' in page
