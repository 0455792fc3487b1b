"""Asking for a trace: who may, to where, what is refused in words, the exports, and "why can't I reach it?"."""

from __future__ import annotations

import json
from dataclasses import replace
from io import BytesIO
from xml.etree import ElementTree

import pytest
from django.test import Client
from django.urls import reverse
from PIL import Image

from portal.accounts.models import AuditRow
from portal.compute.models import VM
from portal.compute.requests import VMSpec, create_vm
from portal.networks.ipam import allocate_port
from portal.networks.models import Network, Port, PortKind
from portal.traces.markdown import format_markdown
from portal.traces.models import TraceRequest
from portal.traces.presentation import conclusion_of
from portal.traces.requests import find_target
from sdn.model.trace import Trace, to_json
from tests.cast import Cast
from tests.traces.factory import delivered, dropped


def client_of(user: object) -> Client:
    client = Client()
    client.force_login(user)  # type: ignore[arg-type]
    return client


def vm_port(cast: Cast, name: str) -> Port:
    vm: VM = create_vm(cast.payments, cast.alice, VMSpec(name, cast.image, cast.flavor, cast.network, name)).vm
    return vm.ports.get()


def asked(source: Port, target: str, **changed: str) -> dict[str, str]:
    return {"source": str(source.uuid), "target": target, "protocol": "tcp", "port_dst": "22"} | changed


def test_a_target_is_a_vm_an_address_of_one_or_an_address_that_nobody_has(cast: Cast) -> None:
    web, db = vm_port(cast, "web-1"), vm_port(cast, "db-1")
    address = db.addresses.filter(address__contains=".").get().address
    for text in ("db-1", str(db.uuid), address, f" {address} "):
        assert find_target(cast.payments, web, text)[0] == db
    for text in ("198.51.100.7", "10.20.0.99", "2001:db8::1"):
        assert find_target(cast.payments, web, text) == (None, text, "")
    port, _, problem = find_target(cast.payments, web, "<script>" + "x" * 10_000)
    assert port is None and "allowed are a VM's name" in problem and len(problem) < 300


def test_an_address_of_another_teams_vm_is_nobodys(cast: Cast) -> None:
    web = vm_port(cast, "web-1")
    other = allocate_port(Network.objects.get(name="search-net"), name="secret", kind=PortKind.ACCESS, address="10.20.0.200")  # fmt: skip
    assert find_target(cast.payments, web, "10.20.0.200") == (None, "10.20.0.200", "")
    assert find_target(cast.payments, web, str(other.uuid))[0] is None
    assert find_target(cast.payments, web, "secret")[0] is None


BAD = (
    ({"target": ""}, "target is empty: give a VM"),
    ({"target": "nobody"}, "allowed are a VM&#x27;s name"),
    ({"target": "web-1"}, "choose two VMs"),
    ({"target": "2001:db8::1"}, "has none of that family"),
    ({"port_dst": "70000"}, "tcp takes 1 to 65535"),
    ({"protocol": "gre"}, "gre is not one of the available choices"),
    ({"size_bytes": "9"}, "28 to 65535 bytes"),
    ({"moment": "yesterday"}, "yesterday is not one of the available choices"),
)


def test_a_bad_question_names_the_field_and_what_is_allowed(cast: Cast) -> None:
    web = vm_port(cast, "web-1")
    web.addresses.filter(address__contains=":").delete()
    client = client_of(cast.bob)
    for changed, words in BAD:
        answer = client.post(reverse("trace_new"), asked(web, "10.20.0.250") | changed)
        assert answer.status_code == 200
        assert words in answer.content.decode(), changed
    assert not TraceRequest.objects.exists()


def test_the_form_stores_every_part_of_the_question(cast: Cast) -> None:
    web = vm_port(cast, "web-1")
    given = asked(web, "198.51.100.7", protocol="udp", port_dst="53", moment="first", size_bytes="1400")
    answer = client_of(cast.bob).post(reverse("trace_new"), given)
    row = TraceRequest.objects.get()
    assert answer["Location"] == reverse("trace", args=[row.uuid])
    assert (row.address, row.target, row.moment, row.size_bytes) == ("198.51.100.7", None, "first", 1400)
    assert row.title == "web-1 → 198.51.100.7 udp/53"
    assert "198.51.100.7" in client_of(cast.charlie).get(answer["Location"]).content.decode()


