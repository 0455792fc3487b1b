"""The collector: what hosts' libvirt says, into rows and events, within two seconds.

Per host one loop and one thread. libvirt's lifecycle and close events, on this process's asyncio loop, only wake it; what
counts is the full list that it reads then, every two seconds and after each reconnect, so that a lost event does no harm.
A host that hangs holds up its own thread only, and its row says so after `PATIENCE_S`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from typing import Any

import libvirt
from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection, transaction
from django.db.models import Q
from django.utils import timezone

from portal.compute.models import VM, Image, VMState
from portal.hosts.models import Accelerator, Host
from portal.live.publishers import host_changed, vm_changed
from portal.operations.models import UNFINISHED, Operation
from tasks.agents import keep_agents
from tasks.foreign_domains import record_foreign_domains
from tasks.host_rows import OURS, SharedRows, as_vm_state
from tasks.host_sampling import HostSampler, keep_hosts_sampled
from tasks.hypervisor.accelerator import probe_accelerator
from tasks.hypervisor.driver import Capacity, DomainState, Hypervisor, HypervisorError
from tasks.hypervisor.events import register_asyncio_events
from tasks.hypervisor.libvirt_driver import LibvirtHypervisor
from tasks.hypervisor.registry import hypervisor_of
from tasks.namespaces import keep_namespaces
from tasks.neighbours import keep_neighbours
from tasks.rows import in_rows

log = logging.getLogger("hopsight.collector")
EVERY_S, RETRY_S, HOSTS_EVERY_S = 2.0, 2.0, 5.0
SEEN_EVERY_S = 1.0
PATIENCE_S = 5.0  # for one call: a healthy host answers a list in milliseconds


async def collect() -> None:
    """Watch every host until cancelled; hosts that appear later are taken up."""
    register_asyncio_events()
    sampler, shared = HostSampler(), SharedRows()
    writer = asyncio.create_task(keep_hosts_sampled(sampler), name="samples")
    answers = asyncio.create_task(_keep_answers(shared), name="answers")
    agents = asyncio.create_task(keep_agents(), name="agents")
    neighbours = asyncio.create_task(keep_neighbours(), name="neighbours")
    namespaces = asyncio.create_task(keep_namespaces(), name="namespaces")
    watched: dict[int, asyncio.Task[None]] = {}
    try:
        while True:
            rows = await in_rows(shared.rows)
            for host in rows.hosts.values():
                if host.pk not in watched or watched[host.pk].done():
                    watched[host.pk] = asyncio.create_task(
                        _watch(host.pk, host.name, sampler, shared), name=f"collect-{host.name}"
                    )
            await asyncio.sleep(HOSTS_EVERY_S)
    finally:
        for task in (writer, answers, agents, neighbours, namespaces, *watched.values()):
            task.cancel()


async def _keep_answers(shared: SharedRows) -> None:
    while True:
        await asyncio.sleep(SEEN_EVERY_S)
        try:
            await in_rows(shared.write)
        except DatabaseError as problem:
            log.warning("not written which hosts answered problem=%s", problem)


async def _watch(host_id: int, name: str, sampler: HostSampler, shared: SharedRows) -> None:
    woken = asyncio.Event()
    loop = asyncio.get_running_loop()
    lifecycle = _Lifecycle(lambda: loop.call_soon_threadsafe(woken.set))
    thread = ThreadPoolExecutor(1, thread_name_prefix=f"collect-{name}")
    try:
        while True:
            of_all = None if woken.is_set() else shared  # what an event tells is compared with rows of now
            woken.clear()
            is_well = False
            try:
                is_well = await loop.run_in_executor(thread, observe_host, host_id, lifecycle, sampler, of_all)
            except Exception:  # the process's edge: one host's trouble must not end its watching
                log.exception("not collected host=%s", name)
            with suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), EVERY_S if is_well else RETRY_S)
    finally:
        thread.shutdown(wait=False, cancel_futures=True)


class _Lifecycle:
    """Registers for a host's lifecycle events on each new connection, and wakes at its end."""

    def __init__(self, wake: Callable[[], object]) -> None:
        self._wake = wake
        self._connection: Any = None
        self._event_id = -1

    def ensure(self, connection: Any) -> None:
        if connection is self._connection:
            return
        self._drop()
        wake = self._wake
        kind = libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
        self._event_id = connection.domainEventRegisterAny(None, kind, lambda *_event: wake(), None)
        with suppress(libvirt.libvirtError):  # the test driver has none
            connection.registerCloseCallback(lambda *_reason: wake(), None)
        self._connection = connection

    def _drop(self) -> None:
        """Let go of a dead connection: its callbacks refer to it, so that it would stay for good."""
        old, self._connection = self._connection, None
        if old is None:
            return
        for end in (lambda: old.domainEventDeregisterAny(self._event_id), old.unregisterCloseCallback, old.close):
            with suppress(libvirt.libvirtError):
                end()


