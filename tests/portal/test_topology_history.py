"""Hosts' topology history on its page and in the API: changes with cause and who, gaps, and two instants compared."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from django.urls import reverse
from django.utils import timezone

from portal.operations.models import Operation
from portal.topology.models import HostSeen
from tests.cast import Cast
from tests.portal.clients import client_of, made_host, made_topology_record, made_vm

HOSTILE = '"><script>alert(1)</script>'
OPERATION, VM = uuid4(), uuid4()


@pytest.fixture
def history(cast: Cast) -> HostSeen:
    """On hv1 vnet7 goes; a tap of web-1 comes by an operation, whose cause is hostile; nobody could tell for 5 s; the tap's tag
    was found to be another. On hv2 a bridge comes."""
    seen = made_topology_record(made_host())
    tap = {"kind": "tap", "ofport": 8}
    seen.switch["bridges"][0]["ports"] = [
        {"name": "vnet8", "tag": 7, "trunks": [], "bond_mode": "", "interfaces": [{"name": "vnet8", "type": "", "ofport": 8, "driver": "tun"}]}
    ]  # fmt: skip
    seen.save()
    at = seen.changes.get().at
    seen.changes.create(
        at=at + timedelta(seconds=1), object="port br-int/vnet8", after=tap, by="operation", operation=OPERATION, vm=VM,
        guest="VM web-1", cause=f"alice: Create {HOSTILE}", generation=9,
    )  # fmt: skip
    seen.changes.create(at=at + timedelta(seconds=2), until=at + timedelta(seconds=7), kind="gap", why="the controller was away")  # fmt: skip
    seen.changes.create(at=at + timedelta(seconds=7), kind="found", object="port br-int/vnet8", before={"tag": None}, after={"tag": 7}, guest="VM web-1", cause="not by Hopsight")  # fmt: skip
    other = made_topology_record(made_host("hv2"))
    other.changes.all().delete()
    other.changes.create(at=at + timedelta(seconds=8), object="bridge br-int", after={"datapath": "netdev"}, by="reconciler", cause="Hopsight’s controller keeps it")  # fmt: skip
    return seen


def page(cast: Cast, **query: str) -> str:
    return client_of(cast.olga).get(f"{reverse('topology_history')}?{urlencode(query)}").content.decode()


def asked(cast: Cast, path: str, **query: str) -> Any:
    return client_of(cast.olga).get(f"/api/v1/topology/{path}", query).json()


def test_the_page_tells_when_why_and_who_and_where_nobody_could_tell(cast: Cast, history: HostSeen) -> None:
    text = page(cast)
    assert text.count("data-change=") == 4 and text.count("data-gap") == 1
    assert "the controller was away" in text and "found after a gap" in text
    link = f'href="{reverse("operation", args=[OPERATION])}"'
    assert link not in text and "generation 9" in text, "a team's operation is not hers to open"
    Operation.objects.create(uuid=OPERATION, kind="host.evacuate", object_type="host", object_uuid=OPERATION)
    assert link in page(cast), "one over a host is"
    assert "tag none → 7, for VM web-1" in text and "tap, ofport 8, for VM web-1" in text
    assert HOSTILE not in text and "&lt;script&gt;" in text


def test_two_instants_are_compared_on_the_page_as_text_and_in_the_api(cast: Cast, history: HostSeen) -> None:
    first, last = history.changes.first(), history.changes.last()
    assert first is not None and last is not None
    given = {"from": (first.at - timedelta(microseconds=1)).isoformat(), "to": last.at.isoformat(), "host": "hv1"}
    text = page(cast, **given)
    assert "1 added, 1 removed, 0 changed" in text and "hv1: not known from" in text
    lines = page(cast, **given, **{"as": "text"}).splitlines()
    assert [line[0] for line in lines] == ["-", "+", "#", "-", "+"]
    assert lines[3].startswith("- port br-int/vnet7: tap, ofport 7") and "tag 7" in lines[4]
    swapped = given | {"from": given["to"], "to": given["from"]}
    for one in (given, swapped):
        told = asked(cast, "diff", **one)
        assert [(line["sign"], line["object"]) for line in told["lines"]] == [("-", "port br-int/vnet7"), ("+", "port br-int/vnet8")]  # fmt: skip
        assert (
            told["lines"][0]["before"] == {"kind": "tap", "ofport": 7}
            and told["lines"][1]["cause"] == "not by Hopsight"
        )
        assert [gap["host"] for gap in told["gaps"]] == ["hv1"]
    changed = asked(cast, "diff", **{"from": (last.at - timedelta(microseconds=1)).isoformat()}, host="hv1")
    assert [(line["before"], line["after"]) for line in changed["lines"]] == [({"tag": None}, {"tag": 7})]
    assert asked(cast, "diff", **{"from": given["to"], "to": given["to"]})["lines"] == []
    assert {line["host"] for line in asked(cast, "diff")["lines"]} == {"hv1", "hv2"}, "without a host it is all of them"


def test_changes_are_asked_for_by_host_operation_vm_words_and_until_an_instant(cast: Cast, history: HostSeen) -> None:
    second = history.changes.order_by("id")[1]
    for query, objects in (
        ({"host": "hv2"}, ["bridge br-int"]),
        ({"operation": str(OPERATION)}, ["port br-int/vnet8"]),
        ({"vm": str(VM)}, ["port br-int/vnet8"]),
        ({"q": "VNET7"}, ["port br-int/vnet7"]),
        ({"until": second.at.isoformat()}, ["port br-int/vnet8", "port br-int/vnet7"]),
    ):
        assert [one["object"] for one in asked(cast, "history", **query)["items"]] == objects, query
        text = page(cast, **query)
        assert text.count("data-change=") == len(objects), query


def test_the_history_comes_in_pages_by_cursor(cast: Cast, history: HostSeen) -> None:
    found, cursor = [], None
    for _ in range(4):
        answer = asked(cast, "history", limit="2", **({"cursor": cursor} if cursor else {}))
        found += answer["items"]
        cursor = answer["next"]
        if cursor is None:
            break
    assert [one["sign"] for one in found] == ["+", "~", "", "+", "-"]
    assert [known["host"] for known in answer["hosts"]] == ["hv1", "hv2"]
    for number in range(101):
        history.changes.create(at=timezone.now(), object=f"port br-int/p{number}", after={"kind": "nic"})
    text = page(cast)
    older = text.split('rel="next"')[0].rpartition('href="?')[2].partition('"')[0].replace("&amp;", "&")
    assert text.count("data-change=") == 100
    assert (
        client_of(cast.olga).get(f"{reverse('topology_history')}?{older}").content.decode().count("data-change=") == 5
    )


def test_what_is_not_kept_and_what_is_none_is_said_with_what_is_allowed(cast: Cast, history: HostSeen) -> None:
    old = page(cast, **{"from": "2001-01-01T00:00:00Z"}, host="hv1")
    assert "what was on hv1 at that instant is not kept: the oldest kept is 20" in old
    assert "an ISO time is allowed" in page(cast, **{"from": "yesterday", "to": HOSTILE})
    assert "“hv9” was given; there is hv1, hv2" in page(cast, host="hv9")
    assert "a UUID is allowed" in page(cast, operation=HOSTILE, vm="x")
    assert "none that a link here has" in page(cast, cursor="x") and "none that" in page(cast, cursor="x" * 99)
    for path, query, field in (
        ("history", {"host": "hv9"}, "host"), ("history", {"vm": "x"}, "vm"), ("history", {"until": "x"}, "until"),
        ("diff", {"from": "x"}, "from"), ("diff", {"host": "\0"}, "host"), ("history", {"cursor": "x"}, "cursor"),
    ):  # fmt: skip
        answer = client_of(cast.olga).get(f"/api/v1/topology/{path}", query)
        assert answer.status_code == 422 and list(answer.json()["errors"]) == [field], query


def test_it_is_led_to_from_host_and_operation(cast: Cast, history: HostSeen) -> None:
    text = client_of(cast.olga).get(reverse("host", args=["hv1"])).content.decode()
    assert f"{reverse('topology_history')}?host=hv1" in text
    operation = Operation.objects.get(object_uuid=made_vm(cast).uuid)
    text = client_of(cast.bob).get(reverse("operation", args=[operation.uuid])).content.decode()
    assert f"{reverse('topology_history')}?operation={operation.uuid}" in text


@pytest.fixture
def teams(cast: Cast, history: HostSeen) -> HostSeen:
    """Of the history the tap vnet8 is web-1's of Payments; the tap vnet9 was another team's, and came to web-1 by one change."""
    web = made_vm(cast)
    history.changes.filter(object="port br-int/vnet8").update(vm=web.uuid)
    last = history.changes.latest("id")
    history.changes.create(
        at=last.at + timedelta(seconds=2), object="port br-int/vnet9", before={"iface_id": "of-search", "tag": 99},
        after={"iface_id": "of-payments", "tag": 7}, vm=web.uuid, guest="VM web-1", cause="not by Hopsight",
    )  # fmt: skip
    return history


def test_a_teams_people_see_what_was_plugged_for_its_vms_and_the_gaps(cast: Cast, teams: HostSeen) -> None:
    told = client_of(cast.charlie).get("/api/v1/topology/history").json()["items"]
    assert [(one["object"], one["sign"]) for one in told] == [
        ("port br-int/vnet9", "+"), ("port br-int/vnet8", "~"), ("", ""), ("port br-int/vnet8", "+"),
    ]  # fmt: skip
    assert told[0]["before"] is None and "of-search" not in str(told), "what it was in other hands is not told"
    text = client_of(cast.charlie).get(reverse("topology_history")).content.decode()
    assert text.count("data-change=") == 3 and text.count("data-gap") == 1 and "vnet7" not in text
    assert "of-search" not in text and "tag 99" not in text and reverse("host", args=["hv1"]) not in text
    assert "You see what was plugged" in text and "You see what was plugged" not in page(cast)
    for hidden in ("vnet7", "of-search", "Hopsight’s controller"):
        assert client_of(cast.charlie).get("/api/v1/topology/history", {"q": hidden}).json()["items"] == []


def test_another_teams_people_see_none_of_it_and_cannot_tell_it_from_nothing(cast: Cast, teams: HostSeen) -> None:
    dana = client_of(cast.dana)
    rows = dana.get("/api/v1/topology/history").json()["items"]
    assert {one["kind"] for one in rows} == {"gap"}
    for query in ({"vm": str(teams.changes.latest("id").vm)}, {"operation": str(OPERATION)}, {"vm": str(uuid4())}):
        assert dana.get("/api/v1/topology/history", query).json()["items"] == []
    told = dana.get("/api/v1/topology/diff").json()
    assert told["lines"] == [] and (told["added"], told["removed"], told["changed"]) == (0, 0, 0)


def test_the_difference_of_two_instants_is_of_the_teams_own_objects(cast: Cast, teams: HostSeen) -> None:
    first, last = teams.changes.order_by("id").first(), teams.changes.latest("id")
    assert first is not None
    query = {"from": (first.at - timedelta(microseconds=1)).isoformat(), "to": last.at.isoformat()}
    told = client_of(cast.bob).get("/api/v1/topology/diff", query).json()
    assert [(line["sign"], line["object"]) for line in told["lines"]] == [("+", "port br-int/vnet8")]
    assert (told["added"], told["removed"]) == (1, 0) and len(told["gaps"]) == 1
    text = client_of(cast.bob).get(reverse("topology_history"), {**query, "as": "text"}).content.decode()
    assert "vnet8" in text and "vnet7" not in text and "vnet9" not in text


def test_a_host_that_is_not_known_now_says_since_when_and_why(cast: Cast, history: HostSeen) -> None:
    HostSeen.objects.filter(host__name="hv2").update(away="the host’s OVSDB was not reached")
    assert "hv2: not known since" in page(cast)
    assert asked(cast, "history", host="hv2")["hosts"][0]["away"].endswith("not reached")
