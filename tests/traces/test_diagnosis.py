""" "Why can't I reach it?": on a real switch it asks by itself, ends in one sentence, and one click mends what it names.

[outside]--[br-ex]--9--[br-int@hv1]--7--[web-1]     [db-1]--8--/
"""

from __future__ import annotations

import json

from django.urls import reverse

from portal.accounts.models import AuditRow
from portal.compute.models import VM
from portal.networks.floating_requests import give_floating
from portal.operations.models import Operation
from portal.traces.diagnosis import Answer, answer_of, ask_why
from portal.traces.models import Diagnosis, TraceRequest
from tests.portal.clients import client_of
from tests.traces.conftest import Street


def asked(street: Street, **given: str) -> Diagnosis:
    answer = client_of(street.cast.bob).post(
        reverse("trace_why", args=[street.web.uuid]), given, REMOTE_ADDR="203.0.113.7"
    )
    assert answer.status_code == 302, answer.content.decode()
    street.answer()
    return Diagnosis.objects.get(uuid=answer["Location"].rstrip("/").rpartition("/")[2])


def told(asked_: Diagnosis) -> Answer:
    return answer_of(Diagnosis.objects.get(pk=asked_.pk))


def mended(street: Street, row: Diagnosis) -> Diagnosis:
    """One click on the suggested change, the flows of it, and the question again."""
    fix = told(row).fix
    assert fix is not None
    answer = client_of(street.cast.bob).post(reverse("diagnosis_mend", args=[row.uuid]), {"kind": fix.kind})
    assert answer.status_code == 302, answer.content.decode()
    street.install()
    return asked(street)


def states(answer: Answer) -> dict[str, str]:
    return {look.key: look.state for look in answer.looks}


def test_the_rule_that_is_missing_is_named_and_one_click_lets_the_packet_in(street: Street) -> None:
    """[db-1]--8--[br-int@hv1: ingress_rules drops]--7--[web-1], then delivered"""
    first = asked(street)
    found = told(first)
    assert states(found) | {"access": ""} == {
        "power": "good", "address": "good", "plugged": "good", "floating": "note", "beside": "bad", "access": "",
    }  # fmt: skip
    assert found.state == "bad" and "tcp/22 does not reach web-1" in found.sentence
    assert "ingress_rules" in found.sentence and found.fix is not None and found.fix.kind == "rule"
    while told(first).state == "bad":
        before = street.closed.rules.count()
        first = mended(street, first)
        assert street.closed.rules.count() == before + 1, "each click mends the first that is in the way"
    assert told(first).sentence.startswith("The network is not in the way: tcp/22 arrives at web-1")
    assert "No SSH key was put in" in told(first).advice
    VM.objects.filter(pk=street.web.vm_id).update(public_key="ssh-ed25519 AAAA")
    assert "look inside the guest" in told(first).advice
    assert AuditRow.objects.filter(action="rule.add", actor="bob").exists()


def test_a_real_packet_that_was_lost_says_more_than_flows_that_let_it_through(street: Street) -> None:
    """[db-1]--8--[br-int@hv1]== ✘ udp/4789"""
    street.closed.rules.create(direction="ingress", family=4, protocol="tcp", number_first=22, number_last=22)
    street.install()
    row = asked(street)
    assert told(row).state == "good"
    trace = row.traces.get(asks="beside")
    page = reverse("trace", args=[trace.uuid])
    assert "The network is not in the way" in client_of(street.cast.bob).get(page).content.decode()
    lost = {
        **trace.result,
        "kind": "probed",
        "verdict": "unknown",
        "reason": "Lost there.",
        "suggestion": "Let udp/4789 through.",
    }
    TraceRequest.objects.filter(pk=trace.pk).update(probe={"trace": lost, "divergence": None})
    found = told(row)
    assert (found.state, found.advice) == (
        "bad",
        "Let udp/4789 through.",
    ) and "did not arrive: Lost there." in found.sentence
    text = client_of(street.cast.bob).get(page).content.decode()
    assert (
        "The network is not in the way" not in text
        and "a real packet did not arrive." in text
        and "Let udp/4789 through." in text
    )


