"""The sagas by kind of operation; their stages are those that the pages list."""

from __future__ import annotations

from collections.abc import Mapping

from tasks.sagas import (
    flow_apply,
    host_clean,
    image,
    store_clean,
    vm_adopt,
    vm_backup,
    vm_change,
    vm_create,
    vm_delete,
    vm_devices,
    vm_life,
    vm_migrate,
    vm_nics,
    vm_restore,
    vm_snapshot_delete,
    vm_snapshots,
    volume,
    volume_snapshots,
)
from tasks.sagas.engine import Saga

SAGAS: Mapping[str, Saga] = {
    "vm.create": vm_create.SAGA,
    "vm.delete": vm_delete.SAGA,
    **vm_life.SAGAS,
    **vm_change.SAGAS,
    **image.SAGAS,
    **vm_nics.SAGAS,
    **vm_devices.SAGAS,
    **volume.SAGAS,
    **volume_snapshots.SAGAS,
    **vm_snapshots.SAGAS,
    **vm_snapshot_delete.SAGAS,
    **vm_backup.SAGAS,
    **vm_restore.SAGAS,
    **vm_migrate.SAGAS,
    **vm_adopt.SAGAS,
    **host_clean.SAGAS,
    **store_clean.SAGAS,
    **flow_apply.SAGAS,
}
