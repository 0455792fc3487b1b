"""Pages are rendered for somebody who reads Russian: that nothing of them is left in English is test_left_in_english.py's."""

from __future__ import annotations

import pytest
from django.urls import reverse

from tests.cast import Cast, make_cast
from tests.portal.clients import client_of, made_host, made_vm

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server")]


@pytest.fixture
def cast() -> Cast:
    made = make_cast()
    made_host()
    made_vm(made)
    for person in (made.alice, made.olga):
        person.language = "ru"
        person.save()
    return made


def test_an_object_s_page_and_what_is_beside_it_are_in_russian(cast: Cast) -> None:
    client = client_of(cast.alice)
    vm = cast.payments.vms.get()
    page = client.get(reverse("vm", args=[vm.uuid])).content.decode()
    assert "Создаётся" in page
    assert "Цепочка устройств" in page
    assert "Подсети" in client.get(reverse("network", args=[cast.network.uuid])).content.decode()
    assert "порт" in client.get(reverse("security_groups")).content.decode().lower()
