"""Every page without an object of its own is rendered for somebody who reads Russian."""

from __future__ import annotations

import re

import pytest
from django.urls import NoReverseMatch, reverse

from portal.accounts.entries import PAGES
from tests.cast import Cast, make_cast
from tests.portal.clients import client_of, made_host, made_vm

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server")]
NUMBER_IN_STYLE = re.compile(r'style="[^"]*\d,\d')
NOT_HTML = {"metrics", "vm_effect", "status_line", "topology_inventory"}


@pytest.fixture
def cast() -> Cast:
    made = make_cast()
    made_host()
    made_vm(made)
    for person in (made.alice, made.olga):
        person.language = "ru"
        person.save()
    return made


def _addresses() -> list[str]:
    found = []
    for name, page in PAGES.items():
        if page.get is None or name in NOT_HTML:
            continue
        try:
            found.append(reverse(name))
        except NoReverseMatch:  # a page of one object
            continue
    return found


def test_pages_are_rendered_in_russian(cast: Cast) -> None:
    wrong, shown = [], 0
    for person in (cast.alice, cast.olga):
        client = client_of(person)
        for url in _addresses():
            answer = client.get(url)
            if answer.status_code != 200:
                continue
            page, shown = answer.content.decode(), shown + 1
            if '<html lang="ru"' not in page or NUMBER_IN_STYLE.search(page):
                wrong.append(f"{person.username} {url}")
    assert wrong == []
    assert shown > 40


def test_an_object_s_page_and_what_is_beside_it_are_in_russian(cast: Cast) -> None:
    client = client_of(cast.alice)
    vm = cast.payments.vms.get()
    page = client.get(reverse("vm", args=[vm.uuid])).content.decode()
    assert "Создаётся" in page
    assert "Цепочка устройств" in page
    assert "Подсети" in client.get(reverse("network", args=[cast.network.uuid])).content.decode()
    assert "порт" in client.get(reverse("security_groups")).content.decode().lower()