def test_from_outside_the_packet_comes_in_by_the_gateway_host_to_the_floating_address(street: Street) -> None:
    """(203.0.113.7)--[br-ex]--[br-int@hv1: floating → 10.20.0.x]--7--[web-1]"""
    row = asked(street)
    assert told(row).fix is not None and "outside" not in states(told(row))
    floating = give_floating(street.cast.payments, street.web)
    street.install()
    row = asked(street)
    trace = row.traces.get(asks="outside")
    assert trace.result is not None and trace.result["packet"]["nw_dst"] == str(floating)
    assert trace.result["packet"]["nw_src"] == "203.0.113.7"
    kinds = [hop["kind"] for hop in trace.result["hops"]]
    assert kinds[:4] == ["external", "underlay_nic", "patch", "bridge"]
    assert trace.result["verdict"] == "dropped" and "ingress_rules" in trace.result["reason"]
    fix = told(row).fix
    assert fix is not None and fix.rule["cidr"] == "203.0.113.7/32"
    row = mended(street, row)
    trace = row.traces.get(asks="outside")
    assert trace.result is not None and trace.result["verdict"] == "delivered", trace.result["reason"]
    assert trace.result["hops"][-1]["header_after"]["nw_dst"] == street.web.addresses.get(address__contains=".").address
    page = client_of(street.cast.charlie).get(reverse("trace", args=[trace.uuid])).content.decode()
    assert "internet" in page and "203.0.113.7" in page


def test_a_vm_that_is_off_is_said_first_and_started_by_the_click(street: Street) -> None:
    VM.objects.filter(pk=street.vm.pk).update(state="stopped")
    Operation.objects.update(state="done")
    row = asked(street)
    assert told(row).sentence == "web-1 is shut down: nothing answers."
    client = client_of(street.cast.bob)
    answer = client.post(reverse("diagnosis_mend", args=[row.uuid]), {"kind": "start"})
    assert answer.status_code == 302, answer.content.decode()
    assert Operation.objects.filter(kind="vm.start", object_uuid=street.vm.uuid).exists()
    assert "Done: Start web-1." in client.get(reverse("diagnosis", args=[row.uuid])).content.decode()


def test_a_floating_address_is_given_by_the_click_and_a_change_that_is_not_suggested_is_refused(street: Street) -> None:
    street.closed.rules.create(direction="ingress", family=4, protocol="any")
    street.install()
    row = asked(street)
    assert told(row).state == "good" and "From outside nothing reaches it" in told(row).advice
    client = client_of(street.cast.bob)
    url = f"/api/v1/diagnoses/{row.uuid}/mend"
    wrong = client.post(url, json.dumps({"kind": "rule"}), content_type="application/json")
    assert wrong.status_code == 422 and "now it is floating" in wrong.json()["errors"]["kind"][0]
    assert client.post(url, json.dumps({"kind": "floating"}), content_type="application/json").status_code == 200
    assert states(told(row))["floating"] == "good"


def test_the_api_asks_for_another_service_and_says_what_it_found(street: Street) -> None:
    client = client_of(street.cast.bob)
    url = f"/api/v1/ports/{street.web.uuid}/diagnoses"
    wrong = client.post(url, json.dumps({"protocol": "gre"}), content_type="application/json")
    assert wrong.status_code == 422 and "protocol" in wrong.json()["errors"]
    answer = client.post(url, json.dumps({"protocol": "udp", "port_dst": 53}), content_type="application/json")
    assert answer.status_code == 202 and answer.json()["state"] == "waiting"
    street.answer()
    read = client_of(street.cast.charlie).get(f"/api/v1/diagnoses/{answer.json()['uuid']}").json()
    assert (read["service"], read["state"], read["fix"]["kind"]) == ("udp/53", "bad", "rule")
    assert client_of(street.cast.dana).get(f"/api/v1/diagnoses/{answer.json()['uuid']}").status_code == 404
    assert client_of(street.cast.charlie).post(url, "{}", content_type="application/json").status_code == 403


def test_what_is_not_in_the_way_is_not_blamed_and_old_diagnoses_go(street: Street) -> None:
    street.web.addresses.all().delete()
    row = ask_why(street.web, street.cast.bob)
    assert told(row).sentence == "web-1 has no address on payments-net: nothing can be sent to it."
    for _ in range(31):
        ask_why(street.web, street.cast.bob)
    assert Diagnosis.objects.count() == 30
    assert not TraceRequest.objects.filter(diagnosis=row).exists()
