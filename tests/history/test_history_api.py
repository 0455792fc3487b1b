"""History over the API and on pages: whose it is, which stretch, at which step."""

from __future__ import annotations

import time

import pytest
from django.urls import reverse
from django.utils import translation

from portal.history import series
from portal.history.asked import parse_quantity, quantity
from portal.history.store import write_samples
from portal.networks.models import Port
from tests.cast import Cast
from tests.portal.clients import client_of, made_host, made_vm


def test_a_member_reads_what_the_vm_used_and_a_stranger_gets_404(cast: Cast) -> None:
    vm = made_vm(cast)
    now = int(time.time()) // 10 * 10
    write_samples(series.VM, now - 20, {vm.pk: (25.0, 1024.0, 1.0, 2.0, 3.0, 4.0)})
    url = f"/api/v1/vms/{vm.uuid}/history"
    told = client_of(cast.charlie).get(url).json()
    cpu = told["lines"][0]
    assert (told["kind"], told["step_s"], cpu["name"], cpu["unit"]) == ("vm", 10, "cpu_percent", "percent")
    assert cpu["mean"][told["at"].index(now - 20)] == 25.0
    assert [value for value in cpu["mean"] if value is not None] == [25.0]
    assert client_of(cast.dana).get(url).status_code == 404
    assert client_of(cast.olga).get(url).status_code == 200  # she runs the host


def test_the_range_says_which_step_is_told(cast: Cast) -> None:
    client = client_of(cast.bob)
    told = {name: client.get(f"/api/v1/history/traffic?range={name}").json() for name in ("1h", "24h", "30d")}
    assert {name: one["step_s"] for name, one in told.items()} == {"1h": 10, "24h": 60, "30d": 600}
    assert max(len(one["at"]) for one in told.values()) <= 4321


@pytest.mark.parametrize(
    ("asked", "field"),
    [("range=year", "range"), ("start=5", "start"), ("start=-1", "start"), ("start=2000000000&end=1999999999", "start"), ("end=x", "end")],
)  # fmt: skip
def test_a_stretch_that_there_is_not_is_refused_by_field(cast: Cast, asked: str, field: str) -> None:
    answer = client_of(cast.bob).get(f"/api/v1/history/use?{asked}")
    assert answer.status_code == 422, answer.content
    assert field in answer.json()["errors"]


def test_hosts_are_for_operators_and_ports_for_their_team(cast: Cast) -> None:
    host, port = made_host(), Port.objects.get(vm=made_vm(cast))
    answers = {
        name: [client_of(who).get(url).status_code for who in (cast.bob, cast.olga, cast.dana)]
        for name, url in (
            ("host", f"/api/v1/hosts/{host.name}/history"),
            ("port", f"/api/v1/ports/{port.uuid}/history"),
        )
    }
    assert answers == {"host": [403, 200, 403], "port": [200, 404, 404]}


def test_pages_say_it_in_numbers_beside_the_picture(cast: Cast) -> None:
    host, vm = made_host(), made_vm(cast)
    now = int(time.time()) // 10 * 10
    write_samples(series.VM, now - 20, {vm.pk: (25.0, 64 * 2**20, 1.0, 2.0, 8e6, 4.0)})
    write_samples(series.HOST, now - 20, {host.pk: (75.0, 2**33, 3.0, 0.0, 0.0)})
    page = client_of(cast.bob).get(reverse("vm", args=[vm.uuid])).content.decode()
    assert all(words in page for words in ("25 %", "64 MiB", "8 Mbit/s")), page[-3000:]
    page = client_of(cast.olga).get(reverse("host_load", args=["hv1"]) + "?range=1h").content.decode()
    assert all(words in page for words in ("75 %", "8 GiB"))


def test_quantities_are_worded_in_the_unit_that_fits() -> None:
    assert quantity(1234567.0, "bit/s") == "1.23 Mbit/s"
    assert quantity(1023 * 1024.0, "bytes") == "1023 KiB"
    assert quantity(None, "bytes") == "–"


@pytest.mark.parametrize(
    ("typed", "unit", "value"),
    [("80", "percent", 80), ("80 %", "percent", 80), ("2 GiB", "bytes", 2**31), ("1.5kbit/s", "bit/s", 1500), ("1e6", "bit/s", 1e6), ("2 K/S", "packets/s", 2000), ("2 GiB", "bit/s", None), ("-1", "bytes", None), ("nan", "bytes", None), ("", "bytes", None), ("1 2", "bytes", None), ("5 %", "", None), ("5", "", 5)],
)  # fmt: skip
def test_a_quantity_is_read_as_it_is_typed(typed: str, unit: str, value: float | None) -> None:
    assert parse_quantity(typed, unit) == value


def test_a_quantity_is_typed_in_russian_units_too() -> None:
    with translation.override("ru"):
        assert parse_quantity("2,5 гиб", "bytes") == parse_quantity("2.5 GiB", "bytes") == 2.5 * 1024**3
