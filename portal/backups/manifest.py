"""What a backup says of itself, for its row and as JSON beside its disk: enough to make the VM again without our database."""

from __future__ import annotations

from typing import Any

from portal.backups.models import Backup, BackupVolume
from portal.compute.models import VM

VERSION = 1


def manifest_of(backup: Backup, vm: VM | None) -> dict[str, Any]:
    """The whole description. Of a VM that is gone meanwhile it says what it said before. The user-data is in it, as it is in
    the disk."""
    told = _vm(vm) if vm is not None else backup.manifest.get("vm", {})
    return {
        "version": VERSION,
        "uuid": str(backup.uuid),
        "kind": backup.kind,
        "parent": str(backup.parent.uuid) if backup.parent else None,
        "taken_at": backup.created_at.isoformat(),
        "team": backup.team.slug,
        "vm": told,
        "disks": [
            {
                "file": backup.disk_key.rpartition("/")[2], "format": "qcow2", "disk_gib": backup.disk_gib,
                "size_bytes": backup.size_bytes, "sha256": backup.sha256,
            }
        ],
        "volumes": [_volume(one) for one in backup.volumes.all()],
    }  # fmt: skip


def _volume(one: BackupVolume) -> dict[str, Any]:
    return {
        "file": one.disk_key.rpartition("/")[2], "format": "qcow2", "kind": one.kind, "uuid": str(one.volume_uuid),
        "name": one.name, "size_gib": one.size_gib, "bus": one.bus, "target": one.target,
        "size_bytes": one.size_bytes, "sha256": one.sha256,
    }  # fmt: skip


def _vm(vm: VM) -> dict[str, Any]:
    port = vm.ports.select_related("network").prefetch_related("groups").order_by("id").first()
    return {
        "uuid": str(vm.uuid),
        "name": vm.name,
        "image": vm.image.slug,
        "size": vm.flavor.name,
        "vcpus": vm.vcpus,
        "ram_mib": vm.ram_mib,
        "disk_gib": vm.disk_gib,
        "public_key": vm.public_key,
        "user_data": vm.user_data,
        "cpu_model": vm.cpu_model,
        "machine": vm.machine,
        "disk_bus": vm.disk_bus,
        "disk_cache": vm.disk_cache,
        "network": port.network.name if port else "",
        "groups": [group.name for group in port.groups.all()] if port else [],
        "nic_model": port.model if port else "virtio",
    }
