"""What a form refuses is said in the page's language, and in English by the API."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse

from portal.accounts.permissions import RIGHTS, ROLE_WORDS, TEAM_RANK, Needs, refusal_words
from tests.cast import Cast, make_cast
from tests.portal.clients import client_of, made_vm

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server")]
RUSSIAN = re.compile("[а-яё]", re.IGNORECASE)


@pytest.fixture
def cast() -> Cast:
    cast = make_cast()
    for person in (cast.alice, cast.charlie):
        person.language = "ru"
        person.save()
    return cast


def test_a_wrong_name_is_refused_in_russian_on_the_page_and_in_english_by_the_api(cast: Cast) -> None:
    client = client_of(cast.alice)
    page = client.post(reverse("vm_create"), {"name": "No Such", "image": "none", "flavor": "none"})
    assert page.status_code == 422
    assert "указано «No Such»; допустимо от 1 до 63 знаков" in page.content.decode()
    body = {"name": "No Such", "image": cast.image.slug, "flavor": cast.flavor.name, "network": cast.network.name}
    answer = client.post("/api/v1/vms", body, content_type="application/json", HTTP_ACCEPT_LANGUAGE="ru")
    assert answer.status_code == 422
    assert "“No Such” was given; allowed are 1 to 63" in answer.json()["errors"]["name"][0]
    assert not RUSSIAN.search(answer.content.decode())


def test_an_action_s_reason_is_whole_in_one_language(cast: Cast) -> None:
    vm = made_vm(cast)
    page = client_of(cast.alice).get(reverse("vm", args=[vm.uuid])).content.decode()
    assert "выполняется «Создать ВМ»" in page.lower() or "Выполняется «Создать ВМ»" in page
    assert "is under way" not in page


def test_a_right_that_is_missing_names_the_roles_in_russian(cast: Cast) -> None:
    page = client_of(cast.charlie).get(reverse("vm_create")).content.decode()
    assert "Ваша роль в команде Payments: наблюдатель; нужна роль: участник" in page


def test_each_role_that_a_refusal_may_name_is_a_word_of_the_catalogue() -> None:
    told = {str(needs) for needs in RIGHTS.values()} - {Needs.NOTHING, Needs.PERSON, Needs.OPERATOR}
    assert told | set(TEAM_RANK) <= set(ROLE_WORDS)
    assert "needs the role member" in refusal_words("vm.create", "viewer", "Payments")
