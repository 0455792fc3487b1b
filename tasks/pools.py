"""Storage pools of the hosts, into rows: each host's own folder is made a pool and offered, others are shown as they are."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from django.db import transaction
from django.utils import timezone

from portal.hosts.models import Host
from portal.volumes.luns import taken_luns
from portal.volumes.models import OWN_POOL, Pool
from portal.volumes.reach import lun_as_json, reach_as_json
from tasks.hypervisor.driver import HypervisorError, PoolSeen
from tasks.hypervisor.registry import hypervisor_of
from tasks.sagas.engine import Hypervisors
from tasks.sagas.stored import lun_users

log = logging.getLogger("hopsight.pools")


def look_at_pools(hypervisors: Hypervisors = hypervisor_of) -> None:
    """Keep what each host's libvirt tells of its pools; a host that does not answer keeps what it told last."""
    for host in Host.objects.all():
        try:
            hypervisor = hypervisors(host)
            hypervisor.ensure_pool(OWN_POOL, f"{host.disks_dir.rstrip('/')}/volumes")
            for name in Pool.objects.filter(host=host, is_offered=True).values_list("name", flat=True):
                hypervisor.refresh_pool(name)
            seen = hypervisor.pools()
            users = {key: user for one in seen if one.luns for key, user in lun_users(hypervisor, one).items()}
            record_pools(host, seen, users)
        except HypervisorError as problem:
            log.warning("pools not looked at host=%s problem=%s", host.name, problem)


def record_pools(host: Host, seen: tuple[PoolSeen, ...], users: Mapping[str, str] | None = None) -> None:
    """The host's pools are these; one that is gone stays, as not active, while volumes lie in it. `users` are the domains that
    name LUNs, by key."""
    now, taken = timezone.now(), taken_luns()
    with transaction.atomic():
        for one in seen:
            luns = [replace(lun, user=(users or {}).get(lun.key, "")[:100]) for lun in one.luns]
            free = sum(lun.size_bytes for lun in luns if not lun.user and lun.key not in taken)
            told = {
                "kind": one.kind, "target": one.target[:300], "source": one.source[:300], "capacity_bytes": one.capacity_bytes,
                "available_bytes": free if luns else one.available_bytes, "is_active": one.is_active, "seen_at": now,
                "reach": reach_as_json(one.reach), "luns": [lun_as_json(lun) for lun in luns],
            }  # fmt: skip
            row, made = Pool.objects.get_or_create(
                host=host, name=one.name[:100], defaults={**told, "is_offered": one.name == OWN_POOL}
            )
            if not made:
                Pool.objects.filter(pk=row.pk).update(**told)
        gone = Pool.objects.filter(host=host).exclude(name__in=[one.name[:100] for one in seen])
        gone.filter(volumes=None).delete()
        gone.update(is_active=False)
