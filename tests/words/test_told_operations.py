"""What workers say of operations has its form: why one failed, how far a stage is, why a host was chosen."""

from __future__ import annotations

import timeit
from pathlib import Path

import pytest
from django.conf import settings
from django.urls import reverse
from django.utils import timezone, translation

from portal.config.told import _told, told
from portal.operations.log_lines import log_line
from portal.operations.models import Operation
from tests.cast import make_cast
from tests.portal.clients import client_of, made_vm
from tests.words.sentences import sentences
from tests.words.texts import has_words

RAISED = (
    "StageError",
    "Cancelled",
    "HypervisorError",
    "CallFailed",
    "CheckpointLost",
    "DiskProblem",
    "Refused",
    "Lost",
)
RAISED += ("HostBusy", "HostUnreachable", "StoreProblem", "NotSent")
TASKS = settings.BASE_DIR / "tasks"
SOURCES = sorted(
    [
        *TASKS.glob("sagas/*.py"),
        *TASKS.glob("hypervisor/*.py"),
        *TASKS.glob("backups/*.py"),
        *TASKS.glob("images/*.py"),
        TASKS / "reconcile/orphans.py",
        TASKS / "reconcile/stray_ports.py",
    ]
)
FAKES = "fake"
SAME = {"tap 7", "qemu-img 7: 7"}  # in both languages


def _untold(path: Path) -> list[str]:
    gives = path.parent.name == "sagas"
    found = dict.fromkeys(words for words in sentences(path, RAISED, gives) if has_words(words))
    return [words for words in found if log_line(words) == words and words not in SAME]


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if not path.name.startswith(FAKES)], ids=lambda path: path.stem
)
def test_what_a_worker_s_source_says_of_operations_is_told_in_russian(path: Path) -> None:
    with translation.override("ru"):
        assert _untold(path) == []


FAILED = "no host can take it: hv1 is in maintenance; hv2 has 12 MiB memory left of 512, 256 MiB are needed"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("Make the disk: done (2 GiB over debian-12)", "Создать диск: готово (2 ГиБ поверх debian-12)"),
        ("Make the disk: what it began is undone", "Создать диск: начатое отменено"),
        ("taken by worker abc:1", "взято рабочим процессом abc:1"),
        ("failed", "ошибка"),
    ],
)
def test_a_line_of_the_log_is_told_in_russian(line: str, shown: str) -> None:
    with translation.override("ru"):
        assert log_line(line) == shown
    assert log_line(line) == line


@pytest.mark.django_db
@pytest.mark.usefixtures("redis_server")
def test_why_an_operation_failed_is_kept_in_english_and_told_in_the_reader_s_language() -> None:
    cast = make_cast()
    made_vm(cast)
    operation = Operation.objects.get(kind="vm.create")
    seat = {"name": "hv1", "words": "is in maintenance"}
    params = {**operation.params, "placement": {"host": "hv2", "because": "asked for by name", "hosts": [seat]}}
    Operation.objects.filter(pk=operation.pk).update(
        state="failed", error=FAILED, params=params, finished_at=timezone.now()
    )
    operation.stages.filter(position=0).update(detail="100% of 512 MiB", state="failed")
    cast.alice.language = "ru"
    cast.alice.save()
    client = client_of(cast.alice)
    page = client.get(reverse("operation", args=[operation.uuid])).content.decode()
    assert "её не может принять ни один хост: hv1 на обслуживании; hv2 осталось 12 МиБ памяти из 512" in page
    assert '">100 % из 512 МиБ<' in page
    assert 'data-english="100% of 512 MiB"' in page
    assert "запрошен по имени" in page
    assert "<dd>на обслуживании</dd>" in page
    assert "её не может принять ни один хост" in client.get(reverse("dashboard")).content.decode()
    told = client.get(f"/api/v1/operations/{operation.uuid}").json()
    assert (told["error"], told["stages"][0]["detail"]) == (FAILED, "100% of 512 MiB")
    cast.alice.language = "en"
    cast.alice.save()
    assert FAILED in client.get(reverse("operation", args=[operation.uuid])).content.decode()


def test_a_sentence_of_no_form_is_looked_for_in_no_time() -> None:
    """Pages tell hundreds of sentences: each is taken apart once, and what is of no form costs no more than a row of a query."""
    with translation.override("ru"):
        told("warm")
        best = min(
            timeit.repeat(
                lambda: _told.__wrapped__("ru", "qemu said at some length: what nobody, of us, knows."),
                number=20,
                repeat=5,
            )
        )
    assert best / 20 < 0.002
