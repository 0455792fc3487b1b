"""A host's own storage pool, on libvirt's test driver."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import libvirt
import pytest

from tasks.hypervisor.libvirt_storage import _activate, _defined, _folder_pool


@pytest.fixture
def connection() -> Iterator[Any]:
    found = libvirt.open("test:///default")
    yield found
    found.close()


def test_a_pool_that_somebody_else_started_meanwhile_is_taken_as_it_is(connection: Any) -> None:
    pool = connection.storagePoolDefineXML(_folder_pool("late", "/nowhere"))
    pool.create()
    _activate(pool)
    assert pool.isActive() and pool.autostart()


def test_a_pool_that_somebody_else_defined_meanwhile_is_taken_as_it_is(connection: Any) -> None:
    made = connection.storagePoolDefineXML(_folder_pool("twice", "/nowhere"))
    assert _defined(connection, "twice", "/nowhere").UUIDString() == made.UUIDString()
