"""A migration's wait: the moment in which the guest stops is never slept through."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tasks.hypervisor.driver import MoveAsked
from tasks.hypervisor.libvirt_move import LibvirtMove

LONG_S = 60.0  # a wait that overslept would take so long


class Migrating:
    """A host whose migration goes on until it is let go."""

    def __init__(self) -> None:
        self.end = threading.Event()

    def call(self, _words: str, _act: Callable[[Any], Any], _within_s: float = 0) -> None:
        assert self.end.wait(LONG_S)


@pytest.fixture
def host() -> Iterator[Migrating]:
    host = Migrating()
    yield host
    host.end.set()


@pytest.fixture
def move(host: Migrating) -> LibvirtMove:
    return LibvirtMove(MoveAsked("web-1", "192.0.2.1", {}, (), ""), host, host)  # type: ignore[arg-type]


def test_a_guest_that_stopped_while_nobody_waited_is_told_at_once_and_once(move: LibvirtMove) -> None:
    assert not move.wait(0) and not move.has_stopped
    move._note_stopped()  # while who waits writes down how far it is
    began = time.monotonic()
    assert not move.wait(LONG_S) and move.has_stopped
    assert time.monotonic() - began < LONG_S / 2
    began = time.monotonic()
    assert not move.wait(0.05)
    assert time.monotonic() - began >= 0.05, "what was told is no news"


def test_a_migration_that_ends_ends_the_wait(host: Migrating, move: LibvirtMove) -> None:
    threading.Timer(0.05, host.end.set).start()
    began = time.monotonic()
    while not move.wait(LONG_S):
        pass
    assert time.monotonic() - began < LONG_S / 2
    move.result()
