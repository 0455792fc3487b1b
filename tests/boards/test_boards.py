"""Boards: the team's and one's own, who sees and changes them, and what their widgets show."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from portal.accounts.models import AuditRow
from portal.checks.models import PathCheck
from portal.checks.requests import add_check
from portal.compute.models import VM
from portal.dashboards.layout import KINDS, as_rows, parse_widgets
from portal.dashboards.models import Board
from portal.dashboards.problems import host_problems, problems_of
from portal.dashboards.requests import MOST_OWN, make_board
from portal.drops.models import DropCounter
from portal.history import series
from portal.history.store import write_samples
from portal.hosts.models import Host
from portal.live.topics import snapshot_of
from portal.networks.models import Port
from portal.operations.models import Operation
from portal.traces.requests import TraceSpec
from sdn.model.cookie import CauseKind
from tests.cast import Cast
from tests.portal.clients import client_of, made_host, made_vm

HOME = reverse("dashboard")


def page(client: Client, url: str = HOME) -> str:
    answer = client.get(url)
    assert answer.status_code == 200, answer
    return answer.content.decode()


def change(client: Client, **posted: str) -> int:
    return client.post(reverse("team_board_change"), posted).status_code


def kinds(cast: Cast) -> list[str]:
    return [row["kind"] for row in Board.objects.get(team=cast.payments, owner=None).widgets]


def test_a_team_has_a_board_before_anybody_made_one(cast: Cast) -> None:
    shown = page(client_of(cast.charlie))
    assert all(words in shown for words in ("Quota", "Problems", "Traffic", "Top talkers", "Path checks", "Activity"))
    assert not Board.objects.exists()


def test_what_is_added_is_gone_to_and_a_board_goes_only_when_asked_twice(cast: Cast) -> None:
    client = client_of(cast.bob)
    answer = client.post(reverse("team_board_change"), {"act": "add", "kind": "heading"})
    assert answer.url == f"{HOME}?edit#w-{Board.objects.get().widgets[-1]['id']}"
    assert "Yes, begin anew" in page(client, f"{HOME}?edit")
    assert client.post(reverse("team_board_change"), {"act": "delete"}).url == HOME
    assert "begins anew." in page(client)
    assert not Board.objects.exists()


def test_a_member_changes_the_teams_board_and_a_viewer_is_told_why_not(cast: Cast) -> None:
    assert change(client_of(cast.bob), act="add", kind="heading") == 302
    assert kinds(cast)[-1] == "heading"
    added = Board.objects.get().widgets[-1]["id"]
    change(client_of(cast.bob), act="text", id=added, text="Friday")
    assert "Friday" in page(client_of(cast.charlie))
    assert change(client_of(cast.charlie), act="remove", id=added) == 403
    assert "this needs the role member" in page(client_of(cast.charlie))
    assert list(AuditRow.objects.filter(action="board.change").values_list("actor", flat=True)) == ["bob", "bob"]


def test_dragging_keeps_the_whole_order(cast: Cast) -> None:
    client = client_of(cast.bob)
    change(client, act="add", kind="note")
    rows = Board.objects.get().widgets
    change(client, act="order", order=" ".join(f"{row['id']}:6" for row in reversed(rows)))
    assert [row["id"] for row in Board.objects.get().widgets] == [row["id"] for row in reversed(rows)]
    assert {row["width"] for row in Board.objects.get().widgets} == {6}


def test_ones_own_board_is_nobody_elses_until_it_is_shared(cast: Cast) -> None:
    board = make_board(cast.payments, cast.charlie, "Watch")
    url = reverse("board", args=[board.uuid])
    assert "Watch" in page(client_of(cast.charlie), url)
    assert client_of(cast.alice).get(url).status_code == 404
    client_of(cast.charlie).post(reverse("board_change", args=[board.uuid]), {"act": "share"})
    assert "charlie’s board" in page(client_of(cast.alice), url)
    assert client_of(cast.dana).get(url).status_code == 404
    client_of(cast.alice).post(reverse("board_change", args=[board.uuid]), {"act": "delete"})
    assert Board.objects.get().title == "Watch"


def test_a_copy_holds_what_the_board_holds(cast: Cast) -> None:
    client = client_of(cast.bob)
    change(client, act="add", kind="matrix")
    answer = client.post(reverse("board_new"), {"title": "Mine", "copy": str(Board.objects.get().uuid)})
    mine = Board.objects.get(owner=cast.bob)
    assert answer.headers["Location"] == reverse("board", args=[mine.uuid]) + "?edit"
    assert mine.widgets == Board.objects.get(owner=None).widgets


def test_twenty_boards_of_ones_own_are_the_most_and_a_title_is_text(cast: Cast) -> None:
    for number in range(MOST_OWN):
        make_board(cast.payments, cast.bob, f"b{number}", ())
    answer = client_of(cast.bob).post("/api/v1/boards", {"title": "one more"}, content_type="application/json")
    assert answer.status_code == 422 and "20 boards" in answer.json()["errors"]["title"][0]
    answer = client_of(cast.alice).post("/api/v1/boards", {"title": "a\nb"}, content_type="application/json")
    assert answer.status_code == 422


def test_the_api_makes_changes_shares_and_removes_a_board(cast: Cast) -> None:
    client = client_of(cast.charlie)
    made = client.post("/api/v1/boards", {"title": "Night", "widgets": [{"kind": "traffic"}]}, content_type="application/json")  # fmt: skip
    assert made.status_code == 201, made.content
    url = f"/api/v1/boards/{made.json()['uuid']}"
    told = client.patch(url, {"is_shared": True, "widgets": [{"kind": "note", "text": "hi"}]}, content_type="application/json").json()  # fmt: skip
    assert (told["is_shared"], told["version"], told["widgets"][0]["width"]) == (True, 2, 4)
    assert client_of(cast.alice).patch(url, {"title": "x"}, content_type="application/json").status_code == 403
    answer = client.patch(url, {"widgets": [{"kind": "clock"}]}, content_type="application/json")
    assert answer.status_code == 422 and "clock" in answer.json()["errors"]["widgets"][0]
    assert client.delete(url).status_code == 204
    assert client.get(url).status_code == 404


def test_the_team_is_told_when_a_board_changes(cast: Cast) -> None:
    board = make_board(cast.payments, cast.bob, "Watch")
    assert snapshot_of("team:payments")["state"][f"board:{board.uuid}"] == {"version": 1}


def test_every_widget_shows_itself_with_and_without_rows(cast: Cast) -> None:
    cast.alice.is_operator = True
    cast.alice.save()
    rows = as_rows(parse_widgets([{"kind": kind.name, "text": "<b>words</b>"} for kind in KINDS]))
    Board.objects.create(team=cast.payments, title="all", widgets=rows)
    client = client_of(cast.alice)
    empty = page(client)
    assert all(f'aria-label="{kind.title}"' in empty for kind in KINDS)
    assert "Nobody says anything." in empty and "&lt;b&gt;words" in empty
    host, vm = made_host(), made_vm(cast)
    port, now = Port.objects.get(vm=vm), int(time.time()) // 10 * 10
    Port.objects.update(wired_at=timezone.now())
    write_samples(series.PORT, now - 10, {port.pk: (8e6, 2e6, 1, 1, 0, 0)})
    write_samples(series.VM, now - 10, {vm.pk: (38.0, 1, 1, 1, 8e6, 2e6)})
    write_samples(series.HOST, now - 10, {host.pk: (75.0, 2**30, 1, 0, 0)})
    write_samples(series.DROPS, now - 10, {cast.payments.pk: [4.0 * (one.name == "spoofed_mac") for one in series.DROPS.fields]})  # fmt: skip
    full = page(client)
    for words in ("8 Mbit/s", "38 %", "10 Mbit/s", "75 %", "Its source MAC", "hv1"):
        assert words in full, words
    assert "40" in full.split("Its source MAC")[1][:300]  # packets: 4 a second for ten seconds


def test_hosts_are_shown_to_operators_alone(cast: Cast) -> None:
    made_host()
    Board.objects.create(team=cast.payments, title="b", widgets=[{"id": "h", "kind": "hosts", "width": 6, "text": ""}])
    shown = page(client_of(cast.bob))
    assert "Only operators see the hosts." in shown and "Host health</h2>" not in shown


def test_the_wall_shows_the_board_without_navigation_to_touch(cast: Cast) -> None:
    assert "app--tv" in page(client_of(cast.bob), HOME + "?tv&range=24h")


@pytest.fixture
def troubled(cast: Cast) -> VM:
    """A VM of Payments that crashed, whose check fails, whose operation failed and whose packets are dropped."""
    host, vm = made_host(), made_vm(cast)
    port = Port.objects.get(vm=vm)
    now = timezone.now()
    check = add_check(cast.payments, cast.alice, TraceSpec(port, None, "icmp", 0, "203.0.113.9"), "delivered")
    PathCheck.objects.filter(pk=check.pk).update(state="failing", verdict="dropped", reason="no rule", since=now)
    VM.objects.filter(pk=vm.pk).update(state="crashed", state_reason="out of memory")
    Operation.objects.update(state="failed", error="no host has room", finished_at=now)
    DropCounter.objects.create(host=host, kind=CauseKind.PORT, row_id=port.pk, port=port, reason="spoofed_mac", packets=7, last_at=now)  # fmt: skip
    return vm


def test_problems_are_what_needs_somebody_the_bad_ones_first(cast: Cast, troubled: VM) -> None:
    cast.payments.max_vms = 1
    found = problems_of(cast.payments)
    assert [problem.key.split(":")[0] for problem in found] == ["check", "vm", "quota", "operation", "drops"]
    assert [problem.is_bad for problem in found] == [True, True, True, False, False]
    assert found[0].detail == "no rule" and "web-1" in found[1].words
    told = client_of(cast.charlie).get("/api/v1/problems").json()
    assert {one["key"] for one in told} >= {f"vm:{troubled.uuid}"}
    assert client_of(cast.dana).get("/api/v1/problems").json() == []


def test_a_problem_is_over_when_its_cause_is(cast: Cast, troubled: VM) -> None:
    VM.objects.update(state="running")
    PathCheck.objects.update(state="passing")
    left = {problem.key.split(":")[0] for problem in problems_of(cast.payments, timezone.now() + timedelta(hours=7))}
    assert left == set()


def test_an_operation_that_no_worker_takes_is_a_problem_and_its_page_says_why(cast: Cast) -> None:
    made_vm(cast)
    one = Operation.objects.get()
    assert problems_of(cast.payments) == [], "a worker that has time needs some moments too"
    Operation.objects.update(created_at=timezone.now() - timedelta(seconds=31))
    told = problems_of(cast.payments)
    assert [(problem.key, problem.is_bad) for problem in told] == [(f"waiting:{one.uuid}", True)]
    words = "all busy, or none is running"
    assert words in told[0].detail and words in page(client_of(cast.alice), f"/operations/{one.uuid}/")
    Operation.objects.update(state="running", worker="one")
    assert problems_of(cast.payments) == [] and words not in page(client_of(cast.alice), f"/operations/{one.uuid}/")


def test_a_host_that_is_silent_is_a_problem_of_operators(cast: Cast) -> None:
    made_host()
    assert host_problems() == []
    Host.objects.update(libvirt_seen_at=timezone.now() - timedelta(minutes=2))
    assert "hv1" in host_problems()[0].words
    assert problems_of(cast.payments) == []
