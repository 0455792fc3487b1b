"""A VM to another host: live when it runs, by its files when it is off. Until it has moved everything can be undone;
once it has, only forward is a way, and the operation's `params["moved"]` says so.

The network goes with it: when the guest has stopped here, its ports are bound there, so that every switch learns it while the
last of its memory is on its way; it is let run there when its flows are installed.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from django.db import transaction
from django.utils import timezone

from portal.compute.hardware import disk_target
from portal.compute.models import VM
from portal.compute.moves import move_problems, targets_of
from portal.hosts.models import Accelerator, Host
from portal.live.publishers import vm_changed
from portal.networks.intent import bump_generation, lock_intent, only_ports
from portal.networks.models import Network
from tasks.hypervisor.disks import VMFiles, backing_of, copy_disk, disk_size_gib, files_of, remove_file
from tasks.hypervisor.domain_xml import format_disk, format_domain
from tasks.hypervisor.driver import DomainState, Hypervisor, HypervisorError, Move, MoveAsked
from tasks.sagas import moved_layers, moved_volumes, vm_create
from tasks.sagas.engine import Cancelled, Context, Saga, Stage, StageError, stop_if_cancelled
from tasks.sagas.moved_layers import Need
from tasks.sagas.placement import Wish, choose_host, told_placement, wish_of
from tasks.sagas.rows import keep_params, operation_params, vm_of, vm_or_none
from tasks.sagas.vm_life import record_state

LIVE = (DomainState.RUNNING, DomainState.PAUSED)
LONG_S, TELL_EVERY_S = 4 * 3600.0, 0.5


def _hosts(context: Context) -> tuple[Host, Host]:
    """Where it comes from and where it goes."""
    params = operation_params(context)
    found = {host.name: host for host in Host.objects.filter(name__in=(params["from"], params["to"]))}
    missing = [name for name in (params["from"], params["to"]) if name not in found]
    if missing:
        raise StageError(f"there is no host {missing[0] or 'chosen'} any more")
    return found[params["from"]], found[params["to"]]


def _has_moved(context: Context) -> bool:
    return bool(operation_params(context).get("moved"))


def _files(host: Host, vm: VM) -> VMFiles:
    return files_of(host.disks_dir, vm.uuid, vm.disk_name)


def _is_shared(source: Host, target: Host) -> bool:
    """A host's folder of disks is the same path for the worker: the same path twice is the same folder."""
    return source.disks_dir == target.disks_dir


def check(context: Context) -> str:
    vm, params = vm_of(context), operation_params(context)
    if params.get("moved"):
        return "it has moved"
    with transaction.atomic():
        lock_intent()
        choice = choose_host(_wish(vm, params))
    keep_params(context, to=choice.host.name, placement=told_placement(choice))
    source, target = _hosts(context)
    networks = list(Network.objects.filter(ports__vm=vm).distinct())
    missing, needs = _file_problems(vm, source, target)
    problems = move_problems(vm, target, networks) + missing
    problems = problems or moved_volumes.plan_volumes(context, vm, target, needs)
    if problems:
        raise StageError("; ".join(problems))
    return f"from {source.name} to {choice.words}"


def _wish(vm: VM, params: dict[str, object]) -> Wish:
    """To the host that was asked for, which `check` looks at; else to the best one of those where nothing is missing."""
    to = str(params["to"] or "")
    lacking = {} if to else {one.host.name: "; ".join(one.problems) for one in targets_of(vm) if one.problems}
    return replace(wish_of(vm, frozenset({str(params["from"])})), host=to, lacking=lacking)


