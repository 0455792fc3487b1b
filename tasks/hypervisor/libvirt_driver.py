"""A host's libvirt: one long connection per host and process, at most four calls in flight, a deadline for each.

libvirt's calls block for as long as the host likes, so each runs in a thread of the host's own small pool: a host that
hangs fills its four threads and then answers HostBusy at once, and no other host notices. libvirt's event loop runs in
a thread of its own (it answers keepalives); it must be registered before the first connection. A process that has
registered another one (the collector: libvirtaio) says so with `use_registered_event_loop()`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotDone
from typing import Any, TypeVar

import libvirt
from lxml import etree

from tasks.hypervisor.driver import (
    CALL_DEADLINE_S,
    CallFailed,
    Capacity,
    DomainState,
    HostBusy,
    HostUnreachable,
    Hypervisor,
    LiveInterface,
    Move,
    MoveAsked,
)
from tasks.hypervisor.libvirt_bridges import LibvirtBridges, NotCabled
from tasks.hypervisor.libvirt_changes import LibvirtChanges, interface_id_of
from tasks.hypervisor.libvirt_move import LibvirtMove
from tasks.hypervisor.libvirt_snapshots import LibvirtSnapshots
from tasks.hypervisor.libvirt_storage import LibvirtStorage

T = TypeVar("T")
IN_FLIGHT = 4  # libvirtd's max_client_requests is 5 by default, and a keepalive needs one
KEEPALIVE_S, KEEPALIVE_COUNT = 3, 3
STATES = {
    libvirt.VIR_DOMAIN_RUNNING: DomainState.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: DomainState.RUNNING,
    libvirt.VIR_DOMAIN_SHUTDOWN: DomainState.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: DomainState.PAUSED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: DomainState.PAUSED,
    libvirt.VIR_DOMAIN_CRASHED: DomainState.CRASHED,
}
_DOWN = (
    libvirt.VIR_ERR_NO_CONNECT,
    libvirt.VIR_ERR_INVALID_CONN,
    libvirt.VIR_ERR_SYSTEM_ERROR,
    libvirt.VIR_ERR_RPC,
)
_loop_lock = threading.Lock()
_loop_is_registered = False


def use_registered_event_loop() -> None:
    """This process has registered and runs libvirt's event loop itself."""
    global _loop_is_registered
    _loop_is_registered = True


def _ensure_event_loop() -> None:
    global _loop_is_registered
    with _loop_lock:
        if _loop_is_registered:
            return
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_run_events, name="libvirt-events", daemon=True).start()
        _loop_is_registered = True


def _run_events() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


libvirt.registerErrorHandler(lambda _context, _error: None, None)  # errors arrive as exceptions; not on stderr too


