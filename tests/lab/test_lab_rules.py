"""Security groups with real packets: namespaces plugged as guests are, on two real userspace switches.

[vm-0]--[br-int@hv1]--[vm-1]     ==vni 4097==     [br-int@hv2]--[vm-2]
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from lab.commands import run
from lab.paths import HypervisorPaths
from sdn.model.intent import IntentSnapshot, RuleIntent, SecurityGroupIntent
from tests.lab.seats import Keeper, inside, listen, netns_of, plug, unplug
from tests.sdn.worlds import make_world
from tests.waiting import wait_for

pytestmark = pytest.mark.lab
SSH, DATAGRAMS = RuleIntent(50, "ingress", 4, "tcp", (22, 22)), RuleIntent(51, "ingress", 4, "udp", (5000, 5000))
WORLD = make_world(2, 1, [(0, 0), (0, 0), (0, 1)])


def world(generation: int, *rules: RuleIntent) -> IntentSnapshot:
    """vm-0 may do anything; vm-1 and vm-2 are in the group of these rules, and may send nothing by themselves."""
    group = SecurityGroupIntent(2, "web", rules)
    ports = tuple(replace(port, groups=(2,)) if port.id > 1 else port for port in WORLD.ports)
    return replace(WORLD, generation=generation, ports=ports, groups=(*WORLD.groups, group))


@dataclass
class Bench:
    """The lab, its controller, and what it was told last."""

    name: str
    keeper: Keeper
    generation: int = 1

    def allow(self, *rules: RuleIntent) -> float:
        """Change the rules; the seconds until every host has them."""
        self.generation += 1
        snapshot, began = world(self.generation, *rules), time.monotonic()
        self.keeper.set_intent(snapshot)
        wait_for(lambda: self.keeper.has(snapshot), 20, "every host has the rules", 0.001)
        return time.monotonic() - began

    def netns(self, number: int) -> str:
        return netns_of(self.name, WORLD.ports[number])

    def address(self, number: int) -> str:
        return str(WORLD.ports[number].addresses[0])

    def connect(self, number: int, port: int) -> socket.socket:
        """A connection from vm-0; raises TimeoutError when nothing answers in time."""
        return inside(self.netns(0), lambda: socket.create_connection((self.address(number), port), timeout=2))


@pytest.fixture(scope="module")
def bench(lab: tuple[HypervisorPaths, ...]) -> Iterator[Bench]:
    name, keeper = lab[0].root.parent.name, Keeper(lab)
    places = {"hv1": lab[0], "hv2": lab[1]}
    bench = Bench(name, keeper)
    try:
        keeper.set_intent(world(1))
        wait_for(lambda: len(keeper.wired) == 2, 30, "both switches connect")
        for port in WORLD.ports:
            plug(name, places[str(port.host)], port)
        wait_for(lambda: keeper.has(world(1)), 30, "every port is wired")
        yield bench
    finally:
        keeper.close()
        for port in WORLD.ports:
            unplug(name, places[str(port.host)], port)
        for host in lab:
            run("ovs-vsctl", f"--db={host.ovsdb}", "--if-exists", "del-br", "br-int")


@contextlib.contextmanager
def connected(bench: Bench, number: int) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection from vm-0 to tcp/22 of a guest."""
    with listen(bench.netns(number), 22) as server, bench.connect(number, 22) as client:
        far, _ = server.accept()
        with far:
            yield client, far


def passes(one: socket.socket, other: socket.socket, within_s: float) -> bool:
    """Whether a byte sent now at one end comes out at the other in time."""
    drain(other)
    one.send(b"x")
    ready, _, _ = select.select([other], [], [], within_s)
    return bool(ready) and bool(other.recv(4096))


def drain(end: socket.socket) -> None:
    while select.select([end], [], [], 0)[0] and end.recv(65536):
        continue


@pytest.mark.parametrize("number", [1, 2])
def test_a_port_that_a_rule_names_answers_and_another_does_not(bench: Bench, number: int) -> None:
    """[vm-0] → tcp/22 ✔, tcp/80 ✘, on the same host and across the tunnel"""
    bench.allow(SSH)
    with connected(bench, number) as (client, far):
        assert passes(client, far, 5) and passes(far, client, 5)
    with listen(bench.netns(number), 80), pytest.raises(TimeoutError):
        bench.connect(number, 80)


