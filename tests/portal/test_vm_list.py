"""The list of VMs: the database searches, sorts and pages; one action for many has a result for each; tags and kept filters."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from uuid import uuid4

import pytest
from django.urls import reverse
from django.utils import timezone

from portal.accounts.models import AuditRow
from portal.compute.bulk import MOST, act_on_many
from portal.compute.listing import PER_PAGE, listed, parse_asked
from portal.compute.models import VM, SavedFilter, VMState
from portal.compute.requests import VMProblem
from portal.compute.tags import set_tags
from portal.compute.views import vms_of
from portal.operations.models import Operation
from tests.cast import Cast
from tests.portal.clients import client_of, made_host, made_vm


@pytest.fixture
def vms(cast: Cast) -> list[VM]:
    """web-1 runs, db-1 is off and tagged, api-1 runs and is protected."""
    host = made_host()
    made = [made_vm(cast, name) for name in ("web-1", "db-1", "api-1")]
    Operation.objects.update(state="done")
    VM.objects.update(host=host, state=VMState.RUNNING)
    VM.objects.filter(name="db-1").update(state=VMState.STOPPED)
    VM.objects.filter(name="api-1").update(is_protected=True)
    for vm in made:
        vm.refresh_from_db()
    set_tags(made[1], cast.alice, ["prod", "Store"])
    return made


def names(cast: Cast, query: dict[str, str]) -> list[str]:
    return [vm.name for vm in listed(cast.payments, vms_of(cast.payments), parse_asked(query)).rows]


def test_it_is_searched_by_name_tag_and_address_and_filtered_and_sorted_both_ways(cast: Cast, vms: list[VM]) -> None:
    address = vms[0].ports.get().addresses.all()[0].address
    assert names(cast, {}) == ["api-1", "db-1", "web-1"] and names(cast, {"sort": "-name"}) == [
        "web-1",
        "db-1",
        "api-1",
    ]
    assert names(cast, {"q": "WEB"}) == ["web-1"] == names(cast, {"q": address})
    assert names(cast, {"q": "stor"}) == ["db-1"] == names(cast, {"tag": "prod"}) == names(cast, {"state": "stopped"})
    assert names(cast, {"q": "prod web"}) == [] and names(cast, {"sort": "age"}) == ["api-1", "db-1", "web-1"]


@pytest.mark.parametrize(
    "query", ["sort=;drop", "page=0", "page=999999", "page=x", "state=<b>", "q=%00", "tag=%27", "sort=-"]
)
def test_a_url_that_makes_no_sense_is_the_plain_list(cast: Cast, vms: list[VM], query: str) -> None:
    assert client_of(cast.bob).get(f"{reverse('vm_list')}?{query}").status_code == 200


def test_pages_have_all_of_them_once(cast: Cast, vms: list[VM]) -> None:
    like = vms[0]
    VM.objects.bulk_create(
        VM(team=cast.payments, name=f"n-{number:03}", image=like.image, flavor=like.flavor, vcpus=1, ram_mib=64, disk_gib=1,
           request_key=f"n{number}") for number in range(PER_PAGE * 2)
    )  # fmt: skip
    seen = [name for page in "123" for name in names(cast, {"page": page})]
    assert len(seen) == len(set(seen)) == PER_PAGE * 2 + 3
    page = client_of(cast.bob).get(reverse("vm_list"), {"page": "2", "q": "n-"}).content.decode()
    assert "51 to 100 of 100 that match" in page and 'rel="prev"' in page and 'rel="next"' not in page


def test_one_action_for_many_has_a_result_for_each_and_a_refusal_holds_no_other_up(cast: Cast, vms: list[VM]) -> None:
    asked = [*(vm.uuid for vm in vms), uuid4()]
    web, db, api, none = act_on_many(cast.payments, cast.bob, "stop", asked)
    assert web.operation and api.operation and not web.problem
    assert "it is stopped" in db.problem and "no such VM" in none.problem
    assert Operation.objects.filter(kind="vm.stop").count() == 2
    page = client_of(cast.bob).post(reverse("vm_bulk"), {"action": "delete", "vm": [str(vm.uuid) for vm in vms]})
    told = page.content.decode()
    assert "3 asked, 3 refused" in told or "3 asked, 2 refused" in told
    assert "protected from being deleted" in told or "is under way" in told


def test_the_api_has_it_too_and_refuses_what_is_no_action_or_too_many(cast: Cast, vms: list[VM]) -> None:
    client = client_of(cast.bob)
    body = {"action": "start", "uuids": [str(vm.uuid) for vm in vms]}
    told = client.post("/api/v1/bulk/vms", json.dumps(body), content_type="application/json").json()
    assert [bool(one["operation"]) for one in told] == [False, True, False]
    for action, uuids in (("explode", [vms[0].uuid]), ("stop", []), ("stop", [uuid4() for _ in range(MOST + 1)])):
        with pytest.raises(VMProblem, match="allowed"):
            act_on_many(cast.payments, cast.bob, action, uuids)


def test_another_teams_vm_is_none_and_a_viewer_may_not(cast: Cast, vms: list[VM]) -> None:
    (one,) = act_on_many(cast.search, cast.dana, "stop", [vms[0].uuid])
    assert one.operation is None and one.name == str(vms[0].uuid)
    posted = {"action": "stop", "vm": [str(vms[0].uuid)]}
    assert client_of(cast.charlie).post(reverse("vm_bulk"), posted).status_code == 403
    assert client_of(cast.dana).post(reverse("vm_tags", args=[vms[0].uuid]), {"tags": "x"}).status_code == 404
    assert not Operation.objects.filter(kind="vm.stop").exists()


def test_tags_are_set_as_a_whole_audited_and_bad_ones_are_all_named(cast: Cast, vms: list[VM]) -> None:
    client = client_of(cast.bob)
    path = f"/api/v1/vms/{vms[1].uuid}"
    told = client.patch(path, '{"tags": ["web", "prod"]}', content_type="application/json").json()
    assert told["tags"] == ["prod", "web"]
    assert AuditRow.objects.filter(action="vm.tags").order_by("id").last().before == {"tags": ["prod", "store"]}  # type: ignore[union-attr]
    refused = client.patch(path, '{"tags": ["<b>", "ok", "-x"]}', content_type="application/json")
    assert refused.status_code == 422 and len(refused.json()["errors"]["tags"]) == 2
    assert client.get("/api/v1/vms?tag=web").json()["items"][0]["name"] == "db-1"


def test_a_filter_is_kept_for_the_person_alone_and_can_be_forgotten(cast: Cast, vms: list[VM]) -> None:
    client = client_of(cast.bob)
    answer = client.post(reverse("vm_filters"), {"name": "Production <b>", "tag": "prod", "sort": "-age"})
    assert answer["Location"] == f"{reverse('vm_list')}?tag=prod&sort=-age"
    assert "Production &lt;b&gt;" in client.get(reverse("vm_list")).content.decode()
    assert "Production" not in client_of(cast.alice).get(reverse("vm_list")).content.decode()
    client.post(reverse("vm_filters"), {"name": "nothing"})
    client.post(reverse("vm_filters"), {"forget": "Production <b>"})
    assert not SavedFilter.objects.exists()


def _heads(page: str) -> list[str]:
    heads = re.findall(r"<th\b.*?</th>", page, re.S)
    return [" ".join(re.sub(r"<[^>]+>", " ", head).replace("↑", "").split()) for head in heads]


def test_columns_are_chosen_kept_with_the_person_and_shared_by_url(cast: Cast, vms: list[VM]) -> None:
    client = client_of(cast.bob)
    usual = _heads(client.get(reverse("vm_list")).content.decode())
    chosen = {
        "column": ["mac", "owner", "network", "floating", "lease", "disk", "no such <b>"],
        "q": "web",
        "sort": "-age",
    }
    answer = client.post(reverse("vm_columns"), chosen)
    assert answer["Location"] == f"{reverse('vm_list')}?q=web&sort=-age&columns=disk,network,floating,mac,owner,lease"
    for url in (answer["Location"], reverse("vm_list")):  # the second without a word of columns: as chosen last
        page = client.get(url).content.decode()
        assert _heads(page)[2:-1] == [
            "Disk",
            "Network",
            "Floating addresses",
            "MAC address",
            "Created by",
            "Lease until",
        ]
        assert vms[0].ports.get().mac in page and "payments-net" in page
    theirs = client_of(cast.alice)
    assert _heads(theirs.get(reverse("vm_list")).content.decode()) == usual
    shared = theirs.get(reverse("vm_list"), {"columns": "host,state"}).content.decode()
    assert _heads(shared)[2:-1] == ["State", "Host"]
    assert client.post(reverse("vm_columns"), {})["Location"].endswith("columns=state,address,size,image,host,age")
    assert _heads(client.get(reverse("vm_list")).content.decode()) == usual


@pytest.mark.parametrize("sort", ["lease", "owner", "disk"])
def test_what_has_none_comes_last_in_both_directions(cast: Cast, vms: list[VM], sort: str) -> None:
    VM.objects.filter(name="db-1").update(lease_until=None, created_by=None, disk_gib=99)
    soon, late = timezone.now() + timedelta(days=1), timezone.now() + timedelta(days=9)
    VM.objects.filter(name="web-1").update(lease_until=soon, created_by=cast.alice, disk_gib=1)
    VM.objects.filter(name="api-1").update(lease_until=late, created_by=cast.bob, disk_gib=2)
    assert names(cast, {"sort": sort}) == ["web-1", "api-1", "db-1"]
    last = ["db-1", "api-1", "web-1"] if sort == "disk" else ["api-1", "web-1", "db-1"]
    assert names(cast, {"sort": f"-{sort}"}) == last
