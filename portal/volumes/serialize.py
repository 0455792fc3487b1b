"""Volumes and pools as the API and the events see them."""

from __future__ import annotations

from typing import Any

from portal.volumes.luns import free_luns
from portal.volumes.models import Pool, Volume


def volume_as_json(volume: Volume) -> dict[str, Any]:
    """The whole volume; `pool` is `host/pool`."""
    return {
        "uuid": str(volume.uuid),
        "name": volume.name,
        "size_gib": volume.size_gib,
        "state": volume.state,
        "pool": str(volume.pool) if volume.pool else None,
        "kind": volume.pool.kind if volume.pool else None,
        "lun": volume.lun,
        "vm": volume.vm.name if volume.vm else None,
        "vm_uuid": str(volume.vm.uuid) if volume.vm else None,
        "bus": volume.bus,
        "target": volume.target,
        "serial": volume.serial,
        "created_at": volume.created_at.isoformat(),
    }


def pool_as_json(pool: Pool, taken: frozenset[str] | None = None) -> dict[str, Any]:
    """The whole pool; `taken` are the LUNs that volumes have, to be asked for where they are not given."""
    return {
        "uuid": str(pool.uuid),
        "name": str(pool),
        "host": pool.host.name,
        "kind": pool.kind,
        "target": pool.target,
        "capacity_bytes": pool.capacity_bytes,
        "available_bytes": pool.available_bytes,
        "is_active": pool.is_active,
        "is_offered": pool.is_offered,
        "refusal": pool.can.refusal,
        "limits": list(pool.can.limits),
        "free_luns_gib": [one.gib for one in free_luns(pool, taken)],
        "seen_at": pool.seen_at.isoformat() if pool.seen_at else None,
    }


def team_state(slug: str) -> dict[str, Any]:
    """The volumes' part of a team's topic."""
    rows = Volume.objects.filter(team__slug=slug).select_related("pool__host", "vm")
    return {f"volume:{row.uuid}": volume_as_json(row) for row in rows}
