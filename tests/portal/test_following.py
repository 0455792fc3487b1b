"""The intent read by what changed is the intent read whole, whatever happens and whichever words of it are lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext

from portal.networks import intent
from portal.networks.following import WHOLE_EVERY_S, IntentReader
from portal.networks.groups import add_rule, create_group, default_group, remove_rule, set_port_groups
from portal.networks.intent import bump_generation, load_snapshot, only_ports, parse_poke
from portal.networks.models import FixedAddress, Port, SecurityRule
from portal.networks.network_requests import SubnetSpec, add_subnet
from portal.networks.rule_check import RuleSpec
from tasks.sagas.rows import release
from tests.cast import Cast
from tests.portal.clients import made_host, made_vm

Caught = Callable[..., Iterator[None]]


class Pokes:
    """What was published, in place of Redis."""

    def __init__(self) -> None:
        self.words: list[bytes] = []

    def publish(self, _: str, word: str) -> None:
        self.words.append(word.encode())


@pytest.fixture
def pokes(monkeypatch: pytest.MonkeyPatch) -> Pokes:
    pokes = Pokes()
    monkeypatch.setattr(intent, "say", pokes.publish)
    return pokes


def _place(cast: Cast) -> None:
    port = made_vm(cast, "db-1").ports.get()
    Port.objects.filter(pk=port.pk).update(host=made_host("hv1"))
    bump_generation(only_ports([port.pk]))


def _regroup(cast: Cast) -> None:
    port = Port.objects.order_by("id").last()
    assert port is not None
    set_port_groups(port, [create_group(cast.payments, "web", ""), default_group(cast.payments.pk)], cast.alice)


def _rule(cast: Cast) -> None:
    group = default_group(cast.payments.pk)
    remove_rule(SecurityRule.objects.filter(group=group).first(), cast.alice)  # type: ignore[arg-type]
    add_rule(group, RuleSpec("ingress", "4", "tcp", "443"), cast.alice)


def _second_subnet(cast: Cast) -> None:
    add_subnet(cast.network, SubnetSpec("fd20:9::/64"))


def _release(cast: Cast) -> None:
    vm = cast.payments.vms.order_by("id").first()
    assert vm is not None
    release(vm.uuid)


CHANGES: tuple[Callable[[Cast], object], ...] = (made_vm, _place, _regroup, _rule, _second_subnet, _release)


@pytest.mark.parametrize("lost", [(), (0,), (1, 2), (3, 4), (0, 1, 2, 3, 4, 5)])
def test_whichever_words_are_lost_the_reader_has_what_a_whole_reading_has(
    cast: Cast, pokes: Pokes, lost: tuple[int, ...], django_capture_on_commit_callbacks: Caught
) -> None:
    reader = IntentReader(clock=lambda: 0.0)  # the periodic whole reading would hide what a change leaves out
    reader.read()
    for number, change in enumerate(CHANGES):
        pokes.words.clear()
        with django_capture_on_commit_callbacks(execute=True):  # type: ignore[attr-defined]
            change(cast)
        assert pokes.words
        for word in pokes.words if number not in lost else ():
            reader.heard(word)
        assert reader.read() == load_snapshot(), change.__name__


def test_a_port_that_is_placed_is_read_alone(
    cast: Cast, pokes: Pokes, django_capture_on_commit_callbacks: Caught
) -> None:
    for number in range(8):
        made_vm(cast, f"web-{number}")
    reader = IntentReader()
    before = reader.read()
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[attr-defined]
        port = Port.objects.order_by("id").first()
        assert port is not None
        Port.objects.filter(pk=port.pk).update(host=made_host("hv1"))
        bump_generation(only_ports([port.pk]))
    reader.heard(pokes.words[-1])
    with CaptureQueriesContext(database) as seen:
        after = reader.read()
    assert len(seen) <= 6, [query["sql"] for query in seen]
    moved = [number for number, (was, now) in enumerate(zip(before.ports, after.ports, strict=True)) if was is not now]
    assert moved == [0]
    assert after.networks is before.networks


def test_a_change_that_nobody_told_of_is_found_by_the_whole_reading(cast: Cast) -> None:
    now = 100.0
    reader = IntentReader(clock=lambda: now)
    port = made_vm(cast).ports.get()
    before = reader.read()
    FixedAddress.objects.filter(port=port).update(address="10.20.0.77")
    assert reader.read() is before
    now += WHOLE_EVERY_S + 1
    assert reader.read() == load_snapshot() != before


@pytest.mark.parametrize(
    "word", [b"changed", b"{}", b"[1]", b"\xff", b'{"generation": "x", "ports": [], "rest": false}']
)
def test_a_poke_that_says_nothing_readable_only_wakes(word: bytes) -> None:
    assert parse_poke(word) is None
