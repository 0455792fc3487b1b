"""The controller against real Open vSwitch (dummy devices): what it makes packets do, and what it leaves alone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from sdn.controller import Controller, HostConnection
from sdn.model.addresses import HostName, Mac
from sdn.model.intent import ExternalIntent, IntentSnapshot, RateLimit
from sdn.model.packet import Packet
from sdn.model.trace import Trace, from_json, to_json
from sdn.shadow.shadow import Shadow
from sdn.trace import Endpoint, LiveWorld, Question, TraceHost, predict
from sdn.transport.openflow import Channel
from sdn.transport.ovsdb import SHARES
from tests.sdn.world import EVERY_RULE
from tests.sdn.worlds import make_world
from tests.waiting import until

PLAIN = make_world(2, 2, [(0, 0), (0, 1), (0, 0), (1, 1)])
WORLD = replace(
    PLAIN,
    groups=(*PLAIN.groups, EVERY_RULE),
    ports=tuple(replace(port, groups=(*port.groups, 2), is_secured=port.id != 3) for port in PLAIN.ports),
)


class Told:
    """An observer that remembers."""

    controller: Controller

    def __init__(self) -> None:
        self.wired: dict[str, dict[str, int]] = {}
        self.connected: list[str] = []
        self.removed: list[tuple[str, int, tuple[str, ...]]] = []
        self.bridges: dict[str, tuple[str, ...]] = {}
        self.generations: list[int] = []
        self.metered: dict[str, bool] = {}
        self.lost: list[str] = []

    async def host_connected(self, host: str, dpid: int, ovs_version: str) -> None:
        self.connected.append(host)

    async def meters_seen(self, host: str, has_meters: bool) -> None:
        self.metered[host] = has_meters

    async def host_lost(self, host: str, reason: str) -> None:
        self.lost.append(reason)

    async def bridges_seen(self, host: str, bridges: tuple[str, ...]) -> None:
        self.bridges[host] = bridges

    async def ports_wired(
        self, host: str, generation: int, ofports: dict[str, int], interface_names: dict[str, str]
    ) -> None:
        self.wired[host] = dict(ofports)
        self.generations.append(generation)

    async def flows_removed(self, host: str, count: int, lines: tuple[str, ...]) -> None:
        self.removed.append((host, count, lines))

    async def ssh_answered(self, iface_id: str) -> None: ...


@pytest.fixture(scope="module")
def switches() -> Iterator[dict[str, Shadow]]:
    with Shadow() as first, Shadow() as second:
        yield {"hv1": first, "hv2": second}


def _connection(name: str, shadow: Shadow, underlay_ip: str) -> HostConnection:
    target = f"unix:{shadow.rundir}/hopsight.sock"
    return HostConnection(HostName(name), f"unix:{shadow.rundir}/db.sock", "dummy", underlay_ip, target, shadow.rundir)


@contextlib.asynccontextmanager
async def _running(switches: dict[str, Shadow], world: IntentSnapshot) -> AsyncIterator[Told]:
    told = Told()
    told.controller = controller = Controller(told)
    underlay = {str(host.name): str(host.underlay_ip) for host in world.hosts}
    await controller.set_hosts(tuple(_connection(name, shadow, underlay[name]) for name, shadow in switches.items()))
    await controller.set_intent(world)
    try:
        await until(lambda: set(told.connected) == set(switches), "both switches connect")
        for port in world.ports:
            await asyncio.to_thread(_plug, switches[str(port.host)], port.iface_id)
        wanted = {name: {port.iface_id for port in world.ports if port.host == name} for name in switches}
        await until(lambda: {name: set(told.wired.get(name, {})) for name in switches} == wanted, "every port is wired")
        yield told
    finally:
        await controller.stop()


def _plug(shadow: Shadow, iface_id: str) -> None:
    database = f"--db=unix:{shadow.rundir}/db.sock"
    name = f"t{iface_id[-8:]}"
    words = [
        "--may-exist",
        "add-port",
        "br-int",
        name,
        "--",
        "set",
        "interface",
        name,
        "type=dummy",
        f"external_ids:iface-id={iface_id}",
    ]
    subprocess.run(["ovs-vsctl", database, *words], check=True, capture_output=True)


def _dump(shadow: Shadow) -> dict[str, float]:
    """Flow → its age in seconds."""
    argv = ["ovs-ofctl", "-O", "OpenFlow14", "dump-flows", f"unix:{shadow.rundir}/br-int.mgmt"]
    text = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    ages = {}
    for line in text.splitlines():
        if found := re.search(r"duration=([\d.]+)s, (.*)", line):
            ages[re.sub(r"n_(packets|bytes)=\d+, ", "", found[2])] = float(found[1])
    return ages


def _endpoint(told: Told, number: int) -> Endpoint:
    port = WORLD.ports[number]
    ofport = told.wired[str(port.host)][port.iface_id]
    return Endpoint(
        port.name, "eth0", port.mac, port.addresses[0], str(port.host), f"t{number}", ofport, "virtio", "qemu", "hs-x"
    )


def _question(switches: dict[str, Shadow], told: Told, source: int, target: int, mac: str = "") -> Question:
    here, there = _endpoint(told, source), _endpoint(told, target)
    packet = Packet(
        "tcp", Mac(mac or here.mac), Mac(there.mac), here.address, there.address, port_src=40000, port_dst=22
    )
    ends = [_endpoint(told, number) for number in range(len(WORLD.ports))]
    hosts = tuple(
        TraceHost(
            str(host.name),
            str(host.underlay_ip),
            _tunnel(switches[str(host.name)]),
            {end.ofport: end for end in ends if end.host == host.name and end.ofport is not None},
        )
        for host in WORLD.hosts
    )
    return Question("1", here, there, packet, hosts, 1, "2026-01-01T00:00:00Z")


def _trace(switches: dict[str, Shadow], told: Told, source: int, target: int, mac: str = "") -> Trace:
    world = LiveWorld({name: Path(shadow.rundir) for name, shadow in switches.items()})
    return predict(_question(switches, told, source, target, mac), world, lambda causes: {})


def _tunnel(shadow: Shadow) -> int:
    argv = ["ovs-vsctl", f"--db=unix:{shadow.rundir}/db.sock", "get", "interface", "vxlan0", "ofport"]
    return int(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)


async def test_a_packet_reaches_a_vm_on_another_host(switches: dict[str, Shadow]) -> None:
    """[vm-0]--tap--[br-int@hv1]==vni 4097==[br-int@hv2]--tap--[vm-1]"""
    async with _running(switches, WORLD) as told:
        trace = await asyncio.to_thread(_trace, switches, told, 0, 1)
    assert trace.verdict == "delivered", trace
    assert [hop.host for hop in trace.hops if hop.kind == "bridge"] == ["hv1", "hv2"]
    assert "vxlan 4097" in next(hop for hop in trace.hops if hop.kind == "tunnel_encap").header_stack
    assert from_json(to_json(trace)) == trace


async def test_a_packet_reaches_a_vm_on_the_same_host_without_a_tunnel(switches: dict[str, Shadow]) -> None:
    """[vm-0]--tap--[br-int@hv1]--tap--[vm-2]"""
    async with _running(switches, WORLD) as told:
        trace = await asyncio.to_thread(_trace, switches, told, 0, 2)
    assert trace.verdict == "delivered", trace
    assert [hop.kind for hop in trace.hops] == ["guest_nic", "backend", "tap", "bridge", "tap", "backend", "guest_nic"]


async def test_a_spoofed_mac_is_dropped_and_said_so(switches: dict[str, Shadow]) -> None:
    """[vm-0 with vm-1's MAC]--tap--[br-int@hv1] ✘"""
    async with _running(switches, WORLD) as told:
        trace = await asyncio.to_thread(_trace, switches, told, 0, 1, mac="52:54:00:66:66:66")
    assert trace.verdict == "dropped"
    assert "table 10 (port_security) of hv1: its source MAC is not the port's own" in trace.reason


async def test_another_networks_vm_is_not_reached(switches: dict[str, Shadow]) -> None:
    """[vm-0 on vni 4097]--tap--[br-int@hv1] ✘   [vm-3 on vni 4098]"""
    async with _running(switches, WORLD) as told:
        trace = await asyncio.to_thread(_trace, switches, told, 0, 3)
    assert trace.verdict == "dropped"
    assert "no port of the network has its destination MAC" in trace.reason


async def test_a_restarted_controller_touches_no_flow(switches: dict[str, Shadow]) -> None:
    async with _running(switches, WORLD):
        before = {name: _dump(shadow) for name, shadow in switches.items()}
    async with _running(switches, WORLD):
        after = {name: _dump(shadow) for name, shadow in switches.items()}
    for name in switches:
        assert before[name].keys() == after[name].keys()
        assert all(after[name][flow] >= before[name][flow] for flow in before[name]), "a flow was added again"


async def test_a_datapath_without_meters_has_all_but_the_rate_limits(
    switches: dict[str, Shadow], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flow that names a meter would be refused, and the whole bundle with it."""
    limit = RateLimit(1000, 100)
    limited = replace(WORLD, ports=tuple(replace(port, sends=limit, receives=limit) for port in WORLD.ports))

    async def none(channel: Channel) -> bool:
        return False

    async with _running(switches, limited) as told:
        assert told.metered == dict.fromkeys(switches, True)
        assert all("meter:" in " ".join(_dump(shadow)) for shadow in switches.values())
    monkeypatch.setattr(Channel, "has_meters", none)
    async with _running(switches, limited) as told:
        assert told.metered == dict.fromkeys(switches, False)
        await until(lambda: not any("meter:" in " ".join(_dump(one)) for one in switches.values()), "no flow names one")
        assert any("output" in flow for flow in _dump(switches["hv1"]))


async def test_what_goes_up_is_bounded_and_shared_by_the_switch(switches: dict[str, Shadow]) -> None:
    async with _running(switches, WORLD):
        for shadow in switches.values():
            words = ("--columns=controller_rate_limit,controller_burst_limit", "--bare", "list", "Controller")
            assert [int(word) for word in shadow.vsctl(*words).split()] == [number for _, number in SHARES]


async def test_what_nothing_explains_is_removed_and_what_is_foreign_stays(switches: dict[str, Shadow]) -> None:
    shadow = switches["hv1"]
    async with _running(switches, WORLD):
        for flow in (
            "cookie=0x4853020000009999,table=0,priority=7,actions=drop",
            "cookie=0x77,table=0,priority=8,actions=drop",
        ):
            argv = ["ovs-ofctl", "-O", "OpenFlow14", "add-flow", f"unix:{shadow.rundir}/br-int.mgmt", flow]
            subprocess.run(argv, check=True, capture_output=True)
    async with _running(switches, WORLD):
        left = " ".join(_dump(shadow))
    assert "priority=7 " not in left
    assert "priority=8 " in left


FOREIGN = (
    "--", "--may-exist", "add-br", "br-theirs", "--", "set", "Bridge", "br-theirs", "datapath_type=dummy", "fail_mode=standalone",
    "--", "--may-exist", "add-port", "br-theirs", "their0", "tag=7", "--", "set", "Interface", "their0", "type=dummy",
    "--", "--may-exist", "add-port", "br-int", "their1", "--", "set", "Interface", "their1", "type=dummy",
    "--", "--may-exist", "add-port", "br-int", "their2", "--", "set", "Interface", "their2", "type=vxlan", "options:remote_ip=192.0.2.99",
    "--", "--may-exist", "add-br", "br-ex", "--", "set", "Bridge", "br-ex", "datapath_type=dummy",
    "--", "--may-exist", "add-port", "br-ex", "their3", "--", "set", "Interface", "their3", "type=dummy",
)  # fmt: skip
THEIR_FLOWS = {"br-theirs": "table=3,priority=9,tcp,actions=NORMAL", "br-ex": "table=0,priority=5,udp,actions=drop", "br-int": "cookie=0x99,table=2,priority=6,icmp,actions=output:1"}  # fmt: skip


def _theirs(shadow: Shadow) -> dict[str, object]:
    """All that is not ours on the switch: rows of OVSDB and flows, as they are."""

    def said(*argv: str) -> str:
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

    def rows(table: str, columns: str, *names: str) -> str:
        return said("ovs-vsctl", f"--db=unix:{shadow.rundir}/db.sock", "-f", "csv", f"--columns={columns}", "list", table, *names)  # fmt: skip

    found: dict[str, object] = {
        "bridge": rows("Bridge", "_uuid,fail_mode,controller,ports,protocols,other_config", "br-theirs"),
        "ports": rows("Port", "_uuid,tag,interfaces", "their0", "their1", "their2", "their3"),
        "interfaces": rows("Interface", "_uuid,type,options,ofport,external_ids", "their0", "their1", "their2", "their3"),
    }  # fmt: skip
    for bridge in THEIR_FLOWS:
        dump = said("ovs-ofctl", "-O", "OpenFlow14", "--no-stats", "dump-flows", f"unix:{shadow.rundir}/{bridge}.mgmt")
        found[bridge] = [line for line in dump.splitlines() if bridge != "br-int" or "cookie=0x4853" not in line]
    return found


async def test_nothing_foreign_is_touched_whatever_comes_and_goes(switches: dict[str, Shadow]) -> None:
    """a bridge, ports and flows of theirs: as they were after every kind of network came and went, and a restart"""
    shadow = switches["hv1"]
    external = ExternalIntent(1, "internet", 9, 1500, IPv4Network("198.51.100.0/24"), None)
    first, second = WORLD.networks
    worlds = [
        replace(WORLD, generation=50, networks=(replace(first, kind="geneve"), replace(second, kind="vlan", vid=7))),
        replace(WORLD, generation=51, externals=(external,)),
        replace(WORLD, generation=52, ports=WORLD.ports[:2]),
        replace(WORLD, generation=53),
    ]
    async with _running(switches, WORLD):
        await asyncio.to_thread(
            subprocess.run, ["ovs-vsctl", f"--db=unix:{shadow.rundir}/db.sock", *FOREIGN], check=True
        )
        for bridge, flow in THEIR_FLOWS.items():
            argv = ["ovs-ofctl", "-O", "OpenFlow14", "add-flow", f"unix:{shadow.rundir}/{bridge}.mgmt", flow]
            subprocess.run(argv, check=True, capture_output=True)
        before = _theirs(shadow)
    for world in worlds:
        await _live_through(switches, world)
        assert _theirs(shadow) == before
    assert not _ports_of(shadow) & {"geneve0", "hs-ex"}, "what was only for such networks is gone again"


async def _live_through(switches: dict[str, Shadow], world: IntentSnapshot) -> None:
    """A controller starts, and is told of the world; its flows and ports are there."""
    async with _running(switches, WORLD) as told:
        begun = len(told.generations)
        await told.controller.set_intent(world)
        wanted = {"geneve0"} if world.needs_geneve else set()
        wanted |= {"hs-ex"} if world.needs_cable else set()
        await until(lambda: world.generation in told.generations[begun:], "the host is wired as the intent says")
        await until(lambda: _ports_of(switches["hv1"]) & {"geneve0", "hs-ex"} == wanted, "its ports are as wanted")
        assert "br-theirs" in told.bridges["hv1"], "and theirs is told of, to be shown"


def _ports_of(shadow: Shadow) -> set[str]:
    argv = ["ovs-vsctl", f"--db=unix:{shadow.rundir}/db.sock", "list-ports", "br-int"]
    return set(subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split())


async def test_junk_on_the_sockets_ends_that_connection_only(switches: dict[str, Shadow]) -> None:
    async with _running(switches, WORLD) as told:
        path = next(Path(switches["hv1"].rundir).glob("hopsight-*.sock"))
        for junk in (
            b"GET / HTTP/1.1\r\n\r\n" * 50,
            b"\x05\x0a\x00\x04abcd",
            b"\x05\x13\x00\x08\0\0\0\x01",
            b"\x05\x0a\x00\x0a\0\0\0\1xx",
        ):
            _, writer = await asyncio.open_unix_connection(str(path))
            writer.write(junk)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            writer.close()
        trace = await asyncio.to_thread(_trace, switches, told, 0, 1)
    assert trace.verdict == "delivered"


async def test_what_a_dead_switch_left_in_its_database_is_nobodys_word() -> None:
    """ovs-vswitchd is killed and its OVSDB lives: the host is not seen, until the switch is there again."""
    with Shadow() as first, Shadow() as second:
        async with _running({"hv1": first, "hv2": second}, WORLD) as told:

            def seen() -> set[str]:
                return set(asyncio.run_coroutine_threadsafe(told.controller.switches_seen(), loop).result(10))

            loop = asyncio.get_running_loop()
            await until(lambda: seen() == {"hv1", "hv2"}, "both are seen")
            vswitchd = next(one for one in first._daemons if "ovs-vswitchd" in str(one.args))
            vswitchd.kill()
            vswitchd.wait()
            await until(lambda: seen() == {"hv2"}, "the one that died is not seen")
            assert "vxlan0" in await asyncio.to_thread(_ports_of, first), "though its database tells the same as before"
            first._spawn(*vswitchd.args)
            await until(lambda: seen() == {"hv1", "hv2"}, "it is seen again")


async def test_a_switch_that_hangs_is_said_to_be_lost_at_once_and_in_words(
    switches: dict[str, Shadow], monkeypatch: pytest.MonkeyPatch
) -> None:
    """ovs-vswitchd is stopped, not dead: its OVSDB goes on saying that the controller is connected."""
    monkeypatch.setattr("sdn.transport.openflow.ECHO_EVERY_S", 0.1)
    monkeypatch.setattr("sdn.transport.ovsdb.TIMEOUT_S", 1)
    pid = int((switches["hv1"].rundir / "ovs-vswitchd.pid").read_text())
    async with _running(switches, WORLD) as told:
        os.kill(pid, signal.SIGSTOP)
        try:
            await until(lambda: told.lost, "it is lost")
            assert told.lost == ["OpenFlow channel: no answer to echo"], "before anything is asked of it"
            await until(lambda: len(told.lost) > 1, "it is asked for a change")
            assert (
                told.lost[1] == "OVSDB was asked for a change, and ovs-vswitchd did not do it within 1 s: does it hang?"
            )
        finally:
            os.kill(pid, signal.SIGCONT)
        await until(lambda: told.connected.count("hv1") > 1, "it is there again")