class LibvirtHypervisor(LibvirtChanges, LibvirtStorage, LibvirtSnapshots, LibvirtBridges):
    """The Hypervisor of one libvirt URI."""

    def __init__(self, name: str, uri: str, deadline_s: float = CALL_DEADLINE_S) -> None:
        self.name = name
        self.uri = uri
        self._deadline_s = deadline_s
        self._pool = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix=f"libvirt-{name}")
        self._free = threading.BoundedSemaphore(IN_FLIGHT)
        self._lock = threading.Lock()
        self._connection: Any = None
        self._hangs = False  # a call missed its deadline, and none has ended since

    def define(self, xml: str) -> None:
        self.call("define the domain", lambda connection: connection.defineXML(xml))

    def start(self, domain: str) -> None:
        def act(connection: Any) -> None:
            found = connection.lookupByName(domain)
            if not found.isActive():
                found.create()

        self.call("start the domain", act)

    def destroy(self, domain: str) -> None:
        def act(found: Any) -> None:
            if found.isActive():
                found.destroy()

        self._if_there("power the domain off", domain, act, libvirt.VIR_ERR_OPERATION_INVALID)

    def shutdown(self, domain: str) -> None:
        self._power("ask the guest to shut down", domain, lambda found: found.shutdown())

    def reboot(self, domain: str) -> None:
        self._power("ask the guest to restart", domain, lambda found: found.reboot())

    def reset(self, domain: str) -> None:
        self._power("reset the domain", domain, lambda found: found.reset())

    def suspend(self, domain: str) -> None:
        def act(found: Any) -> None:
            if _state_of(found) is not DomainState.PAUSED:
                found.suspend()

        self._power("suspend the domain", domain, act)

    def resume(self, domain: str) -> None:
        def act(found: Any) -> None:
            if _state_of(found) is DomainState.PAUSED:
                found.resume()

        self._power("resume the domain", domain, act)

    def set_autostart(self, domain: str, is_on: bool) -> None:
        self._power("set its autostart", domain, lambda found: found.setAutostart(int(is_on)))

    def _power(self, what: str, domain: str, act: Callable[[Any], object]) -> None:
        self.call(what, lambda connection: act(connection.lookupByName(domain)))

    def undefine(self, domain: str) -> None:
        self._if_there("remove the domain", domain, lambda found: found.undefine())

    def state(self, domain: str) -> DomainState:
        answer = self._if_there("ask the domain's state", domain, _state_of)
        return DomainState.ABSENT if answer is None else answer

    def live_interfaces(self, domain: str) -> tuple[LiveInterface, ...]:
        def act(found: Any) -> tuple[LiveInterface, ...]:
            return parse_interfaces(found.XMLDesc()) if found.isActive() else ()

        return self._if_there("read the domain's NICs", domain, act) or ()

    def states(self) -> Mapping[str, DomainState]:
        def act(connection: Any) -> dict[str, DomainState]:
            # one call for all, and none that waits for a domain's lock: a migration or a hung monitor holds nobody up
            wanted, hurry = libvirt.VIR_DOMAIN_STATS_STATE, libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
            return {
                str(domain.name()): STATES.get(facts["state.state"], DomainState.STOPPED)
                for domain, facts in connection.getAllDomainStats(wanted, hurry)
                if "state.state" in facts
            }

        return self.call("list the domains", act)

    def begin_move(self, asked: MoveAsked, to: Hypervisor) -> Move:
        assert isinstance(to, LibvirtHypervisor)
        return LibvirtMove(asked, self, to)

    def disk_sources(self, domain: str) -> tuple[tuple[str, str, bool], ...]:
        def act(found: Any) -> tuple[tuple[str, str, bool], ...]:
            disks = etree.fromstring(found.XMLDesc()).iterfind("devices/disk") if found.isActive() else ()
            return tuple(
                (_attribute(disk, "target", "dev"), _source_of(disk), disk.find("readonly") is not None)
                for disk in disks
            )

        return self._if_there("read the domain's disks", domain, act) or ()

    def capacity(self) -> Capacity:
        def act(connection: Any) -> Capacity:
            facts, number = connection.getInfo(), connection.getLibVersion()
            version = f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
            return Capacity(vcpus=int(facts[2]), ram_mib=int(facts[1]), libvirt_version=version)

        return self.call("read its capacity", act)

    def call(self, what: str, act: Callable[[Any], T], deadline_s: float | None = None) -> T:
        """What `act` gives for the connection, within the deadline; errors in words."""
        limit = deadline_s or self._deadline_s
        end = time.monotonic() + limit
        if not self._free.acquire(timeout=0 if self._hangs else limit):
            raise HostBusy(f"{self.name} is busy: {IN_FLIGHT} earlier calls have not ended, could not {what}")
        future = self._pool.submit(self._run, act)
        future.add_done_callback(self._ended)
        return self._answer(what, future, end, limit)

    def _answer(self, what: str, future: Future[T], end: float, limit: float) -> T:
        try:
            return future.result(max(0.0, end - time.monotonic()))
        except NotDone:
            self._hangs = not future.cancel()
            raise HostBusy(f"{self.name} is busy: it did not {what} within {limit:.0f} s") from None
        except NotCabled as problem:
            raise CallFailed(f"{self.name}: {problem}") from None
        except libvirt.libvirtError as problem:
            words = problem.get_error_message() or str(problem)
            if problem.get_error_code() in _DOWN and not self._is_alive():
                raise HostUnreachable(f"{self.name}'s libvirt does not answer: {words}") from None
            raise CallFailed(f"{self.name} could not {what}: {words}") from None

    def _ended(self, done: Future[Any]) -> None:
        self._hangs = self._hangs and done.cancelled()
        self._free.release()

    def _run(self, act: Callable[[Any], T]) -> T:
        return act(self._connect())

    def _connect(self) -> Any:
        with self._lock:
            if self._connection is not None and self._is_alive():
                return self._connection
            _ensure_event_loop()
            self._connection = libvirt.open(self.uri)
            if not self.uri.startswith("test:"):
                self._connection.setKeepAlive(KEEPALIVE_S, KEEPALIVE_COUNT)
            return self._connection

    def _is_alive(self) -> bool:
        try:
            return self._connection is not None and bool(self._connection.isAlive())
        except libvirt.libvirtError:
            return False

    def _if_there(self, what: str, domain: str, act: Callable[[Any], T], *harmless: int) -> T | None:
        def guarded(connection: Any) -> T | None:
            try:
                return act(connection.lookupByName(domain))
            except libvirt.libvirtError as problem:
                if problem.get_error_code() in (libvirt.VIR_ERR_NO_DOMAIN, *harmless):
                    return None
                raise

        return self.call(what, guarded)


