"""Removing what no row explains from a host, as an operator ticked it. Each is looked at again right before it goes: what
was explained meanwhile, what an operation is at work on, and what a domain names, stays, and the operation says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from portal.hosts.models import Host, Orphan, OrphanKind
from sdn.transport.ovsdb_ports import PortProblem, remove_port
from sdn.transport.tls import TlsFiles
from tasks.hypervisor.disks import remove_file
from tasks.hypervisor.driver import Hypervisor
from tasks.reconcile.orphans import Found, find_orphans, record_orphans
from tasks.reconcile.stray_ports import BRIDGE, iface_id_of
from tasks.sagas.engine import Context, Saga, Stage, StageError
from tasks.sagas.rows import keep_params, operation_params

# A domain goes before the files that it names, and its ports go by themselves with it.
ORDER = (OrphanKind.DOMAIN, OrphanKind.PORT, OrphanKind.FILE, OrphanKind.VOLUME)


@dataclass(frozen=True, slots=True)
class Removed:
    """What became of one; `kept` says why it stayed, nothing when it went."""

    name: str
    kept: str = ""
    freed_bytes: int = 0


def look(context: Context) -> str:
    host, hypervisor = _host(context)
    there = {one.key for one in find_orphans(host, hypervisor)}
    asked = _asked(context)
    return f"{len(asked & there)} of {len(asked)} are still there, and no row explains them"


def remove(context: Context) -> str:
    """What an earlier worker removed is not there any more, and is no matter."""
    host, hypervisor = _host(context)
    asked = sorted(_asked(context), key=lambda key: (ORDER.index(OrphanKind(key[0])), key))
    results = []
    for number, key in enumerate(asked):
        results.append(_remove_one(host, hypervisor, key))
        context.tell(f"{number + 1} of {len(asked)}")
    record_orphans(host, find_orphans(host, hypervisor))
    kept = [one for one in results if one.kept]
    _note(context, results)
    freed = sum(one.freed_bytes for one in results)
    words = f"{len(results) - len(kept)} removed, {freed / 1024**2:.0f} MiB freed"
    return words + "".join(f"; {one.name} stays: {one.kept}" for one in kept)


def _remove_one(host: Host, hypervisor: Hypervisor, key: tuple[str, str]) -> Removed:
    found = next((one for one in find_orphans(host, hypervisor) if one.key == key), None)
    if found is None:
        return Removed(key[1], "" if _is_gone(host, hypervisor, key) else "it is explained now")
    row = Orphan.objects.filter(host=host, kind=key[0], name=key[1]).first()
    if reason := found.refusal or _in_use(found) or (row.why_not if row else ""):
        return Removed(key[1], reason)
    try:
        REMOVERS[found.kind](host, hypervisor, found)
    except PortProblem as problem:
        return Removed(key[1], str(problem))
    return Removed(key[1], freed_bytes=found.size_bytes or 0)


def _in_use(found: Found) -> str:
    return f"the domain {found.used_by} names it" if found.used_by else ""


def _is_gone(host: Host, hypervisor: Hypervisor, key: tuple[str, str]) -> bool:
    kind, name = key
    if kind == OrphanKind.FILE:
        return not Path(host.disks_dir, name).exists()
    if kind == OrphanKind.DOMAIN:
        return name not in hypervisor.states()
    if kind == OrphanKind.VOLUME:
        pool, _, volume = name.partition("/")
        return volume not in {one.name for one in hypervisor.pool_volumes(pool)}
    return not iface_id_of(host, name)


def _remove_domain(host: Host, hypervisor: Hypervisor, found: Found) -> None:
    hypervisor.destroy(found.name)
    hypervisor.undefine(found.name)


def _remove_file(host: Host, hypervisor: Hypervisor, found: Found) -> None:
    remove_file(Path(host.disks_dir, found.name))


def _remove_volume(host: Host, hypervisor: Hypervisor, found: Found) -> None:
    pool, _, volume = found.name.partition("/")
    hypervisor.remove_volume(pool, volume)


def _remove_port(host: Host, hypervisor: Hypervisor, found: Found) -> None:
    folder = Path(settings.TLS_DIR)
    tls = TlsFiles(folder / "ca.pem", folder / "cert.pem", folder / "key.pem") if settings.TLS_DIR else None
    remove_port(host.ovsdb, BRIDGE, found.name, iface_id_of(host, found.name), (host.name, tls))


REMOVERS = {
    OrphanKind.DOMAIN: _remove_domain,
    OrphanKind.FILE: _remove_file,
    OrphanKind.VOLUME: _remove_volume,
    OrphanKind.PORT: _remove_port,
}


def _host(context: Context) -> tuple[Host, Hypervisor]:
    host = Host.objects.filter(uuid=context.operation.object_uuid).first()
    if host is None:
        raise StageError(f"the host {context.operation.object_name} is no longer known")
    return host, context.hypervisors(host)


def _asked(context: Context) -> set[tuple[str, str]]:
    return {(kind, name) for kind, name in operation_params(context)["orphans"]}


def _note(context: Context, results: list[Removed]) -> None:
    told = [[one.name, one.kept or "removed"] for one in results]
    keep_params(context, results=told)


SAGAS: dict[str, Saga] = {"host.clean": (Stage("look", look), Stage("remove", remove))}
