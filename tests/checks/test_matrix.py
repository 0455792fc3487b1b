"""The matrix's page and API: asked for, worked out on the shadow, shown with reasons."""

from __future__ import annotations

import json

from django.urls import reverse

from portal.checks.models import MatrixRun
from portal.networks.groups import add_rule
from portal.networks.rule_check import RuleSpec
from tasks.matrices import run_matrix
from tests.checks.conftest import Town
from tests.portal.clients import client_of


def test_a_matrix_says_of_each_pair_what_becomes_of_it_and_why(town: Town) -> None:
    add_rule(town.closed, RuleSpec(ports="5432", cidr=f"{town.web_1.addresses.get(address__contains='.').address}/32"))
    client = client_of(town.cast.bob)
    answer = client.post(reverse("matrix"), {"protocol": "tcp", "port_dst": "5432", "network": ""}, follow=True)
    assert "Working out every pair" in answer.content.decode()
    run = MatrixRun.objects.get()
    run_matrix(run.pk)
    page = client.get(reverse("matrix")).content.decode()
    assert "delivered: web-1 reaches db-1." in page
    assert "dropped: Dropped in table 65 (ingress_rules) of hv1: no ingress rule allows it." in page
    assert f"source={town.web_1.uuid}&amp;target={town.db_1.uuid}&amp;protocol=tcp&amp;port_dst=5432" in page
    told = client.get(f"/api/v1/matrices/{run.uuid}").json()
    names = [port["name"] for port in told["result"]["ports"]]
    row = told["result"]["rows"][names.index("web-1")]
    verdicts = {
        name: at if at is None else told["result"]["reasons"][at][0] for name, at in zip(names, row, strict=True)
    }
    assert verdicts["db-1"] == verdicts["web-2"] == "delivered"
    assert verdicts["web-1"] is None


def test_a_matrix_of_an_older_generation_says_so(town: Town) -> None:
    client = client_of(town.cast.alice)
    asked = client.post("/api/v1/matrices", json.dumps({"protocol": "icmp"}), content_type="application/json").json()
    run_matrix(MatrixRun.objects.get(uuid=asked["uuid"]).pk)
    assert "compute again" not in client.get(reverse("matrix")).content.decode()
    add_rule(town.closed, RuleSpec(protocol="icmp"))
    assert "compute again" in client.get(reverse("matrix")).content.decode()


def test_what_is_wrong_with_a_question_is_said_and_viewers_are_told_whom_to_ask(town: Town) -> None:
    page = client_of(town.cast.bob).post(reverse("matrix"), {"protocol": "tcp", "port_dst": "99999"})
    assert page.status_code == 422 and "tcp takes 1 to 65535" in page.content.decode()
    page = client_of(town.cast.charlie).get(reverse("matrix"))
    assert "Ask an owner" in page.content.decode()
