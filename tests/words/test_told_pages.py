"""What a page works out in English, for the API too, is told in the reader's language: a diagnosis, a rule, a check."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import translation

from portal.config.told import told
from portal.networks.models import SecurityGroup, SecurityRule
from portal.networks.rule_words import remote_words, rule_words, service_words
from portal.traces.diagnosis import NOT_ON, TITLES
from tests.words.sentences import sentences
from tests.words.texts import has_words

TRACES = settings.BASE_DIR / "portal" / "traces" / "diagnosis.py"
TASKS = settings.BASE_DIR / "tasks"
SAYS = ("Look", "Fix", "Answer")
GROUP, OTHER = SecurityGroup(pk=1, name="default"), SecurityGroup(pk=2, name="web front")
RULES = {
    "tcp/22 from anywhere": ("tcp/22 отовсюду", {"protocol": "tcp", "number_first": 22, "number_last": 22}),
    "udp/5000-5010 to 10.0.0.0/8": (
        "udp/5000-5010 к 10.0.0.0/8",
        {"protocol": "udp", "number_first": 5000, "number_last": 5010, "direction": "egress", "cidr": "10.0.0.0/8"},
    ),
    "any protocol over IPv6 from members of the same group": (
        "любой протокол по IPv6 от участников той же группы",
        {"protocol": "any", "family": 6, "remote_group": GROUP},
    ),
    "icmp type 8 code 0 from members of web front": (
        "icmp type 8 code 0 от участников web front",
        {"protocol": "icmp", "number_first": 8, "number_last": 0, "remote_group": OTHER},
    ),
}


@pytest.mark.parametrize("words", RULES)
def test_a_rule_is_told_in_russian(words: str) -> None:
    shown, columns = RULES[words]
    rule = SecurityRule(**{"group": GROUP, "direction": "ingress", "family": 4, "cidr": "", **columns})
    assert rule_words(rule) == words
    with translation.override("ru"):
        assert told(words) == shown
        assert f"{told(service_words(rule))} | {told(remote_words(rule))}".count("any") == 0
        assert told(f"Rule “{words}” of group default") == f"Правило «{shown}» группы default"


@pytest.mark.parametrize("path", [TRACES, TASKS / "traces.py", TASKS / "what_ifs.py"], ids=lambda path: path.stem)
def test_what_a_diagnosis_or_a_broken_trace_says_is_told_in_russian(path: Path) -> None:
    said = {words for words in sentences(path, (*SAYS, "TraceFailed"), gives=True) if has_words(words)}
    with translation.override("ru"):
        assert {words for words in said if told(words) == words} == set()


@pytest.mark.parametrize("name", ["observed", "look"])
def test_what_real_traffic_does_is_told_in_russian(name: str) -> None:
    source = settings.BASE_DIR / "sdn" / "observe" / f"{name}.py"
    said = {words for words in sentences(source, ("LookFailed", "Divergence"), gives=True) if words[0].isupper()}
    assert said
    with translation.override("ru"):
        left = {words for words in said if re.search(r"\b(the|and|real|packets|is|at|of)\b", told(words))}
    assert left == set()


def test_each_look_of_a_diagnosis_has_its_title_in_russian() -> None:
    with translation.override("ru"):
        assert [title for title in TITLES.values() if told(title) == title] == []
        assert [words for words in NOT_ON.values() if told(f"web-1 {words}.") == f"web-1 {words}."] == []


def test_what_a_diagnosis_comes_to_is_told_whole() -> None:
    sentence = "From outside, tcp/22 does not reach web-1: dropped in table 65 (ingress_rules) of hv1: no ingress rule allows it."
    with translation.override("ru"):
        shown = told(sentence)
    assert shown.startswith("Снаружи tcp/22 не доходит до web-1: отброшен в таблице 65")
    assert "allows" not in shown
