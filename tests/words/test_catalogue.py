"""The Russian catalogues have every word that is marked, and say the same with the same placeholders.

Which words the islands mark, frontend/src/words.test.ts asks.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from tests.words.catalogue import Entry, entries

RUSSIAN = settings.BASE_DIR / "portal" / "locale" / "ru" / "LC_MESSAGES"
PLACEHOLDER = re.compile(r"%\(\w+\)s|%[sd]|\{\w*\}")


@pytest.fixture(scope="module", params=["django", "djangojs"])
def russian(request: pytest.FixtureRequest) -> list[Entry]:
    return entries((RUSSIAN / f"{request.param}.po").read_text())


def test_every_marked_word_is_in_the_catalogue(tmp_path: Path) -> None:
    russian = entries((RUSSIAN / "django.po").read_text())
    for name in ("portal", "tasks"):
        shutil.copytree(settings.BASE_DIR / name, tmp_path / name, ignore=shutil.ignore_patterns("*.mo", "*.pyc"))
    words = [sys.executable, str(settings.BASE_DIR / "manage.py"), "makemessages", "-l", "ru", "--no-location"]
    subprocess.run(
        [*words, "--no-wrap", "--no-obsolete"], cwd=tmp_path / "portal", check=True, capture_output=True, timeout=120
    )
    gathered = entries((tmp_path / "portal/locale/ru/LC_MESSAGES/django.po").read_text())
    there = {(entry.context, entry.words) for entry in russian}
    assert [entry.words for entry in gathered if (entry.context, entry.words) not in there] == []


def test_nothing_lacks_its_translation_or_has_a_guessed_one(russian: list[Entry]) -> None:
    assert [entry.words for entry in russian if entry.is_fuzzy or not all(entry.translations)] == []


def test_each_translation_has_the_placeholders_of_its_words(russian: list[Entry]) -> None:
    wrong = []
    for entry in russian:
        wanted = {found for words in (entry.words, entry.plural) for found in PLACEHOLDER.findall(words)}
        if any(set(PLACEHOLDER.findall(told)) != wanted for told in entry.translations):
            wrong.append(entry.words)
    assert wrong == []


def test_a_plural_has_each_of_the_russian_forms(russian: list[Entry]) -> None:
    assert {len(entry.translations) for entry in russian if entry.plural} == {4}
