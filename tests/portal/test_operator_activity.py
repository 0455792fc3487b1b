"""Who changed what that belongs to no team: hosts, what is for all teams, settings, log-ins. For operators, and for nobody else."""

from __future__ import annotations

import csv
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from portal.accounts.activity import AREAS, ActivityAsked, activity_of
from portal.accounts.audit import WORDS, record
from portal.accounts.models import AuditRow
from tests.cast import Cast
from tests.portal.clients import client_of

API = "/api/v1/activity/all"


@pytest.fixture
def rows(cast: Cast) -> list[AuditRow]:
    """A host's change, a bundle, a log-in; and one of the team."""
    return [
        record(
            "host.change", None, cast.olga, ("host", "7", "hv<b>1"), before={"enabled": True}, after={"enabled": False}
        ),
        record("bundle.upload", None, cast.olga, ("bundle", "8", "from site 2"), after={"bytes": 10}),
        record("session.start", None, cast.bob, ("user", str(cast.bob.pk), "192.0.2.7")),
        record("vm.create", cast.payments, cast.bob, ("vm", "00000000-0000-4000-8000-000000000009", "web-1")),
    ]


def names(client: Any, **asked: str) -> list[str]:
    answer = client.get(API, asked)
    assert answer.status_code == 200, answer.content
    return [row["object_name"] for row in answer.json()["items"]]


def test_operators_see_what_is_of_no_team_on_the_page_in_the_file_and_in_the_api(
    cast: Cast, rows: list[AuditRow]
) -> None:
    client = client_of(cast.olga)
    page = client.get(reverse("operator_activity")).content.decode()
    assert "hv&lt;b&gt;1" in page and "from site 2" in page and "logged in from" in page and "web-1" not in page
    told = list(csv.DictReader(StringIO(client.get(reverse("operator_activity"), {"form": "csv"}).content.decode())))
    mine = [row for row in told if int(row["id"]) in {one.pk for one in rows}]
    assert [(row["object_name"], row["hash"]) for row in mine] == [(row.object_name, row.hash) for row in rows[2::-1]]
    assert set(names(client)) >= {"hv<b>1", "from site 2", "192.0.2.7"} and "web-1" not in names(client)


def test_nobody_else_has_the_page_or_a_link_to_it(cast: Cast, rows: list[AuditRow]) -> None:
    for who in (cast.alice, cast.bob, cast.dana):
        client = client_of(who)
        assert client.get(reverse("operator_activity")).status_code == 403
        assert client.get(API).status_code == 403
        assert reverse("operator_activity") not in client.get("/").content.decode()
    assert reverse("operator_activity") in client_of(cast.olga).get("/").content.decode()
    assert "hv" not in str(client_of(cast.bob).get("/api/v1/activity").json()), "nor among the team's rows"


def test_it_is_asked_by_whom_what_and_when(cast: Cast, rows: list[AuditRow]) -> None:
    AuditRow.objects.filter(pk=rows[0].pk).update(at=timezone.now() - timedelta(days=3))
    client = client_of(cast.olga)
    day = (timezone.now() - timedelta(days=3)).date().isoformat()
    for asked, found in (
        ({"who": "OLGA", "area": "hosts"}, ["hv<b>1"]), ({"area": "bundles"}, ["from site 2"]),
        ({"object_id": "8"}, ["from site 2"]), ({"until": day}, ["hv<b>1"]), ({"since": day, "until": day}, ["hv<b>1"]),
        ({"since": (timezone.now() - timedelta(days=1)).isoformat(), "area": "hosts"}, []), ({"who": "nobody"}, []),
    ):  # fmt: skip
        assert names(client, **asked) == found, asked
    page = client.get(reverse("operator_activity"), {"area": "bundles", "until": "2999-01-01"})
    assert "from site 2" in page.content.decode() and "hv&lt;b&gt;1" not in page.content.decode()
    as_file = client.get(f"{reverse('operator_activity')}?{page.context['as_csv']}").content.decode()
    assert "from site 2" in as_file and "hv<b>1" not in as_file, "the file is what the page shows"


def test_every_wrong_filter_is_told_and_nothing_is_shown(cast: Cast, rows: list[AuditRow]) -> None:
    client = client_of(cast.olga)
    asked = {"area": "cooking", "since": "yesterday", "until": "9999-12-31"}
    told = client.get(API, asked).json()["errors"]
    assert set(told) == {"area", "since", "until"} and "hosts, storage, images" in told["area"][0]
    page = client.get(reverse("operator_activity"), asked)
    assert page.status_code == 422 and "“yesterday” was given" in page.content.decode()
    assert client.get(reverse("operator_activity"), asked | {"form": "csv"}).status_code == 422
    assert client.get(API, {"who": "a\0b"}).status_code == 422


def test_pages_lead_through_it(cast: Cast, rows: list[AuditRow]) -> None:
    client = client_of(cast.olga)
    first = client.get(API, {"limit": "1", "who": "olga", "area": "bundles"}).json()
    assert [row["object_name"] for row in first["items"]] == ["from site 2"]
    second = client.get(API, {"limit": "1", "cursor": client.get(API, {"limit": "1"}).json()["next"]}).json()
    assert len(second["items"]) == 1


def test_the_teams_activity_is_asked_the_same(cast: Cast, rows: list[AuditRow]) -> None:
    client = client_of(cast.bob)
    for asked, found in (({"who": "bob"}, ["web-1"]), ({"who": "olga"}, []), ({"since": "2999-01-01"}, [])):
        assert [row["object_name"] for row in client.get("/api/v1/activity", asked).json()["items"]] == found
        assert ("web-1" in client.get(reverse("activity"), asked).content.decode()) == bool(found)


@pytest.mark.django_db
def test_no_act_is_of_two_areas() -> None:
    words = [word for area in AREAS for word in area.words]
    assert len(words) == len(set(words))
    acts = {action.partition(".")[0] for action in WORDS}
    assert {"host", "pool", "backup_store", "bundle", "policy", "session", "external"} <= acts & set(words)
    assert not activity_of(None, ActivityAsked(area="hosts")).exists()