def _file_problems(vm: VM, source: Host, target: Host) -> tuple[list[str], list[Need]]:
    """What is amiss with its files here, and with the folder there; what room they need there."""
    if _is_shared(source, target):
        return [], []
    files, folder = _files(source, vm), Path(target.disks_dir)
    if not files.disk.is_file():
        return [f"its disk {files.disk} is not there: was it removed behind our back?"], []
    if found := moved_layers.frozen_problems(vm, files):
        return found, []
    frozen = moved_layers.frozen_layers(vm, files)
    base = backing_of((frozen or [files.disk])[0])
    if base and not Path(base).is_file():
        found.append(f"the file {base} of image {vm.image.name} is not there, and its disk lies on it")
    if not folder.is_dir():
        found.append(f"{target.name} has no folder {folder} for disks")
    elif words := moved_layers.one_folder_words(files.disk.parent, folder):
        found.append(words)
    if found:
        return found, []
    needed = moved_layers.bytes_of((*frozen, *moved_layers.memories_of(vm, files), files.disk))
    return [], [Need(target.name, folder, needed)]


def make_layers(context: Context) -> str:
    vm, (source, target) = vm_of(context), _hosts(context)
    if _has_moved(context) or _is_shared(source, target):
        return "it has moved" if _has_moved(context) else "the storage is shared"
    places = _files(source, vm), _files(target, vm)
    # what an earlier move left there is no copy of what is here now
    if not operation_params(context).get("is_cleared"):
        for path in places[1].all():
            remove_file(path)
        keep_params(context, is_cleared=True)
    return moved_layers.copy_frozen(context, vm, target, places)


def make_disk(context: Context) -> str:
    vm, (source, target) = vm_of(context), _hosts(context)
    if _has_moved(context) or _is_shared(source, target):
        return "it has moved" if _has_moved(context) else "the storage is shared"
    runs = context.hypervisors(source).state(vm.domain) in LIVE
    vm_create.write_seed_to(vm, _files(target, vm).seed)
    return _make_disk_there(context, vm, (source, target), runs)


def _make_disk_there(context: Context, vm: VM, hosts: tuple[Host, Host], runs: bool) -> str:
    """The disk there, empty for a guest that runs, else a copy; `params["is_disk_full"]` says which."""
    source, target = hosts
    here, there = _files(source, vm), _files(target, vm)
    base = moved_layers.base_there(context, vm, target, (here, there), here.disk)
    if runs:
        moved_layers.make_top(there.disk, *base, max(vm.disk_gib, disk_size_gib(here.disk)))
    else:
        copy_disk(here.disk, there.disk, *base)
    keep_params(context, is_disk_full=not runs)
    return "empty, to be filled while it runs" if runs else f"a copy, {os.stat(there.disk).st_blocks // 2048} MiB"


def unmake_disk(context: Context) -> None:
    vm = vm_or_none(context.operation.object_uuid)
    if vm is None or _has_moved(context) or not operation_params(context)["to"]:
        return
    source, target = _hosts(context)
    if not _is_shared(source, target):
        for path in _files(target, vm).all():
            remove_file(path)


def make_volumes(context: Context) -> str:
    vm, (source, target) = vm_of(context), _hosts(context)
    if _has_moved(context):
        return "it has moved"
    here, there = context.hypervisors(source), context.hypervisors(target)
    return moved_volumes.make_volumes(context, here, there, here.state(vm.domain) in LIVE)


def unmake_volumes(context: Context) -> None:
    if not _has_moved(context) and operation_params(context)["to"]:
        moved_volumes.unmake_volumes(context, context.hypervisors(_hosts(context)[1]))


def move(context: Context) -> str:
    vm, (source, target) = vm_of(context), _hosts(context)
    if _has_moved(context):
        return "it has moved"
    here, there = context.hypervisors(source), context.hypervisors(target)
    began = time.monotonic()
    state = here.state(vm.domain)
    if state not in LIVE and there.state(vm.domain) in LIVE:
        how = "an earlier worker moved it"
    elif state in LIVE:
        keep_params(context, was_paused=state is DomainState.PAUSED)
        _forget_half(there, vm)
        _begin_filling(context, vm, (source, target))
        how = _move_live(context, vm, (source, target))
    else:
        _copy_what_is_not(context, vm, (source, target))
        there.define(_definition(context, vm, target))
        here.undefine(vm.domain)
        how = "off"
    _settle(context, vm, target)
    return f"{how}, in {time.monotonic() - began:.1f} s"


