"""Lists that are long come in pages; choices that are too many are typed, by a name or an address, and mean the same."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from portal.checks.models import PathCheck
from portal.compute.models import VM
from portal.config import cut as cutting
from portal.config.cut import cut, few
from portal.history import series
from portal.history.store import busiest_of_all, write_samples
from portal.networks import views as network_views
from portal.networks.floating_requests import allocate_floating
from portal.networks.models import FloatingAddress, Mirror
from portal.operations.models import Operation
from portal.traces.models import TraceRequest
from portal.volumes.models import Volume
from tests.cast import Cast
from tests.portal.clients import client_of, made_host, made_vm, made_volume


@pytest.fixture
def long(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> list[VM]:
    """Three VMs on a host, where two would be too many to choose from."""
    monkeypatch.setattr(cutting, "MOST_OPTIONS", 1)
    rows = [made_vm(cast, f"web-{number}") for number in range(3)]
    VM.objects.update(host=made_host(), state="running")
    Operation.objects.update(state="done")
    return list(VM.objects.filter(pk__in=[row.pk for row in rows]).order_by("name"))


@pytest.mark.parametrize("per_page", [1, 2, 3, 4, 5])
def test_pages_lead_through_all_rows_once_and_keep_the_rest_of_the_query(cast: Cast, per_page: int) -> None:
    names = [made_vm(cast, f"web-{number}").name for number in range(4)]
    seen, query = [], "state=&q=a%26b"
    while query:
        found = cut(VM.objects.order_by("name"), QueryDict(query), per_page)
        assert QueryDict(query)["q"] == "a&b"
        seen, query = seen + [row.name for row in found.rows], found.after
    assert seen == names
    assert (found.page, found.pages, found.total) == (-(-4 // per_page), -(-4 // per_page), 4)


@pytest.mark.parametrize("page", ["0", "-1", "99", "１", "x", "9" * 400, ""])
def test_a_page_that_is_none_is_the_nearest_that_is_one(cast: Cast, page: str) -> None:
    made_vm(cast)
    found = cut(VM.objects.order_by("name"), QueryDict(f"page={page}"), 1)
    assert (len(found.rows), found.page, found.before, found.after) == (1, 1, "", "")


def test_few_are_listed_and_more_are_not(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "MOST_OPTIONS", 2)
    made_vm(cast, "b"), made_vm(cast, "a")
    assert [vm.name for vm in few(VM.objects.order_by("name")) or ()] == ["a", "b"]
    made_vm(cast, "c")
    assert few(VM.objects.order_by("name")) is None


def test_a_networks_page_has_all_ports_and_the_list_leads_there(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_views, "PORTS_SHOWN", 1)
    for number in range(3):
        made_vm(cast, f"web-{number}")
    page = client_of(cast.bob).get(reverse("networks")).content.decode()
    assert re.search(r"All \d+ ports", page) and "web-1" not in page
    assert "web-1" in client_of(cast.bob).get(reverse("network", args=[cast.network.uuid])).content.decode()


def test_a_typed_source_asks_for_the_same_trace(cast: Cast, long: list[VM]) -> None:
    address = long[1].ports.get().addresses.order_by("pk")[0].address
    page = client_of(cast.bob).get(reverse("trace_new")).content.decode()
    assert re.search(r'<input[^>]*name="source"', page) and address not in page
    for typed in ("web-1", address, str(long[1].ports.get().uuid)):
        asked = {"source": typed, "target": "web-2", "protocol": "icmp"}
        assert client_of(cast.bob).post(reverse("trace_new"), asked).status_code == 302
        assert TraceRequest.objects.latest("pk").source == long[1].ports.get()
    refused = client_of(cast.bob).post(
        reverse("trace_new"), {"source": "nobody", "target": "web-2", "protocol": "icmp"}
    )
    assert "nobody" in refused.content.decode() and "give its name or address" in refused.content.decode()


def test_typed_ends_make_checks_mirrors_volumes_and_floating_addresses(cast: Cast, long: list[VM]) -> None:
    bob = client_of(cast.bob)
    for page in ("checks", "mirrors", "volumes", "floating", "vm_create"):
        assert "web-1 ·" not in bob.get(reverse(page)).content.decode(), page
    check = {"source": "web-1", "target": "web-2", "protocol": "tcp", "port_dst": "22", "expected": "delivered"}
    assert bob.post(reverse("checks"), check).status_code == 302
    assert PathCheck.objects.get().source == long[1].ports.get()
    assert bob.post(reverse("mirrors"), {"watch": "web-1", "to": "web-2", "what": "both"}).status_code == 302
    assert Mirror.objects.get().target == long[2].ports.get()
    made_volume(cast, "seed", host=long[0].host)
    volume = {"name": "logs", "size_gib": "1", "vm": "web-1", "bus": "virtio"}
    assert bob.post(reverse("volumes"), volume).status_code == 302
    assert Volume.objects.get(name="logs").vm == long[1]
    row = allocate_floating(cast.payments, cast.external)
    given = {"action": "associate", "port": "web-1"}
    assert bob.post(reverse("floating_change", args=[row.uuid]), given).status_code == 302
    fixed = FloatingAddress.objects.get().fixed
    assert fixed is not None and fixed.port == long[1].ports.get()


def test_the_busiest_of_all_are_ranked_by_both_ways_together(cast: Cast) -> None:
    values = {pk: (float(pk % 7), float(pk % 5), 0.0, 0.0, 0.0, 0.0) for pk in range(1, 300)}
    write_samples(series.PORT, 1000, dict.fromkeys(values, (99.0,) * 6))
    write_samples(series.PORT, 1010, values)
    found = busiest_of_all(series.PORT, 20, 1015)
    sums = sorted((values[pk][0] + values[pk][1] for pk in values), reverse=True)[:20]
    assert [sent + received for _, (sent, received, *_) in found] == sums
    assert all(values[pk] == told for pk, told in found)
    with CaptureQueriesContext(connection) as asked:
        assert busiest_of_all(series.PORT, 20, 1015) == found
    assert len(asked) == 1, "they are ranked once for each step's samples"
    write_samples(series.PORT, 1010, {300 * 64: (500.0,) * 6})  # a page that came late
    assert busiest_of_all(series.PORT, 20, 1015)[0][0] == 300 * 64
