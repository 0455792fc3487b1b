"""The network's controller at work on the lab's two hypervisors, with namespaces in place of guests."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Any

from lab.commands import run
from lab.namespaces import ensure_address, ensure_cable, ensure_namespace
from lab.paths import HypervisorPaths, lab_netns
from sdn.controller import Controller, HostConnection
from sdn.model.addresses import LINK_LOCAL, HostName, IfaceId, Mac, Vni, eui64
from sdn.model.intent import (
    ExternalIntent,
    HostIntent,
    IntentSnapshot,
    NetworkIntent,
    PortIntent,
    RouterIntent,
    RouterPortIntent,
    SubnetIntent,
)
from tests.lab.seats import inside
from tests.sdn.world import OPEN
from tests.waiting import wait_for

HV1, HV2 = HostName("hv1"), HostName("hv2")
EXTERNAL = ExternalIntent(1, "internet", None, 1500, IPv4Network("198.51.100.0/24"), IPv4Address("198.51.100.1"), IPv6Network("2001:db8:51::/64"))  # fmt: skip
OUTSIDE_6, HOST_6 = "2001:db8:51::1", "2001:db8:80::80"
EXTERNAL_ADDRESS, FLOATING = IPv4Address("198.51.100.10"), IPv4Address("198.51.100.20")


def network(row_id: int, name: str, vni: int, cidr: str) -> NetworkIntent:
    block = IPv4Network(cidr)
    subnet = SubnetIntent(row_id, block, block[1], ())
    six = IPv6Network(f"fd{row_id}0::/64")
    subnets = (subnet, SubnetIntent(row_id + 100, six, six[1], (), is_slaac=True))
    return NetworkIntent(row_id, name, Vni(vni), 1450, Mac(f"52:54:00:ff:00:{row_id:02x}"), subnets)


def port(row_id: int, network_id: int, host: HostName, address: str, name: str) -> PortIntent:
    mac = Mac(f"52:54:00:00:00:{row_id:02x}")
    both = (IPv4Address(address), eui64(IPv6Network(f"fd{network_id}0::/64"), mac))
    return PortIntent(row_id, IfaceId(f"routed-{name}"), network_id, host, mac, both, name, (OPEN.id,))


FRONT, BACK = network(1, "front", 5001, "10.20.0.0/24"), network(2, "back", 5002, "10.30.0.0/24")
WEB_1, DB_1 = port(1, 1, HV1, "10.20.0.11", "web-1"), port(2, 2, HV2, "10.30.0.12", "db-1")
ROUTER = RouterIntent(
    1, "payments", Vni(0x400001), 40001, (RouterPortIntent(1, 1), RouterPortIntent(2, 2), RouterPortIntent(1, 101), RouterPortIntent(2, 102)), (), 1, EXTERNAL_ADDRESS,
    Mac("0a:48:53:00:00:01"), HV1,
)  # fmt: skip


def world(
    router: RouterIntent, hosts: tuple[HypervisorPaths, ...], generation: int, mtus: tuple[int, int]
) -> IntentSnapshot:
    rows = tuple(
        HostIntent(number, HostName(host.name), IPv4Address(host.underlay_ip)) for number, host in enumerate(hosts, 1)
    )
    return IntentSnapshot(
        generation,
        rows,
        (replace(FRONT, mtu=mtus[0]), replace(BACK, mtu=mtus[1])),
        (WEB_1, DB_1),
        (OPEN,),
        routers=(router,),
        externals=(EXTERNAL,),
    )


class Told:
    """An observer that remembers which ports were wired, and for which generation."""

    def __init__(self) -> None:
        self.wired: dict[str, tuple[int, frozenset[str]]] = {}

    async def meters_seen(self, *args: object) -> None: ...

    async def host_connected(self, host: str, dpid: int, ovs_version: str) -> None: ...

    async def host_lost(self, host: str, reason: str) -> None: ...

    async def bridges_seen(self, *args: object) -> None: ...

    async def flows_removed(self, *args: object) -> None: ...

    async def ports_wired(self, host: str, generation: int, ofports: dict[str, int], names: dict[str, str]) -> None:
        self.wired[host] = (generation, frozenset(ofports))

    async def ssh_answered(self, iface_id: str) -> None: ...


class Site:
    """The controller on a loop of its own; `guests` are namespaces with the ports' addresses."""

    def __init__(self, hosts: tuple[HypervisorPaths, ...]) -> None:
        self.hosts = hosts
        self.lab = hosts[0].root.parent.name
        self.told = Told()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._controller: Controller = self._call(self._start())
        self._generation = 0

    def close(self) -> None:
        self._call(self._controller.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        for host in self.hosts:
            run("ovs-vsctl", f"--db={host.ovsdb}", "--", "--if-exists", "del-br", "br-int", "--", "--if-exists", "del-port", "hs-int")  # fmt: skip

    def plug(self, intent: PortIntent, gateway: str) -> None:
        """A namespace in place of a guest, cabled to br-int of the port's host."""
        host = next(host for host in self.hosts if host.name == intent.host)
        guest = lab_netns(self.lab, intent.name)
        ensure_namespace(guest)
        near = f"t{intent.id}"
        ensure_cable((host.netns, near), (guest, "eth0"), 1500)
        run("ip", "-n", guest, "link", "set", "eth0", "address", intent.mac, "mtu", "1450")
        ensure_address(guest, "eth0", f"{intent.addresses[0]}/24")
        run("ip", "-n", guest, "route", "replace", "default", "via", gateway)
        router6 = str(eui64(LINK_LOCAL, f"52:54:00:ff:00:{intent.network_id:02x}"))
        ensure_address(guest, "eth0", f"{intent.addresses[1]}/64")
        run("ip", "-n", guest, "-6", "route", "replace", "default", "via", router6, "dev", "eth0")
        wait_for((host.ovs_rundir / "br-int.mgmt").exists, 15, f"br-int of {host.name}")
        names = ("--may-exist", "add-port", "br-int", near, "--", "set", "Interface", near)
        run("ovs-vsctl", f"--db={host.ovsdb}", "--timeout=10", *names, f"external_ids:iface-id={intent.iface_id}")

    def set_router(self, mtus: tuple[int, int] = (1450, 1450), **changes: Any) -> None:
        """The router with these changes, in force on both hosts; `mtus` are front's and back's."""
        self._generation += 1
        snapshot = world(replace(ROUTER, **changes), self.hosts, self._generation, mtus)
        self._call(self._controller.set_intent(snapshot))
        ports = {HV1: WEB_1.iface_id, HV2: DB_1.iface_id}

        def is_wired() -> bool:
            wired = self.told.wired
            return all(host in wired and wired[host][0] >= self._generation and port in wired[host][1] for host, port in ports.items())  # fmt: skip

        wait_for(is_wired, 20, "both hosts are wired as the intent says")

    def inside(self, part: str, *argv: str, timeout: float = 20) -> subprocess.CompletedProcess[str]:
        """A command in a namespace of the lab: a guest's name, `inet`."""
        command = ["ip", "netns", "exec", lab_netns(self.lab, part), *argv]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout)

    @contextmanager
    def holding(self, part: str, address: str, number: int) -> Iterator[socket.socket]:
        """A TCP connection from a namespace of the lab."""
        made = inside(lab_netns(self.lab, part), lambda: socket.create_connection((address, number), timeout=5))
        with made:
            yield made

    def appctl(self, name: HostName, *words: str) -> str:
        """What the host's ovs-vswitchd answers."""
        host = next(host for host in self.hosts if host.name == name)
        pid = (host.ovs_rundir / "ovs-vswitchd.pid").read_text().strip()  # one that was killed leaves its socket behind
        return run("ovs-appctl", "-t", str(host.ovs_rundir / f"ovs-vswitchd.{pid}.ctl"), *words)

    async def _start(self) -> Controller:
        controller = Controller(self.told)  # type: ignore[arg-type]
        await controller.set_hosts(
            tuple(
                HostConnection(
                    HostName(host.name),
                    host.ovsdb,
                    "netdev",
                    host.underlay_ip,
                    "unix:/var/run/openvswitch/hopsight.sock",
                    host.ovs_rundir,
                )
                for host in self.hosts
            )
        )
        return controller

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)