def observe_host(
    host_id: int,
    lifecycle: _Lifecycle | None = None,
    sampler: HostSampler | None = None,
    shared: SharedRows | None = None,
) -> bool:
    """Read one host and keep what it said; an unreachable one (False) is kept as such, and its VMs are left as they were.
    With `shared`, rows that are read for all hosts say whether there is anything to keep; without, the host's own of now."""
    close_old_connections()
    rows = shared.rows() if shared is not None else None
    host = rows.hosts.get(host_id) if rows is not None else Host.objects.filter(pk=host_id).first()
    if host is None:
        return False
    hypervisor = hypervisor_of(host, PATIENCE_S)
    try:
        if lifecycle is not None and isinstance(hypervisor, LibvirtHypervisor):
            hypervisor.call("watch its domains", lifecycle.ensure)
        asked_at = timezone.now()
        capacity, states = hypervisor.capacity(), hypervisor.states()
    except HypervisorError as problem:
        record_host(host, libvirt_error=str(problem)[:300])
        return False
    if shared is not None:
        shared.answered(host.pk)
    record_capacity(host, capacity, is_noted=shared is not None)
    if host.accelerator == Accelerator.UNKNOWN or host.capabilities.get("read_for") != _read_for(host):
        _probe_beside(host)
    if not host.libvirt_uri.startswith("test:"):  # that driver's domains live in the worker's memory
        if rows is None or not rows.agree(host.pk, states):
            record_states(host, states, asked_at)
            record_foreign_domains(host, hypervisor, states)
        if sampler is not None and isinstance(hypervisor, LibvirtHypervisor):
            sampler.look(host, hypervisor)
    return True


def _probe_beside(host: Host) -> None:
    """Find out the accelerator and what guests are offered in a thread of its own: it takes seconds, and VMs start on
    TCG until then."""
    name = f"probe-{host.pk}"
    if any(thread.name == name for thread in threading.enumerate()):
        return
    if host.accelerator == Accelerator.UNKNOWN:
        record_host(host, accelerator_reason="being found out; until then guests start on TCG")
    threading.Thread(target=_probe, args=(host.pk,), name=name, daemon=True).start()


def _probe(host_id: int) -> None:
    try:
        host = Host.objects.get(pk=host_id)
        if host.accelerator == Accelerator.UNKNOWN:
            _find_accelerator(host)
        record_capabilities(host, hypervisor_of(host))
    except Exception:  # the thread's edge: the next look tries again
        log.exception("not probed host=%s", host_id)
    finally:
        connection.close()


def _find_accelerator(host: Host) -> None:
    images = Image.objects.filter(boot=Image.Boot.KERNEL).exclude(kernel_path="").order_by("id")
    kernel = images.values_list("kernel_path", flat=True).first() or ""
    found = probe_accelerator(hypervisor_of(host), host.disks_dir, kernel, settings.IMAGE_CACHE)
    record_host(host, accelerator=found.accelerator, accelerator_reason=found.reason[:200])


def record_capacity(host: Host, capacity: Capacity, *, is_noted: bool = False) -> None:
    """The host is there, with this capacity; readers are told only of changes, the time of the look is kept unless it
    `is_noted` elsewhere."""
    columns: dict[str, object] = {
        "vcpus": capacity.vcpus,
        "ram_mib": capacity.ram_mib,
        "libvirt_version": capacity.libvirt_version,
        "libvirt_error": "",
    }
    if not is_noted:
        Host.objects.filter(pk=host.pk).update(libvirt_seen_at=timezone.now())
    record_host(host, **columns)


def record_capabilities(host: Host, hypervisor: Hypervisor) -> None:
    """Keep what the host offers guests; read once for its libvirt and its accelerator, for that takes libvirt a while."""
    if host.capabilities.get("read_for") == _read_for(host):
        return
    is_test = host.libvirt_uri.startswith("test:")  # that driver has none to tell
    found = {} if is_test else hypervisor.capabilities("kvm" if host.accelerator == Accelerator.KVM else "qemu")
    Host.objects.filter(pk=host.pk).update(capabilities={**found, "read_for": _read_for(host)})


def _read_for(host: Host) -> str:
    return f"{host.libvirt_version} {host.accelerator}"


def record_host(host: Host, **columns: object) -> None:
    """Change observed columns, and tell the operators when one differs."""
    if all(getattr(host, name) == value for name, value in columns.items()):
        return
    with transaction.atomic():
        Host.objects.filter(pk=host.pk).update(**columns)
        for name, value in columns.items():
            setattr(host, name, value)
        host_changed(Host.objects.get(pk=host.pk))


def record_states(host: Host, states: Mapping[str, DomainState], asked_at: datetime) -> None:
    """The VMs' states as their host listed them at that time; what a saga saw later stands. An absent domain is
    `unknown`: never a reason to delete a row."""
    older = Q(observed_at__isnull=True) | Q(observed_at__lt=asked_at)
    for vm in VM.objects.filter(host=host).exclude(state__in=OURS).select_related("team", "host", "image", "flavor"):
        observed = states.get(vm.domain, DomainState.ABSENT)
        state, reason = _as_vm_state(observed, host)
        if vm.state == state or (state == VMState.PAUSED and is_opened(vm)):
            continue
        with transaction.atomic():
            mine = VM.objects.filter(older, pk=vm.pk).exclude(state__in=OURS)
            if mine.update(state=state, state_reason=reason, observed_at=timezone.now()):
                vm.state, vm.state_reason = state, reason
                vm_changed(vm)


def is_opened(vm: VM) -> bool:
    """Whether it is off, and a backup has its disks open: its domain is then there, paused, and its guest runs nothing."""
    mine = Operation.objects.filter(object_uuid=vm.uuid, kind="vm.backup", state__in=UNFINISHED, params__opened=True)
    return vm.state in (VMState.STOPPED, VMState.CRASHED) and mine.exists()


def _as_vm_state(observed: DomainState, host: Host) -> tuple[VMState, str]:
    return as_vm_state(observed), f"{host.name} no longer has its domain" if observed is DomainState.ABSENT else ""
