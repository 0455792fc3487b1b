"""What hosts' histories, the devices of a path, captures and consoles say is told in Russian, on pages too."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.urls import reverse
from django.utils import translation

from portal.accounts.factors import KINDS as FACTORS
from portal.accounts.templatetags.hopsight import said_each, verdict
from portal.config.told import told
from portal.config.told_records import WORDS
from portal.console.access import NO_SCREEN, NOT_ON
from portal.topology.topology_changes import change_words
from portal.topology.topology_objects import ObjectChange
from portal.traces.presentation import VERDICT_WORDS
from tasks import flow_history, topology_causes, topology_history
from tests.cast import make_cast
from tests.portal.clients import client_of, made_vm

TOLD = {
    "alice: Create VM web-1": "alice: Создать ВМ web-1",
    "alice asked to start the VM web-1": "alice просит запустить ВМ web-1",
    "Router r1, outside by hv1": "Маршрутизатор r1, наружу через hv1",
    "VNI 4097, +50 B, to 192.0.2.11": "VNI 4097, +50 Б, к 192.0.2.11",
    "192.0.2.11, 134 of 1600 B": "192.0.2.11, 134 из 1600 Б",
    "cable from qvb1, port 4 of br-int": "кабель от qvb1, порт 4 моста br-int",
    "ports: qvb1, vnet1; fdb: to vnet1 (no entry is kept (ageing 0): it goes to every other port); netfilter: accepted by 3 chains": (
        "порты: qvb1, vnet1; fdb: к vnet1 (записи не хранятся (ageing 0): он идёт во все остальные порты); netfilter: принят, цепочек 3"
    ),
    "port 4 of br-int, link up, MTU 1500": "порт 4 моста br-int, линк поднят, MTU 1500",
}


@pytest.mark.parametrize("sentence", TOLD)
def test_it_is_told_in_russian(sentence: str) -> None:
    with translation.override("ru"):
        assert told(sentence) == TOLD[sentence]


def test_why_a_switch_changed_and_why_a_console_stays_shut_have_forms() -> None:
    said = {flow_history.STARTED, topology_history.STARTED, topology_history.AWAY, topology_causes.CHANNEL}
    said |= {f"web-1 {words}" for words in (NO_SCREEN, *NOT_ON.values())}
    said |= {topology_causes.NOT_OURS, f"{topology_causes.NOT_OURS}: nothing was asked of VM web-1 then"}
    said |= {"Hopsight’s own seat access in payments-net", "Hopsight’s controller keeps it"}
    with translation.override("ru"):
        assert {words for words in said if told(words) == words} == set()
        assert [word for word in FACTORS.values() if said_each(word) == word] == []
        assert said_each("password, passkey") == "пароль, ключ доступа"
        assert [word for word in VERDICT_WORDS if verdict(word) == word] == []


def test_words_of_machines_are_in_the_catalogue_and_so_is_a_change_of_a_port() -> None:
    came = ObjectChange("port br-int/vnet0", None, {"kind": "tap", "link": "down", "speed_bps": 10**9})
    with translation.override("ru"):
        assert {word for word in WORDS if translation.gettext(word) == word} <= {"datapath"}
        assert change_words(came, "VM web-1") == "tap, линк опущен, скорость 1000 Мбит/с, для ВМ web-1"
    assert change_words(came, "VM web-1") == "tap, link down, speed 1000 Mbit/s, for VM web-1"


def test_the_templates_show_no_state_or_verdict_as_the_row_has_it() -> None:
    """`{{ x.state }}` as what people read: a tag's attribute may have it, a cell or a chip may not."""
    shown = []
    for path in settings.BASE_DIR.glob("portal/**/templates/**/*.html"):
        for name in ("state", "verdict", "link", "cause", "why"):
            shown += [f"{path.name}: {name}" for end in (" }}<", "|default") if f".{name}{end}" in path.read_text()]
    assert shown == []


@pytest.mark.django_db
@pytest.mark.usefixtures("redis_server")
def test_the_devices_panel_and_the_map_s_tables_are_in_russian() -> None:
    cast = make_cast()
    vm = made_vm(cast)
    client = client_of(cast.alice)
    client.cookies["django_language"] = "ru"
    page = client.get(reverse("vm", args=[vm.uuid])).content.decode()
    assert "Процессор" in page and "Сетевая карта" in page
    assert "Processor" not in page and ">NICs" not in page
