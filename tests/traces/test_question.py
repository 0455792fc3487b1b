"""A trace's answer repeats its question: in the JSON, on the page, in files and terminals; and that question asks it again.

[web-1]--7--[br-int@hv1]--8--[db-1]     (outside)--[br-ex]--9--/
"""

from __future__ import annotations

import io
import json
import re
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.core.management import call_command
from django.urls import reverse

from portal.networks.floating_requests import give_floating
from portal.traces.models import TraceRequest
from sdn.model.trace import from_json, to_json
from tests.portal.clients import client_of
from tests.traces.conftest import Street

LINK = re.compile(r'<a class="link" href="([^"]*)">Change</a>')
FORM = re.compile(r'<form method="post" action="/trace/[^"]*">(?:(?!</form>).)*Trace again', re.DOTALL)
HIDDEN = re.compile(r'<input type="hidden" name="(?!csrf)([^"]*)" value="([^"]*)">')


def ask(street: Street, **body: Any) -> dict[str, Any]:
    """The answer of the API to what is asked."""
    client = client_of(street.cast.bob)
    told = client.post("/api/v1/traces", body, content_type="application/json")
    assert told.status_code == 202, told.content
    street.answer()
    answer: dict[str, Any] = client.get(f"/api/v1/traces/{told.json()['uuid']}").json()
    return answer


def bodies(street: Street) -> list[dict[str, Any]]:
    """Questions of each kind."""
    web, db = str(street.web.uuid), str(street.db.uuid)
    six = next(row.address for row in street.db.addresses.all() if ":" in row.address)
    four = str(give_floating(street.cast.payments, street.web, 4))
    return [
        {"source": web, "target": db, "protocol": "tcp", "port_dst": 22, "moment": "first", "size_bytes": 1400},
        {
            "source": web,
            "target": six,
            "protocol": "tcp",
            "port_dst": 22,
            "header_fields": "nw_ttl=9,tcp_flags=fin|ack",
        },
        {"source": web, "target": "198.51.100.7"},
        {"source": web, "protocol": "dhcp"},
        {"outside": "internet", "target": four, "protocol": "tcp", "port_dst": 22, "source_address": "203.0.113.80"},
        {"router": street.cast.router.name, "target": db},
    ]


def same(answer: dict[str, Any]) -> dict[str, Any]:
    """What must be alike in the answers to one question."""
    told = answer["result"]
    return {"packet": told["packet"], "verdict": told["verdict"], "title": answer["title"]}


def test_the_question_of_an_answer_asks_it_again(street: Street) -> None:
    for body in bodies(street):
        first = ask(street, **body)
        question = first["question"]
        assert {name: question[name] for name in body if name not in ("target", "header_fields")} == {
            name: value for name, value in body.items() if name not in ("target", "header_fields")
        }
        assert same(ask(street, **question)) == same(first), body


def test_it_tells_ends_packet_family_options_and_instants(street: Street) -> None:
    body = bodies(street)[1]
    answer = ask(street, **body)
    question = answer["question"]
    assert (question["source_name"], question["target_name"], question["family"]) == ("web-1", "db-1", 6)
    assert (question["target"], question["at"]) == (body["target"], "")
    row = TraceRequest.objects.get(uuid=answer["uuid"])
    assert question["asked_at"] == row.created_at.isoformat()
    own = next(one.address for one in street.web.addresses.all() if ":" in one.address)
    expected = (
        f"tcp/22 over IPv6 from web-1 ({own}) to db-1 ({body['target']}); as its connection is now; 84 bytes; with "
    )
    assert (
        question["words"].startswith(expected) and "fin|ack" in question["words"] and "as of now" in question["words"]
    )
    for way in ("result", "reply"):
        assert answer[way]["question"] | {"words": question["words"]} == question, way
        assert to_json(from_json(answer[way])) == answer[way]


def test_a_question_that_is_not_answered_yet_is_told_out_of_its_row(street: Street) -> None:
    client = client_of(street.cast.bob)
    body = {"source": str(street.web.uuid), "target": str(street.db.uuid), "protocol": "tcp", "port_dst": 22}
    uuid = client.post("/api/v1/traces", body, content_type="application/json").json()["uuid"]
    question = client.get(f"/api/v1/traces/{uuid}").json()["question"]
    assert (question["source_name"], question["target_name"], question["family"]) == ("web-1", "db-1", 0)
    assert "from web-1 to db-1" in question["words"]


def test_names_are_those_of_then(street: Street) -> None:
    answer = ask(street, source=str(street.web.uuid), target=str(street.db.uuid))
    street.db.delete()
    told = client_of(street.cast.bob).get(f"/api/v1/traces/{answer['uuid']}").json()["question"]
    assert told["target_name"] == "db-1"
    page = client_of(street.cast.bob).get(reverse("trace", args=[answer["uuid"]])).content.decode()
    assert "data-asked" in page and not LINK.search(page)  # there is nobody to ask about again