@pytest.mark.parametrize("is_answer", [False, True], ids=["what vm-0 sends", "what it is sent"])
@pytest.mark.parametrize("number", [1, 2])
def test_a_removed_rule_stops_an_open_connection_and_an_added_one_lets_it_go_on(
    bench: Bench, number: int, is_answer: bool
) -> None:
    """Either way by itself: a guest that only receives is cut off, and goes on, without saying a word."""
    bench.allow(SSH)
    with connected(bench, number) as (client, far):
        one, other = (far, client) if is_answer else (client, far)
        assert passes(one, other, 5)
        removed_s = bench.allow()
        # the datapath's cached flows follow its tables within moments, on a busy machine within more
        wait_for(lambda: not passes(one, other, 0.3), 10, "the connection is cut")
        assert not passes(one, other, 1.0)
        added_s, began = bench.allow(SSH), time.monotonic()
        wait_for(lambda: passes(one, other, 1), 15, "the connection goes on")
        healed_s = time.monotonic() - began
    print(
        f"rule removed on hosts: {removed_s * 1000:.1f} ms, added: {added_s * 1000:.1f} ms; alive after {healed_s:.1f} s"
    )


def test_a_guest_answers_only_what_it_was_asked(bench: Bench) -> None:
    """vm-1's group has no egress rule: it answers vm-0, and cannot begin."""
    bench.allow(SSH)
    with connected(bench, 1) as (client, far):
        assert passes(far, client, 5)
    with listen(bench.netns(0), 8080), pytest.raises(TimeoutError):
        inside(bench.netns(1), lambda: socket.create_connection((bench.address(0), 8080), timeout=1))


@pytest.mark.parametrize("size", [100, 4000])
def test_a_datagram_in_fragments_meets_the_same_rule(bench: Bench, size: int) -> None:
    """[vm-0] → udp/5000 of vm-2 ✔, udp/5001 ✘, in one packet and in three"""
    bench.allow(DATAGRAMS)
    ends = [inside(bench.netns(2), lambda port=port: _datagrams(port)) for port in (5000, 5001)]
    with ends[0] as allowed, ends[1] as denied, inside(bench.netns(0), lambda: _datagrams(0)) as near:

        def arrives(far: socket.socket) -> bool:
            near.sendto(b"y" * size, (bench.address(2), far.getsockname()[1]))
            return bool(select.select([far], [], [], 1)[0]) and len(far.recv(65536)) == size

        wait_for(lambda: arrives(allowed), 15, "the first one arrives")  # a cold tunnel may lose it
        assert arrives(allowed), "a second one of the connection too"
        assert not arrives(denied)


def _datagrams(port: int) -> socket.socket:
    end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    end.bind(("0.0.0.0", port))
    return end


def test_the_gateway_answers_ping_whatever_the_rules(bench: Bench) -> None:
    bench.allow()
    run("ip", "netns", "exec", bench.netns(1), "ping", "-c1", "-W3", "10.20.0.1")


def test_a_neighbour_learns_at_once_who_has_an_address_now(bench: Bench) -> None:
    """vm-1's address goes to vm-2: vm-0, which sends nothing meanwhile, has the new MAC"""
    pings = RuleIntent(52, "ingress", 4, "icmp")
    bench.allow(pings)
    address, (_, old, new) = bench.address(1), WORLD.ports
    ping = ("ip", "netns", "exec", bench.netns(0), "ping", "-n", "-c", "1", "-W", "2", address)
    neighbours = ("ip", "-n", bench.netns(0), "neighbour", "show", address)
    run(*ping)
    assert old.mac in run(*neighbours)
    bench.generation += 1
    before = world(bench.generation, pings)
    moved = {old.id: (), new.id: (*new.addresses, *old.addresses)}
    ports = tuple(replace(port, addresses=moved.get(port.id, port.addresses)) for port in before.ports)
    run("ip", "-n", bench.netns(2), "address", "add", f"{address}/24", "dev", "eth0")
    run("ip", "-n", bench.netns(1), "address", "del", f"{address}/24", "dev", "eth0")
    try:
        bench.keeper.set_intent(replace(before, ports=ports))
        wait_for(lambda: new.mac in run(*neighbours), 10, "vm-0 was told")
        run(*ping)
    finally:
        run("ip", "-n", bench.netns(2), "address", "del", f"{address}/24", "dev", "eth0")
        run("ip", "-n", bench.netns(1), "address", "add", f"{address}/24", "dev", "eth0")
        bench.allow(pings)