def test_the_api_takes_a_name_or_an_address_and_hides_what_is_another_teams(cast: Cast) -> None:
    web, db = vm_port(cast, "web-1"), vm_port(cast, "db-1")
    hidden = Port.objects.filter(network__team=cast.search).first() or allocate_port(
        Network.objects.get(name="search-net"), name="hidden", kind=PortKind.ACCESS
    )
    client = client_of(cast.bob)
    for target, status in (("db-1", 202), (str(db.uuid), 202), ("192.0.2.99", 202), (str(hidden.uuid), 404), ("what", 422)):  # fmt: skip
        answer = client.post("/api/v1/traces", json.dumps(asked(web, target, port_dst="22") | {"port_dst": 22}), content_type="application/json")  # fmt: skip
        assert answer.status_code == status, (target, answer.content)


def test_why_asks_for_ssh_from_where_people_log_in(cast: Cast) -> None:
    web = vm_port(cast, "web-1")
    url = reverse("trace_why", args=[web.uuid])
    assert client_of(cast.charlie).post(url).status_code == 403
    assert client_of(cast.dana).post(url).status_code == 404
    assert client_of(cast.bob).get(url).status_code == 405
    assert client_of(cast.bob).post(url).status_code == 302
    row = TraceRequest.objects.get(asks="access")
    assert row.source is not None and row.source.kind == PortKind.ACCESS
    assert (row.target, row.protocol, row.port_dst) == (web, "tcp", 22)
    page = client_of(cast.bob).get(reverse("vm", args=[web.vm.uuid])).content.decode()  # type: ignore[union-attr]
    assert url in page


def test_the_page_ends_in_one_sentence_of_what_to_do(cast: Cast) -> None:
    web, db = vm_port(cast, "web-1"), vm_port(cast, "db-1")
    row = TraceRequest.objects.create(
        team=cast.payments, source=web, target=db, protocol="tcp", port_dst=22, title="t", state="done",
        result=to_json(delivered()), reply=to_json(delivered()),
    )  # fmt: skip
    url = reverse("trace", args=[row.uuid])
    assert "The network is not in the way: tcp/22 arrives at db-1" in client_of(cast.bob).get(url).content.decode()
    row.reply = to_json(dropped())
    row.save()
    assert "the answer does not come back" in client_of(cast.bob).get(url).content.decode()


@pytest.mark.parametrize(
    ("address", "is_asked"),
    [
        ("10.99.0.5", True),
        ("192.168.1.9", True),
        ("fd00::5", True),
        ("203.0.113.9", False),
        ("198.51.100.7", False),
        ("2001:db8::5", False),
    ],
)
def test_a_private_address_that_was_sent_outside_is_asked_about(address: str, is_asked: bool) -> None:
    reason = f"It leaves hv2 by under0 of br-ex, towards {address}."
    out = Trace("t", "predicted", "forward", {}, (), "delivered", reason, "2026-01-01T00:00:00+00:00", 1)
    row = TraceRequest(address=address, protocol="icmp")
    assert conclusion_of(row, out, None, "forward").startswith(f"{address} is a private address that no") is is_asked
    answered = replace(out, reason="The switch of hv1 answers web-1 itself, as payments-router.")
    assert conclusion_of(row, answered, None, "forward") == "", "an address that somebody here answers for is meant"


def test_an_export_is_of_the_team_alone_and_holds_both_directions(cast: Cast) -> None:
    web, db = vm_port(cast, "web-1"), vm_port(cast, "db-1")
    row = TraceRequest.objects.create(
        team=cast.payments, source=web, target=db, title="web-1 → db-1", state="done",
        result=to_json(delivered()), reply=to_json(dropped()),
    )  # fmt: skip
    as_json, as_text = (reverse("trace_export", args=[row.uuid, form]) for form in ("json", "md"))
    assert client_of(cast.dana).get(as_json).status_code == 404
    assert client_of(cast.bob).get(reverse("trace_export", args=[row.uuid, "exe"])).status_code == 404
    read = json.loads(client_of(cast.charlie).get(as_json).content)
    assert (read["forward"]["verdict"], read["return"]["verdict"]) == ("delivered", "dropped")
    text = client_of(cast.charlie).get(as_text).content.decode()
    assert text.startswith("# web-1 → db-1\n") and "## Back: Dropped on hv1" in text


