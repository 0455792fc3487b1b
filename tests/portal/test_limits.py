"""Rate limits of ports: what may be asked, what is stored, and who may."""

from __future__ import annotations

import pytest
from django.urls import reverse

from portal.accounts.models import AuditRow
from portal.networks.intent import load_snapshot
from portal.networks.models import Port
from sdn.model.intent import RateLimit
from tests.cast import Cast
from tests.portal.clients import client_of, made_vm


@pytest.fixture
def port(cast: Cast) -> Port:
    return Port.objects.get(vm=made_vm(cast))


def _intent(port: Port) -> tuple[RateLimit | None, RateLimit | None]:
    found = next(one for one in load_snapshot().ports if one.id == port.pk)
    return found.sends, found.receives


def test_a_limit_goes_from_the_page_to_the_intent_and_away_again(cast: Cast, port: Port) -> None:
    url, bob = reverse("port_limits", args=[port.uuid]), client_of(cast.bob)
    before = load_snapshot().generation
    bob.post(url, {"sends_kbps": "20000", "receives_kbps": "1000", "receives_burst_kbit": "500"})
    assert _intent(port) == (RateLimit(20000, 5000), RateLimit(1000, 500))
    assert load_snapshot().generation > before
    page = bob.get(reverse("vm", args=[port.vm.uuid])).content.decode()
    assert 'name="sends_kbps" value="20000"' in page
    assert AuditRow.objects.filter(action="port.limits", object_id=str(port.vm.uuid)).count() == 1
    bob.post(url, {})
    assert _intent(port) == (None, None)


def test_everything_that_is_wrong_is_told_at_once_and_nothing_stored(cast: Cast, port: Port) -> None:
    asked = {"sends_kbps": 1, "sends_burst_kbit": 99, "receives_burst_kbit": 500}
    answer = client_of(cast.bob).put(f"/api/v1/ports/{port.uuid}/limits", asked, content_type="application/json")
    assert answer.status_code == 422
    assert answer.json()["errors"] == {
        "sends_kbps": ["1 was given; 64 to 40000000 kbit/s are allowed"],
        "sends_burst_kbit": ["99 was given; 100 to 40000000 kbit are allowed"],
        "receives_burst_kbit": ["500 was given without a rate: a burst is of a rate"],
    }
    posted = client_of(cast.bob).post(reverse("port_limits", args=[port.uuid]), {"sends_kbps": "fast"}, follow=True)
    assert "“fast” was given; a number is allowed" in posted.content.decode()
    assert _intent(port) == (None, None)


def test_viewers_see_limits_and_members_set_them(cast: Cast, port: Port) -> None:
    url = f"/api/v1/ports/{port.uuid}/limits"
    put = {"sends_kbps": 8000}
    assert client_of(cast.charlie).put(url, put, content_type="application/json").status_code == 403
    assert client_of(cast.dana).put(url, put, content_type="application/json").status_code == 404
    assert client_of(cast.bob).put(url, put, content_type="application/json").json()["sends_burst_kbit"] == 2000
    assert client_of(cast.charlie).get(url).json()["sends_kbps"] == 8000


def test_switching_port_security_off_is_audited_with_who_did_it(cast: Cast, port: Port) -> None:
    client_of(cast.alice).put(
        f"/api/v1/ports/{port.uuid}/security", {"is_secured": False}, content_type="application/json"
    )
    row = AuditRow.objects.get(action="port.security", object_id=str(port.vm.uuid))
    assert (row.actor, row.before, row.after) == ("alice", {"is_secured": True}, {"is_secured": False})
