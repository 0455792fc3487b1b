"""Moving VMs between hosts: what is missing on a host for a VM, asked of rows alone; one VM's move; a host's maintenance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils.translation import gettext

from portal.accounts.audit import record
from portal.accounts.models import Team, User
from portal.compute.actions import host_refusal, unfinished_of
from portal.compute.bulk import Result
from portal.compute.changes import THERE
from portal.compute.models import VM, VMState
from portal.compute.requests import VMProblem, start_operation
from portal.hosts.models import Host, Plug
from portal.live.publishers import host_changed
from portal.networks.models import Network
from portal.operations.models import Operation
from portal.operations.stages import TITLES
from portal.topology.models import HostSeen
from sdn.model.mtu import overhead_bytes

ON = frozenset({VMState.RUNNING, VMState.PAUSED})


@dataclass(frozen=True, slots=True)
class Target:
    """A host as the target of a VM's move. `problems` say all that is missing there; none: it can go there."""

    host: Host
    problems: tuple[str, ...]


def targets_of(vm: VM) -> list[Target]:
    """Every host but the VM's own."""
    networks = list(Network.objects.filter(ports__vm=vm).distinct())
    hosts = Host.objects.exclude(pk=vm.host_id or 0).select_related("seen")
    return [Target(host, tuple(move_problems(vm, host, networks))) for host in hosts]


def move_problems(vm: VM, target: Host, networks: Iterable[Network]) -> list[str]:
    """What is missing on the host for the VM, its memory and vCPUs aside (the placement counts those)."""
    found: list[str] = [vm.why_not_changed] if vm.adopted else []
    source = vm.host
    if target.in_maintenance:
        found.append(f"{target.name} is in maintenance")
    if not target.enabled:
        found.append(f"{target.name} takes no new VMs (an operator disabled it)")
    if target.libvirt_error or target.libvirt_seen_at is None:
        found.append(f"{target.name} is down: {target.libvirt_error or 'its libvirt was never seen'}")
    if target.ovs_error or target.ovs_seen_at is None:
        found.append(f"{target.name}'s Open vSwitch is not connected: {target.ovs_error or 'it was never seen'}")
    found += _missing_bridges(target, list(networks))
    if source is not None and source.disks_dir != target.disks_dir:
        found += _storage_problems(vm, source)
    if vm.state in ON and source is not None:
        found += _live_problems(vm, source, target)
    return found


def _storage_problems(vm: VM, source: Host) -> list[str]:
    """What lies on the VM's host alone, and does not go along."""
    found = []
    if names := list(vm.volumes.values_list("name", flat=True)[:4]):
        found.append(f"its volumes {', '.join(names)} are in a pool of {source.name}: detach them first")
    if vm.disk_name or vm.snapshots.exists():
        found.append(f"its snapshots are layers of files on {source.name}: delete them first")
    return found


def _missing_bridges(target: Host, networks: list[Network]) -> list[str]:
    seen = HostSeen.objects.filter(host=target).first() if not hasattr(target, "seen") else target.seen
    if seen is None or seen.switch is None:
        return [f"what bridges {target.name} has was not seen yet"]
    bridges = {bridge["name"] for bridge in seen.switch["bridges"]}
    outside = [one.name for one in networks if one.is_provider]
    wanted = {"br-int": "every network"} | ({"br-ex": f"network {', '.join(outside)}"} if outside else {})
    found = [f"{target.name} has no bridge {name}, for {why}" for name, why in wanted.items() if name not in bridges]
    for network in networks:
        needed = network.mtu + (0 if network.is_provider else overhead_bytes(network.kind))  # type: ignore[arg-type]
        if needed > target.underlay_mtu:
            found.append(f"{target.name}'s underlay carries {target.underlay_mtu} bytes; {network.name} needs {needed}")
    return found


