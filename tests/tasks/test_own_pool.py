"""A host's own storage pool, on libvirt's test driver."""

from __future__ import annotations

import libvirt

from tasks.hypervisor.libvirt_storage import _activate, _folder_pool


def test_a_pool_that_somebody_else_started_meanwhile_is_taken_as_it_is() -> None:
    connection = libvirt.open("test:///default")
    try:
        pool = connection.storagePoolDefineXML(_folder_pool("late", "/nowhere"))
        pool.create()
        _activate(pool)
        assert pool.isActive() and pool.autostart()
    finally:
        connection.close()
