"""Sentences that the network core makes in English are told in the page's language, by the forms that they are of."""

from __future__ import annotations

import re

import pytest
from django.utils import translation

from portal.config.told import FORMS, PLACE, PLACES, told
from portal.networks.claims import KINDS
from portal.networks.conflicts import DROPPED
from portal.networks.hint_models import HintSource
from portal.traces.past import ADVICE
from sdn.model.bypass import LABELS, TRUTHS, Bypass
from sdn.pipeline import DROP_REASONS, TABLES
from sdn.trace.words import REFUSALS, SUGGESTIONS
from tests.words.texts import has_words

RUSSIAN = re.compile("[а-яё]", re.IGNORECASE)
SENTENCES = {
    "Dropped in table 65 (ingress_rules) of hv1: no ingress rule allows it.": (
        "Отброшен в таблице 65 (ingress_rules) на hv1: его не разрешает ни одно входящее правило."
    ),
    "Allow tcp/5432 from web-1 in an ingress rule of one of db-1's security groups.": (
        "Разрешите tcp/5432 от web-1 входящим правилом одной из групп безопасности db-1."
    ),
    "web-1 reaches db-1.": "web-1 достигает db-1.",
    "Its source MAC is not the port's own": "Его исходный MAC не принадлежит порту",
    "A real packet got to tap0 on hv2 in 1.4 ms; it was not given to the guest.": (
        "Настоящий пакет дошёл до tap0 на hv2 за 1.4 мс; гостю он не передан."
    ),
    "Unknown past here: the switch of hv2 did not answer within 5 s.": (
        "Дальше неизвестно: коммутатор hv2 не ответил за 5 с."
    ),
    "Dropped on hv1 in the Linux bridge qbr1: rule 2 of chain c, table bridge t, drops it: tcp dport 22 drop (it has counted 3 packets, 252 B so far). This is the host's own doing, not Hopsight's.": (
        "Отброшен на hv1 в мосту Linux qbr1: правило 2 цепочки c таблицы bridge t отбрасывает его: tcp dport 22 drop "
        "(пока насчитано: пакетов 3, байт 252). Это дело самого хоста, не Hopsight."
    ),
    "It leaves hv1 by p1 of br-int into namespace blue, interface eth0 10.0.0.5/24. The address 10.0.0.77 is none of that interface's: whether it is passed on from there is the namespace's to say.": (
        "Он покидает hv1 через p1 моста br-int и попадает в пространство имён blue, интерфейс eth0 10.0.0.5/24. Адрес 10.0.0.77 не "
        "принадлежит этому интерфейсу: пойдёт ли пакет дальше, решает само пространство имён."
    ),
    "Dropped at the end of p1 of br-int on hv1: namespace pid 77, interface eth0 without an address, is down.": (
        "Отброшен на конце p1 моста br-int на hv1: пространство имён pid 77, интерфейс eth0 без адреса — выключен."
    ),
    "Rule “tcp/22 from anywhere” of group default": "Правило «tcp/22 отовсюду» группы default",
}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_sentence_is_told_in_russian_with_its_own_names(sentence: str) -> None:
    with translation.override("ru"):
        assert told(sentence) == SENTENCES[sentence]
    assert told(sentence) == sentence


def test_what_the_pipeline_and_the_traces_say_by_their_tables_has_a_form() -> None:
    said = {reason.words for reason in DROP_REASONS} | {table.purpose for table in TABLES}
    said |= {words for _, words in REFUSALS}
    said |= {re.sub(r"{(\w+)}", r"%(\1)s", words) for words in SUGGESTIONS.values()}
    said |= {DROPPED, ADVICE, *map(str, dict(HintSource.choices).values())}
    said |= {re.sub(r"{(\w+)}", r"%(\1)s", words) for kind in KINDS for words in (kind.words, kind.advice)}
    past = {words for kind, words in {**LABELS, **TRUTHS}.items() if kind != "other"}
    said |= {words.replace("{device}", "%(parent)s").replace("{mode}", "%(mode)s") for words in past}
    assert said - FORMS == set()


def _past(kind: str, mode: str = "") -> list[str]:
    """What a trace says of a NIC past Open vSwitch: what it sends, and what is for it beside what is told of the way."""
    nic = Bypass(kind, "eth0.42", mode, "42")
    return [nic.label, nic.truth, nic.words_from("db-1"), f"{nic.words_from('db-1')} {nic.words_to('web-1')}"]


@pytest.mark.parametrize("kind", [*TRUTHS, "pool", "macvtap"])
def test_what_is_said_of_a_nic_past_open_vswitch_is_told_whole(kind: str) -> None:
    own = re.compile(r"db-1|web-1|eth0\.42|bridge|vepa|private|passthrough|macvtap|vhost-user")
    with translation.override("ru"):
        english = {
            word for said in map(told, _past(*kind.split())) for word in re.findall(r"\b[a-z]{3,}\b", own.sub("", said))
        }
    assert english <= {"libvirt", "tap"}


TOLD_TOO = {"title": "Create VM", "pace": "7.0 packets/s, 7.0 kbit/s"}  # which are not in the sentence as they were


def _value(name: str) -> str:
    return TOLD_TOO.get(name) or ("7" if name in PLACES else f"{name}-7")


def test_each_form_is_taken_apart_as_it_was_put_together() -> None:
    with translation.override("ru"):
        lost = []
        for form in FORMS:
            values = {name: _value(name) for name in PLACE.findall(form)}
            sentence = form % values if values else form
            shown = told(sentence)
            is_told = RUSSIAN.search(shown) or not has_words(PLACE.sub("", form))
            if not is_told or any(value not in shown for name, value in values.items() if name not in TOLD_TOO):
                lost.append(sentence)
    assert lost == []


@pytest.mark.parametrize("sentence", ["", "db-1", "port", "host", "Something that nobody has a form for."])
def test_what_is_of_no_form_stays_as_it_is(sentence: str) -> None:
    with translation.override("ru"):
        assert told(sentence) == sentence
