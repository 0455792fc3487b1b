"""A new VM from a backup: asked for, checked and stored as a create is; its disk is then the backup's."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils.translation import gettext

from portal.accounts.models import Team, User
from portal.backups.chain import chain_of
from portal.backups.models import Backup
from portal.backups.requests import busy_backups, kept_of
from portal.backups.restored_volumes import make_rows, volume_problems, volumes_in, wanted_volumes
from portal.compute.models import VM
from portal.compute.requests import (
    Creation,
    Use,
    VMProblem,
    check_name,
    over_quota_of,
    start_operation,
    use_of,
)
from portal.live.publishers import vm_changed
from portal.networks.intent import Touched, bump_generation, lock_intent
from portal.networks.ipam import AddressProblem, allocate_port
from portal.networks.models import Network, Port, SecurityGroup
from portal.networks.owners import network_named, usable_networks
from portal.operations.models import Operation
from portal.volumes.models import Pool

COPIED = ("public_key", "user_data", "cpu_model", "machine", "disk_bus", "disk_cache")


@dataclass(frozen=True)
class RestoreSpec:
    """What a person asks for. No `network`: the one that the VM was on; no `volumes`: all that are in it, by name. The same
    `request_key` again is the same VM."""

    name: str
    network: str = ""
    address: str | None = None
    request_key: str = ""
    volumes: tuple[str, ...] | None = None
    pool: Pool | None = (
        None  # of the new volumes, and so its host is the VM's; none: one of its host with room for each
    )


def links_of(backup: Backup) -> list[Backup]:
    """The backups that a restore reads: the full one first, this one last."""
    rows = {
        one.pk: one
        for one in Backup.objects.filter(team_id=backup.team_id, vm_uuid=backup.vm_uuid)
        .select_related("store")
        .prefetch_related("volumes")
    }
    return [rows[one.id] for one in chain_of(kept_of(list(rows.values())), backup.pk)]


def restore_refusal(backup: Backup, links: list[Backup], busy: dict[str, str]) -> str:
    """Why no VM can be made of the backup now, or ""."""
    if backup.state == Backup.State.TAKING:
        return gettext("it is being taken")
    if not links or links[0].parent_id:
        return gettext("what it lies on is gone")
    for one in links:
        if one.state == Backup.State.DELETING:
            return gettext("it, or what it lies on, is being deleted")
        if one.state == Backup.State.DAMAGED:
            return (
                gettext("%(one)s is damaged: %(problem)s") % {"one": one, "problem": one.problem}
                if one.pk != backup.pk
                else gettext("it is damaged: %(problem)s") % {"problem": one.problem}
            )
    return ""


def restore_backup(backup: Backup, user: User, spec: RestoreSpec) -> Creation:
    """The new VM and its operation; quota, name and addresses are reserved. Raises VMProblem, and then nothing is stored."""
    with transaction.atomic():
        lock_intent()
        team = Team.objects.select_for_update(no_key=True).get(pk=backup.team_id)
        key = spec.request_key or secrets.token_hex(16)
        if known := VM.objects.filter(team=team, request_key=key).first():
            return Creation(known, Operation.objects.filter(object_uuid=known.uuid).earliest("id"))
        fresh = Backup.objects.select_related("image", "flavor").filter(pk=backup.pk).first()
        if fresh is None:
            raise VMProblem({"backup": [gettext("it is gone meanwhile")]})
        network = _network(team, fresh, spec.network)
        volumes = wanted_volumes(volumes_in(fresh, spec.volumes), spec.pool)
        errors = _problems(team, fresh, spec, network)
        if over := volume_problems(team, volumes):
            errors["volumes"] = over
        if errors or network is None:
            raise VMProblem(errors)
        vm = _stored(team, user, fresh, spec.name, key)
        port = _port(network, vm, fresh, spec.address)
        params: dict[str, Any] = {
            "backup": str(fresh.uuid), "name": spec.name, "network": network.name, "address": spec.address,
            "volumes": ", ".join(one.row.name for one in volumes) or "none",
            "chosen": [one.row.name for one in volumes], "made_of": make_rows(vm, user, fresh, volumes),
        }  # fmt: skip
        if spec.pool is not None:
            params["volume_pool"] = str(spec.pool.uuid)
        operation = start_operation("vm.restore", vm, user, params)
        bump_generation(Touched(frozenset({port.id})))
        vm_changed(vm)
        return Creation(vm, operation)


def _network(team: Team, backup: Backup, name: str) -> Network | None:
    return network_named(team, name or str(backup.manifest.get("vm", {}).get("network", "")))


def _problems(team: Team, backup: Backup, spec: RestoreSpec, network: Network | None) -> dict[str, list[str]]:
    errors: dict[str, list[str]] = {}
    if reason := restore_refusal(backup, links_of(backup), busy_backups(team)):
        errors["backup"] = [f"{backup}: {reason}"]
    if problem := check_name(team, spec.name):
        errors["name"] = [problem]
    told = backup.manifest.get("vm", {})
    size = Use(int(told.get("vcpus", 1)), int(told.get("ram_mib", 0)), backup.disk_gib, 1)
    if over := over_quota_of(team, use_of(team), size):
        errors.setdefault("backup", []).extend(over)
    if network is None:
        names = ", ".join(usable_networks(team).values_list("name", flat=True)[:20])
        given = spec.network or str(told.get("network", ""))
        errors["network"] = [
            gettext("“%(given)s” is no network of %(team)s (any more); there are %(names)s")
            % {"given": given[:40], "team": team.name, "names": names or "none"}
        ]
    return errors


def _stored(team: Team, user: User, backup: Backup, name: str, key: str) -> VM:
    told = backup.manifest["vm"]
    return VM.objects.create(
        team=team, name=name, image=backup.image, flavor=backup.flavor, vcpus=told["vcpus"], ram_mib=told["ram_mib"],
        disk_gib=backup.disk_gib, request_key=key, created_by=user, **{one: told[one] for one in COPIED},
    )  # fmt: skip


def _port(network: Network, vm: VM, backup: Backup, address: str | None) -> Port:
    told = backup.manifest["vm"]
    try:
        port = allocate_port(network, name=vm.name, vm=vm, address=address)
    except AddressProblem as problem:
        raise VMProblem({"address" if address else "network": [str(problem)]}) from None
    if groups := list(SecurityGroup.objects.filter(team=vm.team, name__in=told["groups"])):
        port.groups.set(groups)
    Port.objects.filter(pk=port.pk).update(model=told["nic_model"])
    return port