def _source_of(disk: etree._Element) -> str:
    return _attribute(disk, "source", "file") or _attribute(disk, "source", "dev") or _attribute(disk, "source", "name")


def _state_of(domain: Any) -> DomainState:
    state, _reason = domain.state()
    return STATES.get(state, DomainState.STOPPED)


def parse_interfaces(xml: str) -> tuple[LiveInterface, ...]:
    """The NICs in a live domain's XML that carry an OVS interface id, or are on a Linux bridge of ours."""
    root = etree.fromstring(xml)
    default_backend = "vhost-net" if root.get("type") == "kvm" else "qemu"
    found = []
    for node in root.iterfind("devices/interface"):
        interface_id = interface_id_of(node)
        if interface_id:
            found.append(
                LiveInterface(
                    interface_id=interface_id,
                    tap=_attribute(node, "target", "dev"),
                    mac=_attribute(node, "mac", "address"),
                    model=_attribute(node, "model", "type"),
                    backend=_backend(node, default_backend),
                    queues=_number(_attribute(node, "driver", "queues")) or 1,
                    ring_size=_number(_attribute(node, "driver", "rx_queue_size")),
                    bridge=_attribute(node, "source", "bridge"),
                    link=_attribute(node, "link", "state"),
                    offloads_off=_offloads_off(node),
                )
            )
    return tuple(found)


def _backend(node: etree._Element, default: str) -> str:
    """Who moves the frames: a vhost-user socket's switch, the kernel's vhost, or QEMU itself (formatdomain: driver name)."""
    if node.get("type") == "vhostuser":
        return "vhost-user"
    named = _attribute(node, "driver", "name")
    return {"vhost": "vhost-net", "qemu": "qemu"}.get(named, default if _is_virtio(node) else "qemu")


def _is_virtio(node: etree._Element) -> bool:
    return _attribute(node, "model", "type").startswith("virtio")


def _offloads_off(node: etree._Element) -> tuple[str, ...]:
    """The offloads that the definition switches off, guest and host alike, by name."""
    off = {
        name
        for part in ("driver/host", "driver/guest")
        for found in node.iterfind(part)
        for name, value in found.attrib.items()
        if value == "off"
    }
    return tuple(sorted(str(name) for name in off))


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _attribute(node: etree._Element, path: str, name: str) -> str:
    found = node.find(path)
    return str(found.get(name, "")) if found is not None else ""