def test_a_packet_is_handed_over_only_when_asked_for_and_it_is_written_down(cast: Cast) -> None:
    web, db = vm_port(cast, "web-1"), vm_port(cast, "db-1")
    client_of(cast.bob).post(reverse("trace_new"), asked(web, "db-1"))
    row = TraceRequest.objects.get()
    assert not row.is_handed_over and not AuditRow.objects.filter(action="trace.deliver").exists()
    assert client_of(cast.charlie).post(reverse("trace_deliver", args=[row.uuid])).status_code == 403
    assert client_of(cast.dana).post(reverse("trace_deliver", args=[row.uuid])).status_code == 404
    answer = client_of(cast.bob).post(reverse("trace_deliver", args=[row.uuid]))
    again = TraceRequest.objects.exclude(pk=row.pk).get()
    assert answer.headers["Location"] == reverse("trace", args=[again.uuid])
    assert again.is_handed_over and (again.source, again.target, again.title) == (web, db, row.title)
    told = AuditRow.objects.get(action="trace.deliver")
    assert (told.actor, told.object_id) == ("bob", str(again.uuid))


def test_nothing_is_handed_over_to_an_address_that_is_no_vm_of_the_team(cast: Cast) -> None:
    body = {"source": str(vm_port(cast, "web-1").uuid), "target": "203.0.113.9", "deliver": True}
    answer = client_of(cast.bob).post("/api/v1/traces", body, content_type="application/json")
    assert answer.status_code == 422 and "handed over to a VM of team Payments" in answer.content.decode()
    assert not TraceRequest.objects.exists()


def test_a_hostile_name_stays_text_in_markdown() -> None:
    text = format_markdown("[x](javascript:alert(1)) | <img>\n# no", delivered(), None)
    assert text.splitlines()[0] == r"# \[x\](javascript:alert(1)) \| \<img\> \# no"


HOSTILE = "<svg onload=alert(1)>\x07 & co"  # no NUL: PostgreSQL stores none, and no request brings one in


def exported(cast: Cast, form: str) -> tuple[str, bytes]:
    row = TraceRequest.objects.create(
        team=cast.payments, title=HOSTILE, state="done", result=to_json(delivered()), reply=to_json(dropped())
    )
    answer = client_of(cast.charlie).get(reverse("trace_export", args=[row.uuid, form]))
    assert answer.status_code == 200 and answer["Content-Disposition"].endswith(f'.{form}"')
    return answer["Content-Type"], answer.content


def test_the_svg_is_one_document_whose_names_are_text(cast: Cast) -> None:
    kind, body = exported(cast, "svg")
    root = ElementTree.fromstring(body.decode())
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert kind == "image/svg+xml" and names == {"svg", "title", "rect", "text"}
    texts = [element.text or "" for element in root.iter() if element.tag.endswith("text")]
    assert any(text.startswith("There: web-1 reaches db-1") for text in texts)
    assert any("Back: Dropped on hv1" in text for text in texts)
    assert [text for text in texts if "br-int" in text], "each hop is drawn"


def test_the_png_is_a_picture_in_which_something_is_drawn(cast: Cast) -> None:
    kind, body = exported(cast, "png")
    image = Image.open(BytesIO(body))
    colours = image.convert("RGB").getcolors(maxcolors=2**20)
    assert kind == "image/png" and image.format == "PNG" and image.width == 2000 and image.height > 1000
    assert colours is not None and len(colours) > 20


def test_the_text_is_the_terminals_picture_of_both_ways(cast: Cast) -> None:
    kind, body = exported(cast, "txt")
    assert (
        kind.startswith("text/plain") and "There: ✔ web-1 reaches db-1" in body.decode() and "Back: ✘" in body.decode()
    )