def _begin_filling(context: Context, vm: VM, hosts: tuple[Host, Host]) -> None:
    """What QEMU is to fill is empty, though an earlier worker may have begun to fill it."""
    source, target = hosts
    if operation_params(context).get("is_filling") and not _is_shared(source, target):
        remove_file(_files(target, vm).disk)
        _make_disk_there(context, vm, hosts, runs=True)
    moved_volumes.begin_filling(context, context.hypervisors(source), context.hypervisors(target))


def _copy_what_is_not(context: Context, vm: VM, hosts: tuple[Host, Host]) -> None:
    """A guest that ran when its disks were made there may have shut down since: then they are still empty."""
    source, target = hosts
    is_there = context.hypervisors(source).state(vm.domain) is DomainState.ABSENT
    if is_there or _has_moved(context):
        return
    if not _is_shared(source, target) and not operation_params(context).get("is_disk_full"):
        remove_file(_files(target, vm).disk)
        _make_disk_there(context, vm, hosts, runs=False)
    moved_volumes.fill_volumes(context, context.hypervisors(source), context.hypervisors(target))


def _settle(context: Context, vm: VM, target: Host) -> None:
    """It has moved: from now on only forward is a way."""
    with transaction.atomic():
        lock_intent()
        _bind(vm, target)
        moved_volumes.rebook_volumes(context, target)
        keep_params(context, moved=True)


def _forget_half(there: Hypervisor, vm: VM) -> None:
    """What a migration left there that never came to its end."""
    if there.state(vm.domain) is not DomainState.ABSENT:
        there.destroy(vm.domain)
        there.undefine(vm.domain)


def _move_live(context: Context, vm: VM, hosts: tuple[Host, Host]) -> str:
    source, target = hosts
    here, there = context.hypervisors(source), context.hypervisors(target)
    begun = here.begin_move(_asked(context, vm, here, hosts), there)
    is_bound, stopped_at = False, 0.0
    try:
        while not begun.wait(TELL_EVERY_S):
            if begun.has_stopped and not is_bound:
                stopped_at, is_bound = time.monotonic(), True
                _bind(vm, target)
            elif not is_bound:
                _tell(context, begun)
    except Cancelled:
        _end(begun)
        _bind(vm, source)
        raise
    try:
        begun.result()
    except HypervisorError:
        if is_bound:
            _bind(vm, source)
        raise
    vm_create.record_interfaces(vm, there.live_interfaces(vm.domain))
    stopped_s = f", {time.monotonic() - stopped_at:.2f} s after the guest stopped" if stopped_at else ""
    return f"live{stopped_s}"


def _asked(context: Context, vm: VM, here: Hypervisor, hosts: tuple[Host, Host]) -> MoveAsked:
    source, target = hosts
    paths = {str(was): str(Path(target.disks_dir) / was.name) for was in _files(source, vm).all()}
    copied = [] if _is_shared(source, target) else [disk_target(vm.disk_bus, 0)]
    volumes = moved_volumes.disks_there(context, vm, target)
    known = {*paths, *vm.volumes.values_list("path", flat=True)}
    found = {path: dev for dev, path, readonly in here.disk_sources(vm.domain) if not readonly}
    if copied and (alien := [path for path in found if path not in known]):
        raise StageError(f"{source.name} alone has its disk {', '.join(alien)}: detach it first, or shut the VM down")
    if unplugged := [
        name for name, path in vm.volumes.exclude(path="").values_list("name", "path") if path not in found
    ]:
        raise StageError(f"the running guest does not have its volume {', '.join(unplugged)} yet: restart it first")
    copied += moved_volumes.copied_targets(context, vm)
    return MoveAsked(
        vm.domain, target.underlay_ip, paths, tuple(copied), _definition(context, vm, target),
        stops_first=source.accelerator != Accelerator.KVM, volumes={one.serial: format_disk(one) for one in volumes},
    )  # fmt: skip


def _definition(context: Context, vm: VM, target: Host) -> str:
    spec = vm_create.domain_spec(vm, target, _files(target, vm))
    return format_domain(replace(spec, volumes=moved_volumes.disks_there(context, vm, target)))