def test_the_page_s_line_says_it_and_its_link_fills_the_form_in_again(street: Street) -> None:
    client = client_of(street.cast.bob)
    for body in bodies(street):
        answer = ask(street, **body)
        page = client.get(reverse("trace", args=[answer["uuid"]])).content.decode()
        line = re.sub(r"<[^>]*>|\s+", " ", page.split("data-asked>")[1].split("</p>")[0])
        assert answer["question"]["source_name"] in line and answer["question"]["target_name"] in line
        assert f"over IPv{answer['question']['family']}" in line
        link, button = LINK.search(page), FORM.search(page)
        assert link is not None and button is not None, body
        given = dict(HIDDEN.findall(button[0]))
        assert dict(parse_qsl(urlsplit(unescape(link[1])).query)) == {
            name: unescape(value) for name, value in given.items()
        }
        filled_in = client.get(unescape(link[1]))
        is_open = '<details class="tn-more" open>' in filled_in.content.decode()
        assert is_open == any(name in body for name in ("size_bytes", "header_fields", "source_address")), body
        form = filled_in.context["form"]
        filled = {name: form[name].value() for name in form.fields}
        posted = {name: "" if value is None else value for name, value in filled.items()}
        made = client.post(reverse("trace_new"), posted)
        assert made.status_code == 302, made.context["form"].errors
        street.answer()
        again = client.get(f"/api/v1/traces/{made['Location'].rstrip('/').rpartition('/')[2]}").json()
        assert same(again) == same(answer), body


def test_files_begin_with_the_question(street: Street) -> None:
    answer = ask(street, **bodies(street)[0])
    client = client_of(street.cast.charlie)
    texts = {form: client.get(reverse("trace_export", args=[answer["uuid"], form])).content.decode() for form in ("md", "txt", "svg", "json")}  # fmt: skip
    for form in ("md", "txt", "svg"):
        assert "tcp/22 over IPv4 from web-1" in texts[form] and texts[form].count("Asked: ") == 1, form
    assert json.loads(texts["json"])["question"] == answer["question"]


FAMILIES = (("", "nw_dst"), ("4", "nw_dst"), ("6", "ipv6_dst"))


@pytest.mark.parametrize(("family", "field"), FAMILIES)
@pytest.mark.parametrize("source", ["port", "outside", "router"])
def test_the_form_s_family_says_to_which_address_of_a_vm(street: Street, source: str, family: str, field: str) -> None:
    floating = {number: str(give_floating(street.cast.payments, street.db, number)) for number in (4, 6)}
    own = {6 if ":" in row.address else 4: row.address for row in street.db.addresses.all()}
    senders = {
        "port": str(street.web.uuid),
        "outside": "outside:internet",
        "router": f"router:{street.cast.router.name}",
    }
    given = {"source": senders[source], "target": "db-1", "protocol": "tcp", "port_dst": "22", "family": family}
    made = client_of(street.cast.bob).post(reverse("trace_new"), given)
    assert made.status_code == 302, made.context["form"].errors
    street.answer()
    row = TraceRequest.objects.get()
    reached = (floating if source == "outside" else own)[int(family or 4)]
    assert row.result is not None and row.result["packet"][field] == reached
    assert row.target == street.db


def test_a_family_that_the_target_lacks_is_refused_in_words(street: Street) -> None:
    client = client_of(street.cast.bob)
    given = {"source": str(street.web.uuid), "protocol": "icmp", "family": "6"}
    refused = client.post(reverse("trace_new"), given | {"target": "198.51.100.7"})
    assert "198.51.100.7 is an IPv4 address, and IPv6 was chosen" in unescape(refused.content.decode())
    street.db.addresses.filter(address__contains=":").delete()
    refused = client.post(reverse("trace_new"), given | {"target": "db-1"})
    assert "db-1 has no IPv6 address; it has 10." in unescape(refused.content.decode())


def test_a_command_line_s_answer_has_it_too(street: Street) -> None:
    out = io.StringIO()
    words = ["web-1", "db-1", "--tcp", "22", "-6", "--team", street.cast.payments.slug]
    call_command("trace", *words, "--expect", "dropped", "--json", stdout=out)
    question = json.loads(out.getvalue())["question"]
    assert (question["protocol"], question["port_dst"], question["family"]) == ("tcp", 22, 6)
    out = io.StringIO()
    call_command("trace", *words, "--expect", "dropped", stdout=out)
    assert out.getvalue().splitlines()[1].startswith("  ? tcp/22 over IPv6 from web-1 (")