def _live_problems(vm: VM, source: Host, target: Host) -> list[str]:
    """What only a VM that runs needs; the words say that one that is off may go."""
    found = []
    off = "shut it down, and it can go"
    if source.accelerator != target.accelerator:
        kinds = f"{target.get_accelerator_display()} there, {source.get_accelerator_display()} here"
        found.append(f"{target.name} runs guests otherwise ({kinds}): {off}")
    if source.datapath_type != target.datapath_type:
        found.append(f"{target.name}'s datapath is {target.datapath_type}, here {source.datapath_type}: {off}")
    if Plug.BRIDGE in (source.plug, target.plug):
        found.append(
            f"guests of {source.name if source.plug == Plug.BRIDGE else target.name} are plugged into Linux bridges: {off}"
        )
    if _version(target) < _version(source):
        versions = f"{target.libvirt_version}, here {source.libvirt_version}"
        found.append(f"{target.name}'s libvirt is older ({versions}): {off}")
    offered = target.capabilities.get("cpu_models")
    if vm.cpu_model and offered is not None and vm.cpu_model not in offered:
        found.append(f"{target.name} offers no CPU model {vm.cpu_model}")
    if vm.rescue_image_id:
        found.append("it is in rescue: end that first")
    return found


def _version(host: Host) -> tuple[int, ...]:
    return tuple(int(part) for part in host.libvirt_version.split(".") if part.isdecimal())


def request_move(vm: VM, user: User | None, target: Host | None = None) -> Operation:
    """The operation that moves the VM, live if it runs; without a target to the best host. Raises VMProblem."""
    with transaction.atomic():
        Team.objects.select_for_update(no_key=True).get(pk=vm.team_id)
        fresh = VM.objects.select_related("team", "host", "image", "flavor").get(pk=vm.pk)
        busy = unfinished_of([fresh.uuid]).get(fresh.uuid, "")
        errors: list[str] = []
        if busy:
            errors.append(f"“{TITLES.get(busy, busy)}” is under way")
        if fresh.state not in THERE:
            errors.append(gettext("it is %(state)s") % {"state": str(VMState(fresh.state).label).lower()})
        if reason := fresh.why_not_changed or host_refusal(fresh):
            errors.append(reason)
        if target is not None and target.pk == fresh.host_id:
            errors.append(f"it is on {target.name} already")
        elif not errors:
            possible = [target_ for target_ in targets_of(fresh) if target in (None, target_.host)]
            if all(one.problems for one in possible):
                errors += [line for one in possible for line in one.problems] or ["there is no other host"]
        if errors:
            raise VMProblem({"vm": [f"{fresh.name} cannot move: {line}" for line in errors]})
        assert fresh.host is not None
        params = {"from": fresh.host.name, "to": target.name if target else "", "live": fresh.state in ON}
        return start_operation("vm.migrate", fresh, user, params)


def set_maintenance(host: Host, user: User, is_on: bool, note: str = "") -> Host:
    """The host in maintenance, or out of it: it takes no VMs then, and the placement says why."""
    with transaction.atomic():
        fresh = Host.objects.select_for_update(no_key=True).get(pk=host.pk)
        before = {"in_maintenance": fresh.in_maintenance, "note": fresh.maintenance_note}
        fresh.in_maintenance, fresh.maintenance_note = is_on, " ".join(note.split())[:120] if is_on else ""
        fresh.save(update_fields=["in_maintenance", "maintenance_note"])
        after = {"in_maintenance": fresh.in_maintenance, "note": fresh.maintenance_note}
        if before != after:
            record("host.maintenance", None, user, ("host", str(fresh.uuid), fresh.name), before=before, after=after)
            host_changed(fresh)
        return fresh


def evacuate(host: Host, user: User) -> list[Result]:
    """Every VM of the host asked to move, each by itself; a result for each."""
    results = []
    record("host.evacuate", None, user, ("host", str(host.uuid), host.name))
    for vm in VM.objects.filter(host=host).exclude(state=VMState.DELETING).select_related("team").order_by("name"):
        try:
            results.append(Result(vm.uuid, vm.name, request_move(vm, user)))
        except VMProblem as problem:
            results.append(Result(vm.uuid, vm.name, problem="; ".join(problem.errors.get("vm", [str(problem)]))))
    return results


def latest_moves(host: Host) -> list[Operation]:
    """The latest moves away from the host, newest first: what became of each."""
    rows: Any = Operation.objects.filter(kind="vm.migrate", params__from=host.name).prefetch_related("stages")
    return list(rows.select_related("created_by")[:50])