def _tell(context: Context, begun: Move) -> None:
    stop_if_cancelled(context)
    if time.monotonic() > context.deadline:
        _end(begun)
        raise StageError(f"it did not end within {LONG_S / 3600:.0f} hours: the guest may write faster than is copied")
    if progress := begun.progress():
        context.tell(progress.words)


def _end(begun: Move) -> None:
    begun.abort()
    begun.wait(30)


def _bind(vm: VM, host: Host) -> None:
    """The VM and its ports are the host's from now on; every switch hears of it."""
    with transaction.atomic():
        lock_intent()
        if VM.objects.filter(pk=vm.pk, host=host).exists():
            return
        VM.objects.filter(pk=vm.pk).update(host=host, observed_at=timezone.now())
        vm.ports.update(host=host, tap="", ofport=None, wired_at=None, wired_generation=None)
        bump_generation(only_ports(vm.ports.values_list("id", flat=True)))
        vm.refresh_from_db(fields=["host", "observed_at"])
        vm_changed(vm)


def unmove(context: Context) -> None:
    """One that has not moved runs where it ran, and is bound there; one that has runs there, flows or not."""
    vm = vm_or_none(context.operation.object_uuid)
    if vm is None or not operation_params(context)["to"]:
        return
    source, target = _hosts(context)
    here, there = context.hypervisors(source), context.hypervisors(target)
    if _has_moved(context):
        _let_run(context, there, vm)
        _tidy_if_it_answers(context)
        return
    if here.state(vm.domain) is DomainState.ABSENT and there.state(vm.domain) is not DomainState.ABSENT:
        _settle(context, vm, target)  # it had moved, and nobody could write it down
        _let_run(context, there, vm)
        _tidy_if_it_answers(context)
        return
    _forget_half(there, vm)
    _bind(vm, source)
    _let_run(context, here, vm)


def _tidy_if_it_answers(context: Context) -> None:
    """A host that died after its VM had left it must not hold the VM up: what lies on it is told as an orphan then."""
    with suppress(HypervisorError, OSError):
        tidy(context)


def _let_run(context: Context, there: Hypervisor, vm: VM) -> None:
    if there.state(vm.domain) in LIVE and not operation_params(context).get("was_paused"):
        there.resume(vm.domain)


def run(context: Context) -> str:
    """Its flows are there before it runs there: what it sends first is not lost."""
    vm = vm_of(context)
    assert vm.host is not None
    there = context.hypervisors(vm.host)
    if there.state(vm.domain) not in LIVE:
        record_state(vm, there)  # a look at the old host in between found no domain, and said so
        return "it is off: they are installed when it starts"
    try:
        words = vm_create.await_wired(context)
    finally:
        _let_run(context, there, vm)
    record_state(vm, there)
    vm_create.record_taps(vm, there)
    return f"its flows {words}" + ", paused as it was" * bool(operation_params(context).get("was_paused"))


def tidy(context: Context) -> str:
    vm, (source, target) = vm_of(context), _hosts(context)
    here = context.hypervisors(source)
    if here.state(vm.domain) not in LIVE:
        here.undefine(vm.domain)
    if vm.is_autostarted:
        context.hypervisors(target).set_autostart(vm.domain, True)
    left = [f"volume {name}" for name in moved_volumes.remove_left(context, here)]
    if not _is_shared(source, target):
        for path in _files(source, vm).all():
            remove_file(path)
        left.insert(0, "its files")
    return f"{', '.join(left)} on {source.name}" if left else "nothing: the storage is shared"


SAGAS: dict[str, Saga] = {
    "vm.migrate": (
        Stage("check", check),
        Stage("layers", make_layers, unmake_disk, deadline_s=LONG_S),
        Stage("disk", make_disk, unmake_disk, deadline_s=3600.0),
        Stage("volumes", make_volumes, unmake_volumes, deadline_s=LONG_S),
        Stage("move", move, unmove, deadline_s=LONG_S),
        Stage("run", run, deadline_s=vm_create.WIRE_DEADLINE_S),
        Stage("tidy", tidy, deadline_s=LONG_S),  # a logical volume is overwritten before it is removed
    ),
}
