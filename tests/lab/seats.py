"""Guests without a guest: network namespaces cabled to a hypervisor's br-int as a VM's tap is, and sockets inside them."""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from lab.commands import run
from lab.namespaces import delete_namespace, ensure_address, ensure_cable, ensure_namespace
from lab.paths import HypervisorPaths, lab_netns
from sdn.controller import Controller, HostConnection
from sdn.controller.drops import DropCount
from sdn.model.addresses import HostName, IfaceId
from sdn.model.intent import IntentSnapshot, PortIntent
from sdn.probe import ProbeOrder, ProbeReport
from sdn.transport.openflow import PacketIn

T = TypeVar("T")
NEW_NET = 0x40000000  # CLONE_NEWNET, sched.h


def netns_of(lab: str, port: PortIntent) -> str:
    """The namespace that stands for the port's guest."""
    return lab_netns(lab, port.name)


def plug(lab: str, host: HypervisorPaths, port: PortIntent, prefix: int = 24, mtu: int = 1450) -> None:
    """Give the port's guest its MAC and IPv4 address, and plug it with the iface-id that libvirt would write."""
    netns, near = netns_of(lab, port), port.name
    ensure_namespace(netns)
    ensure_cable((host.netns, near), (netns, "eth0"), mtu)
    run("ip", "-n", netns, "link", "set", "eth0", "address", port.mac)
    ensure_address(netns, "eth0", f"{port.addresses[0]}/{prefix}")
    words = ("--may-exist", "add-port", "br-int", near, "--", "set", "Interface", near)
    run("ovs-vsctl", f"--db={host.ovsdb}", "--timeout=10", *words, f'external_ids:iface-id="{port.iface_id}"')


def unplug(lab: str, host: HypervisorPaths, port: PortIntent) -> None:
    """Take the port's guest away again."""
    run("ovs-vsctl", f"--db={host.ovsdb}", "--timeout=10", "--if-exists", "del-port", port.name)
    delete_namespace(netns_of(lab, port))


def inside(netns: str, work: Callable[[], T]) -> T:
    """The result of `work`, done in the namespace: a socket that it makes stays there."""
    outcome: Future[T] = Future()

    def enter() -> None:
        try:
            with open(Path("/run/netns") / netns) as entry:
                if ctypes.CDLL(None, use_errno=True).setns(entry.fileno(), NEW_NET):
                    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            outcome.set_result(work())
        except BaseException as problem:
            outcome.set_exception(problem)

    thread = threading.Thread(target=enter)  # the namespace is the thread's alone, and ends with it
    thread.start()
    thread.join()
    return outcome.result()


def listen(netns: str, port: int) -> socket.socket:
    """A TCP socket that waits for connections in the namespace."""

    def make() -> socket.socket:
        server = socket.socket()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("0.0.0.0", port))
        server.listen()
        server.settimeout(10)
        return server

    return inside(netns, make)


class Keeper:
    """A controller that keeps a lab's hypervisors, in a thread of its own."""

    def __init__(self, hosts: tuple[HypervisorPaths, ...]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.wired: dict[str, tuple[int, frozenset[str]]] = {}  # host → generation, iface-ids
        self.ofports: dict[str, dict[str, int]] = {}  # host → iface-id → ofport
        self._controller = self._run(self._make(hosts))

    def set_intent(self, snapshot: IntentSnapshot) -> None:
        """Tell the controller what to keep."""
        self._run(self._controller.set_intent(snapshot))

    def has(self, snapshot: IntentSnapshot) -> bool:
        """Whether every host has the flows of that generation, and its ports."""
        wanted = {str(port.host): set[str]() for port in snapshot.ports}
        for port in snapshot.ports:
            wanted[str(port.host)].add(port.iface_id)
        told = self.wired
        return all(
            told.get(host, (0, ()))[0] == snapshot.generation and ids <= set(told[host][1])
            for host, ids in wanted.items()
        )

    def probe(self, order: ProbeOrder) -> tuple[ProbeReport, ...]:
        """Inject a marked packet; what the switches report of it."""
        return self._run(self._controller.probes.send(order, 2.0))

    def drops_counted(self) -> dict[str, tuple[DropCount, ...]]:
        """What every flow that drops has counted, by host."""
        return {str(host): counts for host, counts in self._run(self._controller.drops_counted()).items()}

    def set_sampled(self, ifaces: frozenset[IfaceId], take: Callable[[HostName, PacketIn], None]) -> None:
        """Whose dropped packets are copied to `take`."""
        self._loop.call_soon_threadsafe(self._controller.set_sampled, ifaces, take)

    def close(self) -> None:
        """End the controller; the switches keep their flows."""
        self._run(self._controller.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def meters_seen(self, *args: object) -> None: ...

    async def host_connected(self, host: HostName, dpid: int, ovs_version: str) -> None: ...

    async def host_lost(self, host: HostName, reason: str) -> None: ...

    async def bridges_seen(self, host: HostName, bridges: tuple[str, ...]) -> None: ...

    async def flows_removed(self, host: HostName, count: int, lines: tuple[str, ...]) -> None: ...

    async def ssh_answered(self, iface_id: str) -> None: ...

    async def ports_wired(self, host: str, generation: int, ofports: dict[str, int], names: dict[str, str]) -> None:
        self.ofports[host] = dict(ofports)
        self.wired[host] = generation, frozenset(ofports)

    async def _make(self, hosts: tuple[HypervisorPaths, ...]) -> Controller:
        controller = Controller(self)  # type: ignore[arg-type]
        await controller.set_hosts(tuple(_connection(host) for host in hosts))
        return controller

    def _run(self, work):  # type: ignore[no-untyped-def]
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)


def _connection(host: HypervisorPaths) -> HostConnection:
    target = "unix:/var/run/openvswitch/hopsight.sock"  # as the switch sees it, in its own mount namespace
    return HostConnection(HostName(host.name), host.ovsdb, "netdev", host.underlay_ip, target, host.ovs_rundir)
