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
from portal.compute.hardware import switch_refusal
from portal.compute.models import VM, VMState
from portal.compute.requests import VMProblem, start_operation
from portal.hosts.models import Host, Plug
from portal.live.publishers import host_changed
from portal.networks.models import Network
from portal.operations.models import Operation
from portal.operations.stages import TITLES
from portal.topology.models import HostSeen
from portal.volumes.places import places_on
from sdn.model.mtu import overhead_bytes

ON = frozenset({VMState.RUNNING, VMState.PAUSED})


@dataclass(frozen=True, slots=True)
class Target:
    """A host as the target of a VM's move. `problems` say all that is missing there; none: it can go there, and `volumes`
    say what becomes of its volumes."""

    host: Host
    problems: tuple[str, ...]
    volumes: tuple[str, ...] = ()


def targets_of(vm: VM) -> list[Target]:
    """Every host but the VM's own."""
    networks = list(Network.objects.filter(ports__vm=vm).distinct())
    hosts = Host.objects.exclude(pk=vm.host_id or 0).select_related("seen")
    return [_target(vm, host, networks) for host in hosts]


def _target(vm: VM, host: Host, networks: list[Network]) -> Target:
    places, missing = places_on(vm, host)
    problems = (*move_problems(vm, host, networks), *missing)
    return Target(host, problems, tuple(place.words for place in places))


def move_problems(vm: VM, target: Host, networks: Iterable[Network]) -> list[str]:
    """What is missing on the host for the VM, its memory and vCPUs aside (the placement counts those), and its volumes
    (`places_on` says where they go)."""
    found: list[str] = [vm.why_not_changed] if vm.adopted else []
    source = vm.host
    if target.in_maintenance:
        found.append(gettext("%(target)s is in maintenance") % {"target": target.name})
    if not target.enabled:
        found.append(gettext("%(target)s takes no new VMs (an operator disabled it)") % {"target": target.name})
    if target.libvirt_error or target.libvirt_seen_at is None:
        found.append(
            gettext("%(target)s is down: %(libvirt_error)s")
            % {"target": target.name, "libvirt_error": target.libvirt_error or gettext("its libvirt was never seen")}
        )
    if target.ovs_error or target.ovs_seen_at is None:
        found.append(
            gettext("%(target)s's Open vSwitch is not connected: %(ovs_error)s")
            % {"target": target.name, "ovs_error": target.ovs_error or gettext("it was never seen")}
        )
    found += _missing_bridges(target, list(networks))
    models = dict.fromkeys(vm.ports.values_list("model", flat=True)) if target.datapath_type == "netdev" else ()
    found += [none for model in models if (none := switch_refusal(model, target.name, target.datapath_type))]
    if vm.rescue_image_id:
        found.append(gettext("it is in rescue: end that first"))
    if vm.state in ON and source is not None:
        found += _live_problems(vm, source, target)
    return found


def _missing_bridges(target: Host, networks: list[Network]) -> list[str]:
    seen = HostSeen.objects.filter(host=target).first() if not hasattr(target, "seen") else target.seen
    if seen is None or seen.switch is None:
        return [gettext("what bridges %(target)s has was not seen yet") % {"target": target.name}]
    bridges = {bridge["name"] for bridge in seen.switch["bridges"]}
    outside = [one.name for one in networks if one.is_provider]
    wanted = {"br-int": gettext("every network")} | ({"br-ex": f"network {', '.join(outside)}"} if outside else {})
    found = [
        gettext("%(target)s has no bridge %(name)s, for %(why)s") % {"target": target.name, "name": name, "why": why}
        for name, why in wanted.items()
        if name not in bridges
    ]
    for network in networks:
        needed = network.mtu + (0 if network.is_provider else overhead_bytes(network.kind))  # type: ignore[arg-type]
        if needed > target.underlay_mtu:
            found.append(
                gettext("%(target)s's underlay carries %(underlay_mtu)s bytes; %(network)s needs %(needed)s")
                % {
                    "target": target.name,
                    "underlay_mtu": target.underlay_mtu,
                    "network": network.name,
                    "needed": needed,
                }
            )
    return found


def _live_problems(vm: VM, source: Host, target: Host) -> list[str]:
    """What only a VM that runs needs; the words say that one that is off may go."""
    found = []
    off = gettext("shut it down, and it can go")
    if source.accelerator != target.accelerator:
        kinds = gettext("%(get_accelerator_display)s there, %(get_accelerator_display_2)s here") % {
            "get_accelerator_display": target.get_accelerator_display(),
            "get_accelerator_display_2": source.get_accelerator_display(),
        }
        found.append(
            gettext("%(target)s runs guests otherwise (%(kinds)s): %(off)s")
            % {"target": target.name, "kinds": kinds, "off": off}
        )
    if source.datapath_type != target.datapath_type:
        found.append(
            gettext("%(target)s's datapath is %(datapath_type)s, here %(datapath_type_2)s: %(off)s")
            % {
                "target": target.name,
                "datapath_type": target.datapath_type,
                "datapath_type_2": source.datapath_type,
                "off": off,
            }
        )
    if Plug.BRIDGE in (source.plug, target.plug):
        found.append(
            gettext("guests of %(source)s are plugged into Linux bridges: %(off)s")
            % {"source": source.name if source.plug == Plug.BRIDGE else target.name, "off": off}
        )
    if _version(target) < _version(source):
        versions = f"{target.libvirt_version}, here {source.libvirt_version}"
        found.append(
            gettext("%(target)s's libvirt is older (%(versions)s): %(off)s")
            % {"target": target.name, "versions": versions, "off": off}
        )
    offered = target.capabilities.get("cpu_models")
    if vm.cpu_model and offered is not None and vm.cpu_model not in offered:
        found.append(
            gettext("%(target)s offers no CPU model %(cpu_model)s") % {"target": target.name, "cpu_model": vm.cpu_model}
        )
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
            errors.append(gettext("“%(busy)s” is under way") % {"busy": TITLES.get(busy, busy)})
        if fresh.state not in THERE:
            errors.append(gettext("it is %(state)s") % {"state": str(VMState(fresh.state).label).lower()})
        if reason := fresh.why_not_changed or host_refusal(fresh):
            errors.append(reason)
        if target is not None and target.pk == fresh.host_id:
            errors.append(gettext("it is on %(target)s already") % {"target": target.name})
        elif not errors:
            possible = [target_ for target_ in targets_of(fresh) if target in (None, target_.host)]
            if all(one.problems for one in possible):
                errors += [line for one in possible for line in one.problems] or [gettext("there is no other host")]
        if errors:
            raise VMProblem(
                {
                    "vm": [
                        gettext("%(fresh)s cannot move: %(line)s") % {"fresh": fresh.name, "line": line}
                        for line in errors
                    ]
                }
            )
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
