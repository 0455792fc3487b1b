"""The words that tables of Python hold, and pages show, are in the Russian catalogue; rows and the API keep the English ones."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.apps import apps
from django.urls import reverse
from django.utils import translation

from portal.accounts import audit, scopes
from portal.accounts.adapters import TOLD
from portal.accounts.templatetags.hopsight import said
from portal.checks.presentation import MARKS
from portal.compute.actions import ACTIONS
from portal.compute.bulk import BULK
from portal.compute.hardware import CHOICES as HARDWARE
from portal.compute.listing import SORTS
from portal.compute.snippets import OURS as SNIPPETS
from portal.config.field_labels import FIELD_LABELS, VOLUME_LABELS
from portal.config.told import told
from portal.dashboards.layout import KINDS as WIDGETS
from portal.history.asked import CHARTS
from portal.history.series import KINDS as SERIES
from portal.history.series import RANGES
from portal.networks.limit_views import WORDS as LIMITS
from portal.operations.models import Operation
from portal.operations.stages import STAGES, TITLES
from portal.search.places import PLACES
from portal.traces.exports import EXPORTS
from portal.traces.presentation import VERDICT_WORDS, verdict_words
from portal.volumes.models import KINDS as POOLS
from portal.volumes.models import Pool
from tasks.reconcile.orphans import SORTS as ORPHANS
from tests.cast import Cast, make_cast
from tests.portal.clients import client_of, made_vm
from tests.words.texts import has_words


def _words() -> Iterator[str]:
    yield from TITLES.values()
    yield from (title for stages in STAGES.values() for _, title in stages)
    yield from audit.WORDS.values()
    yield from scopes.WORDS.values()
    yield from (FIELD_LABELS | VOLUME_LABELS).values()
    yield from TOLD.values()
    yield from (one.name for one in SNIPPETS)
    yield from (one.label for one in EXPORTS.values())
    yield from (word for _, word in MARKS.values())
    yield from LIMITS.values()
    yield from VERDICT_WORDS.values()
    yield from (title for title, _ in SORTS.values())
    yield from (one.title for one in (*PLACES, *BULK.values()))
    yield from (words for action in ACTIONS.values() for words in (action.title, action.words))
    yield from (words for kind in WIDGETS for words in (kind.title, kind.words))
    yield from (chart.title for charts in CHARTS.values() for chart in charts)
    yield from (one.words for one in RANGES)
    yield from (field.words for kind in SERIES if kind.name != "drops" for field in kind.fields)


def test_each_word_of_the_tables_has_its_translation() -> None:
    with translation.override("ru"):
        same = {words for words in _words() if has_words(words) and said(words) == words}
    assert same == {"User-data"}


def test_what_a_storage_pool_can_do_and_what_an_orphan_is_has_a_form() -> None:
    kinds = [*POOLS.values(), Pool(kind="zfs").can]
    words = {words for kind in kinds for words in (kind.words, kind.refusal, *kind.limits)}
    words |= {sort for _, sort in ORPHANS}
    with translation.override("ru"):
        same = {one for one in words - {"zfs"} if has_words(one) and told(one) == one}
    assert same == {"NFS", "LVM", "iSCSI", "iSCSI (QEMU)", "Ceph RBD"}


def test_a_verdict_is_told_in_the_page_s_language() -> None:
    with translation.override("ru"):
        assert verdict_words("delivered") == "Доставлен"
    assert verdict_words("delivered") == "Delivered"


@pytest.mark.django_db
@pytest.mark.usefixtures("redis_server")
def test_an_operation_is_stored_in_english_and_shown_in_russian() -> None:
    cast = make_cast()
    made_vm(cast)
    operation = Operation.objects.get(kind="vm.create")
    cast.alice.language = "ru"
    cast.alice.save()
    client = client_of(cast.alice)
    page = client.get(reverse("operation", args=[operation.uuid])).content.decode()
    assert f"Создать ВМ {operation.object_name}</h1>" in page
    assert "Выбрать хост" in page
    assert "Choose a host" not in page
    assert operation.stages.get(position=0).title == "Choose a host"
    told = client.get(f"/api/v1/operations/{operation.uuid}").json()
    assert told["stages"][0]["title"] == "Choose a host"
    feed = client.get(reverse("activity")).content.decode()
    assert "запрашивает ВМ" in feed


SAME_LABELS = {"KVM", "VM", "tcp", "udp", "icmp", "sctp", "virtio-blk", "virtio-scsi", "Slack, Matrix, Mattermost"}


def test_each_choice_of_a_column_is_a_russian_one_on_pages() -> None:
    columns = [
        column
        for model in apps.get_models()
        for column in model._meta.get_fields()
        if model.__module__.startswith("portal.")
    ]
    labels = [label for column in columns for _, label in getattr(column, "choices", None) or ()]
    english = {str(label) for label in labels} - SAME_LABELS
    with translation.override("ru"):
        shown = {str(label) for label in labels}
        assert {label for label in english & shown if has_words(label) and told(label) == label} == set()
    assert len(english) > 60


def test_a_quota_s_unit_is_a_russian_one_on_the_board(cast: Cast) -> None:
    client = client_of(cast.bob)
    client.cookies["django_language"] = "ru"
    page = client.get(reverse("dashboard"), follow=True).content.decode()
    assert "из 8 ГиБ" in page and "GiB" not in page


def test_what_a_vm_s_machine_may_be_made_of_is_told_in_russian() -> None:
    words = {words for choices in HARDWARE.values() for one in choices for words in (one.title, one.note)}
    with translation.override("ru"):
        same = {one for one in words if has_words(one) and " " in one and said(one) == one}
    nics = {"e1000e (Intel 82574)", "e1000 (Intel 82540)", "rtl8139 (Realtek)", "vmxnet3 (VMware)"}
    assert same == nics | {"q35 (PCI Express)", "SATA (AHCI)"}
