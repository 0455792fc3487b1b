"""What a few letters find: by the rights of who asks, the best first."""

from __future__ import annotations

import pytest
from django.urls import reverse

from portal.networks.models import FixedAddress
from portal.search.places import PLACES
from tests.cast import Cast
from tests.portal.clients import client_of, made_host, made_vm


def found(who: object, text: str) -> list[tuple[str, str]]:
    answer = client_of(who).get("/api/v1/search", {"q": text})
    assert answer.status_code == 200, answer.content
    return [(one["kind"], one["title"]) for one in answer.json()]


def test_a_vm_is_found_by_name_and_by_address_and_only_by_its_team(cast: Cast) -> None:
    vm = made_vm(cast)
    address = FixedAddress.objects.filter(port__vm=vm, address__contains=".")[0].address
    assert ("VM", "web-1") in found(cast.charlie, "web")
    assert found(cast.charlie, address) == [("VM", "web-1")]
    assert ("VM", "web-1") not in found(cast.dana, "web")


def test_a_page_that_begins_so_comes_before_objects_and_other_pages_after(cast: Cast) -> None:
    made_vm(cast, "network-1")
    kinds = [kind for kind, _ in found(cast.bob, "network")]
    assert kinds.index("Page") < kinds.index("VM")
    assert found(cast.bob, "firewall") == [("Page", "Security groups")]


def test_places_are_offered_by_right(cast: Cast) -> None:
    made_host()
    titles = {who: {title for _, title in found(getattr(cast, who), "")} for who in ("charlie", "bob", "olga")}
    assert "Create VM" in titles["bob"] and "Create VM" not in titles["charlie"]
    assert "Hosts" in titles["olga"] and "Hosts" not in titles["bob"]
    assert ("Host", "hv1") in found(cast.olga, "hv") and ("Host", "hv1") not in found(cast.bob, "hv")


@pytest.mark.parametrize("text", ["", "\0", "%", "_", "'", "x" * 200, "10.", "::1", "café"])
def test_no_letters_break_it(cast: Cast, text: str) -> None:
    found(cast.bob, text)


def test_the_page_does_the_same_without_script_and_tells_the_keys(cast: Cast) -> None:
    made_vm(cast)
    page = client_of(cast.bob).get(reverse("search"), {"q": "web"}).content.decode()
    assert "web-1" in page and "<kbd>g</kbd> <kbd>v</kbd>" in page


def test_every_place_is_a_page_and_no_two_have_the_same_keys() -> None:
    for place in PLACES:
        reverse(place.url_name)
    keys = [place.keys for place in PLACES if place.keys]
    assert len(keys) == len(set(keys))
