"""What is said of a NIC over macvtap is what the kernel does: real frames through macvtaps of each mode, and a real domain that has one.

[guest a]--macvtap a--+
                      +--up0====wire0 [the wire]
[guest b]--macvtap b--+
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import secrets
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address

import pytest

from lab.commands import run
from lab.paths import HypervisorPaths
from sdn.model.addresses import Mac
from sdn.model.bypass import TRUTHS, Bypass
from sdn.model.device import chain_past
from sdn.model.packet import Packet
from sdn.trace import Endpoint, LiveWorld, Question, TraceHost, predict
from tasks.hypervisor.driver import HypervisorError
from tasks.hypervisor.libvirt_driver import LibvirtHypervisor
from tests.waiting import wait_for

pytestmark = pytest.mark.lab
MODES = ("bridge", "vepa", "private")
CLONE_NEWNET, ETH_P_ALL = 0x40000000, 3
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 2, 0x1000
ETHER_TYPE = b"\x88\xb5"  # for experiments of one's own (IEEE 802)


@dataclass
class Parent:
    """A namespace with a cable, whose one end has macvtaps and whose other end is the wire."""

    netns: str
    wire: socket.socket
    taps: dict[str, int] = field(default_factory=dict)
    macs: dict[str, bytes] = field(default_factory=dict)

    def add(self, name: str, mode: str) -> None:
        """A macvtap, and what the guest behind it would read and write."""
        run("ip", "-n", self.netns, "link", "add", "name", name, "link", "up0", "type", "macvtap", "mode", mode)
        run("ip", "-n", self.netns, "link", "set", name, "addrgenmode", "none", "up")
        inside = ("ip", "netns", "exec", self.netns, "cat")
        index, address = (run(*inside, f"/sys/class/net/{name}/{what}").strip() for what in ("ifindex", "address"))
        device = os.open(f"/dev/tap{index}", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH14x", b"", IFF_TAP | IFF_NO_PI))
        self.taps[name], self.macs[name] = device, bytes.fromhex(address.replace(":", ""))

    def frame(self, source: str, target: str) -> bytes:
        return self.macs[target] + self.macs[source] + ETHER_TYPE + secrets.token_bytes(46)

    def is_at(self, name: str, frame: bytes) -> bool:
        """Is it there by now? What came before it is passed over. "": at the wire."""
        with suppress(BlockingIOError):
            while True:
                found = os.read(self.taps[name], 2048) if name else self.wire.recv(2048)
                if found[:60] == frame:
                    return True
        return False


@pytest.fixture
def parent(as_root: None) -> Iterator[Parent]:
    netns = f"hs-mv{secrets.token_hex(2)}"
    run("ip", "netns", "add", netns)
    made = None
    try:
        run("ip", "-n", netns, "link", "add", "up0", "type", "veth", "peer", "name", "wire0")
        for name in ("up0", "wire0"):
            run("ip", "-n", netns, "link", "set", name, "addrgenmode", "none", "up")
        made = Parent(netns, _packet_socket(netns, "wire0"))
        yield made
    finally:
        if made is not None:
            made.wire.close()
            for device in made.taps.values():
                os.close(device)
        run("ip", "netns", "del", netns)


def _packet_socket(netns: str, device: str) -> socket.socket:
    """A socket in the namespace; a thread enters it and ends, the socket stays there."""
    found: list[socket.socket] = []

    def make() -> None:
        with open(f"/run/netns/{netns}") as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        one.bind((device, ETH_P_ALL))
        one.setblocking(False)
        found.append(one)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize("mode", MODES)
def test_where_frames_of_a_macvtap_go_is_as_its_words_say(parent: Parent, mode: str) -> None:
    parent.add("mva", mode)
    parent.add("mvb", mode)
    words = TRUTHS[f"macvtap {mode}"]
    to_neighbour = parent.frame("mva", "mvb")
    os.write(parent.taps["mva"], to_neighbour)
    goes_straight = "hands frames straight to other macvtaps" in words
    wait_for(lambda: parent.is_at("mvb" if goes_straight else "", to_neighbour), 20, f"the frame, in mode {mode}", 0.02)
    parent.macs["out"] = b"\x02\0\0\0\0\x99"
    outwards = parent.frame("mva", "out")
    os.write(parent.taps["mva"], outwards)
    wait_for(lambda: parent.is_at("", outwards), 20, "all others leave the host", 0.02)
    assert not parent.is_at("mvb" if not goes_straight else "", to_neighbour), "it went one way alone"
    if goes_straight:
        return
    parent.macs |= {"all": b"\xff" * 6, "far": b"\x02\0\0\0\0\x98"}
    to_all, last = parent.frame("mva", "all"), parent.frame("far", "all")
    for frame in (to_neighbour, to_all, last):  # the switch outside sends them back, and one of its own
        parent.wire.send(frame)
    seen = [_next(parent, "mvb")]
    while seen[-1] != last:
        seen.append(_next(parent, "mvb"))
    assert to_neighbour in seen, "a frame for its very MAC arrives in either mode"
    assert (to_all in seen) is ("arrives only if the switch outside sends it back" in words)
    assert (to_all in seen) is not ("never arrives, even where the switch outside sends it back" in words)


def _next(parent: Parent, name: str) -> bytes:
    def read() -> bytes:
        with suppress(BlockingIOError):
            return os.read(parent.taps[name], 2048)[:60]
        return b""

    return wait_for(read, 20, "a frame", 0.02)


DOMAIN = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type arch='x86_64'>hvm</type></os><on_reboot>destroy</on_reboot><devices>
<interface type='direct'><mac address='52:54:00:bb:00:01'/><source dev='{device}' mode='private'/><model type='virtio'/></interface>
</devices></domain>"""


def test_a_real_domains_nic_over_macvtap_ends_a_trace_with_its_words(lab: tuple[HypervisorPaths, ...]) -> None:
    here, name = lab[0], f"mv{secrets.token_hex(2)}"
    hypervisor = LibvirtHypervisor("hv1", here.libvirt_uri)
    run("ip", "-n", here.netns, "link", "add", "mvup0", "type", "veth", "peer", "name", "mvwire0")
    try:
        run("ip", "-n", here.netns, "link", "set", "mvup0", "up")
        hypervisor.define(DOMAIN.format(name=name, device="mvup0"))
        try:
            hypervisor.start(name)
            (nic,) = hypervisor.live_interfaces(name)
        finally:
            with suppress(HypervisorError):
                hypervisor.destroy(name)
            hypervisor.undefine(name)
    finally:
        run("ip", "-n", here.netns, "link", "del", "mvup0")
    assert nic.bypass == Bypass("macvtap", "mvup0", "private")
    source = Endpoint("web", "eth0", nic.mac, IPv4Address("10.0.0.1"), "hv1", "", None, "virtio", "qemu", name, chain=chain_past(nic.bypass))  # fmt: skip
    packet = Packet(
        "tcp", Mac(nic.mac), Mac("02:00:00:00:00:99"), source.address, IPv4Address("10.0.0.2"), 64, 40000, 80
    )
    question = Question(
        "1", source, None, packet, (TraceHost("hv1", "192.0.2.11", None, {}),), 1, "2026-01-01T00:00:00Z"
    )
    found = predict(question, LiveWorld({}), lambda causes: {})
    assert found.reason == nic.bypass.words_from("web") and "asks by broadcast" in found.reason
    assert [hop.kind for hop in found.hops] == ["guest_nic", "backend"] and "macvtap in mode private on mvup0" in found.hops[-1].detail  # fmt: skip
