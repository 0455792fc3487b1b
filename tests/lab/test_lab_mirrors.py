"""Mirrors with real packets on two hosts: the receiver gets each frame as it was, nobody else does, the traffic is whole.

[vm-0 watched]--[br-int@hv1]==vni, mirror's vni==[br-int@hv2]--[vm-3]
[vm-1]--/  [vm-2, another network]--/              \\--[vm-4, another network]
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from lab.commands import run
from lab.paths import HypervisorPaths, lab_netns
from sdn.capture import summary_of
from sdn.model.addresses import Vni
from sdn.model.intent import IntentSnapshot, MirrorIntent
from tests.lab.seats import Keeper, inside, plug, unplug
from tests.sdn.worlds import make_world
from tests.waiting import wait_for

pytestmark = pytest.mark.lab
PLAIN = make_world(2, 2, [(0, 0), (0, 0), (1, 0), (0, 1), (1, 1)])
WATCHED, NEIGHBOUR, BESIDE, FAR, FAR_BESIDE = PLAIN.ports
ALL_FRAMES, OUTGOING = 3, 4  # ETH_P_ALL, PACKET_OUTGOING
MIRROR_FLOWS = "cookie=0x48530a0000000000/0xffffff0000000000"
Frames = dict[str, list[bytes]]


class Ears:
    """A raw socket in each guest, which hears all that comes in, and what vm-0 sends."""

    def __init__(self, lab: str) -> None:
        self.sockets = {port.name: inside(lab_netns(lab, port.name), self._open) for port in PLAIN.ports}

    def __enter__(self) -> Ears:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self.sockets.values():
            one.close()

    def _open(self) -> socket.socket:
        ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_FRAMES))
        ear.bind(("eth0", 0))
        ear.setblocking(False)
        return ear

    def pings(self) -> Frames:
        """The ICMP frames that came to each guest since the last look; `sent` are those that vm-0 sent."""
        heard: Frames = {name: [] for name in self.sockets} | {"sent": []}
        for name, ear in self.sockets.items():
            while True:
                try:
                    frame, (_, _, kind, *_) = ear.recvfrom(65535)
                except BlockingIOError:
                    break
                if summary_of(frame)["protocol"] == "ICMP":
                    place = "sent" if kind == OUTGOING and name == WATCHED.name else name
                    heard[place] += [frame] if kind != OUTGOING or place == "sent" else []
        return heard


class Bench:
    """The lab with its guests; mirrors change from test to test."""

    def __init__(self, lab: tuple[HypervisorPaths, ...]) -> None:
        self.hosts, self.name, self.keeper, self.generation = lab, lab[0].root.parent.name, Keeper(lab), 0

    def set(self, *mirrors: MirrorIntent, world: IntentSnapshot = PLAIN) -> None:
        self.generation += 1
        snapshot = replace(world, generation=self.generation, mirrors=mirrors)
        self.keeper.set_intent(snapshot)
        wait_for(lambda: self.keeper.has(snapshot), 30, "the intent is on both hosts")

    def ping(self, to: str, *options: str, count: int = 3) -> Frames:
        """What everybody heard of pings of vm-0, all of which came back, once it is quiet."""
        argv = ["ip", "netns", "exec", lab_netns(self.name, WATCHED.name), "ping", "-q", "-i", "0.1", "-W", "2", "-c", str(count), *options, to]  # fmt: skip
        with Ears(self.name) as ears:
            told = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60).stdout
            assert " 0% packet loss" in told and "duplicates" not in told, told
            heard = ears.pings()
            quiet_at = time.monotonic() + 0.5
            while time.monotonic() < quiet_at:  # a copy too many would come now
                for name, frames in ears.pings().items():
                    heard[name] += frames
        return heard

    def mirror_flows(self) -> int:
        texts = [
            run("ovs-ofctl", "-O", "OpenFlow14", "dump-flows", f"unix:{host.ovs_rundir}/br-int.mgmt", MIRROR_FLOWS)
            for host in self.hosts
        ]
        return sum(text.count("cookie=") for text in texts)


def mirror(source: int, target: int, number: int = 1, frame_bytes: int = 1464, **ways: bool) -> MirrorIntent:
    return MirrorIntent(number, source, target, Vni(0x600000 + number), frame_bytes=frame_bytes, **ways)


@pytest.fixture(scope="module")
def bench(lab: tuple[HypervisorPaths, ...]) -> Iterator[Bench]:
    bench = Bench(lab)
    try:
        bench.keeper.set_intent(PLAIN)
        wait_for(lambda: len(bench.keeper.wired) == 2, 30, "the switches connect")
        places = {host.name: host for host in lab}
        for port in PLAIN.ports:
            plug(bench.name, places[str(port.host)], port)
        bench.generation = 1
        bench.set()
        for target in (NEIGHBOUR, FAR):  # the hosts learn each other's MACs
            asked = ("ip", "netns", "exec", lab_netns(bench.name, WATCHED.name), "ping", "-c1", "-W1", str(target.addresses[0]))  # fmt: skip
            wait_for(lambda asked=asked: " 0% packet loss" in subprocess.run(asked, capture_output=True, text=True, check=False).stdout, 30, "pings")  # type: ignore[misc]  # fmt: skip
        yield bench
    finally:
        bench.keeper.close()
        for host in lab:
            for port in PLAIN.ports:
                if str(port.host) == host.name:
                    unplug(bench.name, host, port)
            run("ovs-vsctl", f"--db={host.ovsdb}", "--if-exists", "del-br", "br-int")


def assert_copies(heard: Frames, receiver: str, of: str, count: int = 3) -> None:
    """The receiver got what vm-0 sent and received, byte by byte, and whoever is neither end nothing."""
    sent, received = heard["sent"], heard[WATCHED.name]
    assert len(sent) == len(received) == count
    assert sorted(heard[receiver]) == sorted((*sent, *received)), "each frame once, as it was"
    others = {port.name for port in PLAIN.ports} - {WATCHED.name, receiver, of}
    assert {name: heard[name] for name in others} == {name: [] for name in others}


@pytest.mark.parametrize("receiver", [BESIDE, FAR_BESIDE], ids=["same host", "another host"])
@pytest.mark.parametrize("other", [NEIGHBOUR, FAR], ids=["of a neighbour", "over the tunnel"])
def test_the_receiver_hears_every_frame_as_it_was_and_nobody_else_does(bench: Bench, receiver, other) -> None:  # type: ignore[no-untyped-def]
    bench.set(mirror(WATCHED.id, receiver.id))
    heard = bench.ping(str(other.addresses[0]))
    assert_copies(heard, receiver.name, other.name)
    assert len(heard[other.name]) == 3, "and the other end each frame once"


def test_what_the_network_itself_answers_is_received_and_copied(bench: Bench) -> None:
    bench.set(mirror(WATCHED.id, FAR_BESIDE.id))
    assert_copies(bench.ping("10.20.0.1"), FAR_BESIDE.name, WATCHED.name)


def test_a_receivers_groups_and_port_security_are_no_matter(bench: Bench) -> None:
    for is_secured in (True, False):
        ports = tuple(
            replace(port, groups=() if is_secured else port.groups, is_secured=is_secured)
            if port.id == BESIDE.id
            else port
            for port in PLAIN.ports
        )
        bench.set(mirror(WATCHED.id, BESIDE.id), world=replace(PLAIN, ports=ports))
        assert_copies(bench.ping(str(NEIGHBOUR.addresses[0])), BESIDE.name, NEIGHBOUR.name)


def test_one_direction_alone_is_copied_when_one_is_asked_for(bench: Bench) -> None:
    bench.set(mirror(WATCHED.id, FAR_BESIDE.id, receives=False))
    heard = bench.ping(str(FAR.addresses[0]))
    assert heard[FAR_BESIDE.name] == heard["sent"]
    bench.set(mirror(WATCHED.id, BESIDE.id, sends=False))
    heard = bench.ping(str(FAR.addresses[0]))
    assert heard[BESIDE.name] == heard[WATCHED.name]


def test_mirrors_of_each_other_make_no_loop(bench: Bench) -> None:
    bench.set(mirror(WATCHED.id, FAR_BESIDE.id, 1), mirror(FAR_BESIDE.id, WATCHED.id, 2), mirror(FAR.id, FAR_BESIDE.id, 3))  # fmt: skip
    heard = bench.ping(str(FAR.addresses[0]))
    assert len(heard[WATCHED.name]) == 3, "its own replies, and no copy of copies"
    assert len(heard[FAR_BESIDE.name]) == 12, "three there and three back, of both ends"


def test_what_a_tunnel_does_not_carry_is_cut_and_the_traffic_is_whole(bench: Bench) -> None:
    bench.set(mirror(WATCHED.id, FAR_BESIDE.id, frame_bytes=300))
    heard = bench.ping(str(FAR.addresses[0]), "-s", "1000")
    whole = [*heard["sent"], *heard[WATCHED.name]]
    assert {len(frame) for frame in whole} == {1042}
    assert sorted(heard[FAR_BESIDE.name]) == sorted(frame[:300] for frame in whole)


def test_a_mirror_that_ended_leaves_no_flow_and_copies_nothing(bench: Bench) -> None:
    bench.set(mirror(WATCHED.id, FAR_BESIDE.id))
    assert bench.mirror_flows() == 7, "five where it is watched, two where it is received"
    bench.set()
    assert bench.mirror_flows() == 0
    heard = bench.ping(str(NEIGHBOUR.addresses[0]))
    assert not heard[FAR_BESIDE.name] and not heard[BESIDE.name]
