"""A host's own storage pool, on libvirt's test driver."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import libvirt
import pytest

from tasks.hypervisor.libvirt_storage import _activate, _defined, _folder_pool


@pytest.fixture
def connection() -> Iterator[Any]:
    """Its pools are as they were at the end: `test:///default` is one for the whole process."""
    found = libvirt.open("test:///default")
    before = {pool.name() for pool in found.listAllStoragePools()}
    yield found
    for pool in found.listAllStoragePools():
        if pool.name() not in before:
            if pool.isActive():
                pool.destroy()
            pool.undefine()
    found.close()


def test_a_pool_that_somebody_else_started_meanwhile_is_taken_as_it_is(connection: Any) -> None:
    pool = connection.storagePoolDefineXML(_folder_pool("late", "/nowhere"))
    pool.create()
    _activate(pool)
    assert pool.isActive() and pool.autostart()


def test_a_pool_that_somebody_else_defined_meanwhile_is_taken_as_it_is(connection: Any) -> None:
    made = connection.storagePoolDefineXML(_folder_pool("twice", "/nowhere/else"))
    assert _defined(connection, "twice", "/nowhere/else").UUIDString() == made.UUIDString()
