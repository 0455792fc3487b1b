"""The controller as keeper of a gateway host: the cable to br-ex, the neighbours on the external network, TTL.

[app-1]--12--[br-int@hv1]--hs-ex/hs-int--[br-ex]--wire--[inet 198.51.100.1]
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
from os_ken.lib.packet import arp, ethernet, icmp, packet, tcp

from sdn.controller import Controller, HostConnection
from sdn.controller.icmp_errors import icmp_error
from sdn.controller.outside_frames import parse_arp_answer
from sdn.model.addresses import HostName, Mac
from sdn.model.intent import IntentSnapshot
from sdn.shadow import Shadow
from sdn.transport.ovsdb import CABLE
from sdn.transport.unixctl import UnixctlClient
from tests.sdn.frames import Capture, Out, arp_frame, ip_frame
from tests.sdn.routed import (
    APP_1_ADDRESS,
    APP_1_MAC,
    BACK_MAC,
    EXTERNAL_ADDRESS,
    EXTERNAL_MAC,
    FLOATING,
    INET,
    INET_MAC,
    SNAPSHOT,
)
from tests.waiting import until

APP, OUTSIDE = (APP_1_MAC, APP_1_ADDRESS), (INET_MAC, INET)
ON_LINK, ON_LINK_MAC = "198.51.100.77", "02:00:00:00:00:77"


class Told:
    """An observer that remembers which ports were wired."""

    def __init__(self) -> None:
        self.wired: dict[str, int] = {}

    async def meters_seen(self, *args: object) -> None: ...

    async def host_connected(self, host: str, dpid: int, ovs_version: str) -> None: ...

    async def host_lost(self, host: str, reason: str) -> None: ...

    async def ports_wired(self, host: str, generation: int, ofports: dict[str, int], names: dict[str, str]) -> None:
        self.wired = dict(ofports)

    async def ssh_answered(self, iface_id: str) -> None: ...


class Site:
    """hv1 with br-ex and a port to the outside, and guests' ports; every port catches what leaves by it."""

    def __init__(self, shadow: Shadow) -> None:
        self.shadow = shadow
        self.wire, self.app, self.web = (Capture(shadow.rundir / f"{name}.pcap") for name in ("wire", "app", "web"))
        self._vsctl("add-br", "br-ex", "--", "set", "bridge", "br-ex", "datapath_type=dummy")
        self._plug("br-ex", "wire", "")
        self._client = UnixctlClient(shadow.unixctl)

    def plug_guests(self) -> None:
        self._plug("br-int", "app", "iface-app-1")
        self._plug("br-int", "web", "iface-web-1")

    def send(self, port: str, frame: packet.Packet) -> None:
        frame.serialize()
        self._client.run("netdev-dummy/receive", port, bytes(frame.data).hex())

    def ports(self, bridge: str) -> set[str]:
        there = self._vsctl("list-br").split()
        return set(self._vsctl("list-ports", bridge).split()) if bridge in there else set()

    def has_way_out(self) -> bool:
        """Do packets that come in by the cable to br-ex have a flow?"""
        if CABLE not in self.ports("br-int"):
            return False
        ofport = self._vsctl("get", "interface", CABLE, "ofport").strip()
        return ofport.isdigit() and bool(self.flows(f"table=0,in_port={ofport}"))

    def flows(self, match: str) -> list[str]:
        socket = f"unix:{self.shadow.rundir}/br-int.mgmt"
        argv = ["ovs-ofctl", "-O", "OpenFlow14", "--no-names", "--no-stats", "dump-flows", socket, match]
        said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
        return [line for line in said.splitlines() if "priority=" in line]

    def _plug(self, bridge: str, name: str, iface_id: str) -> None:
        ids = (f"external_ids:iface-id={iface_id}",) if iface_id else ()
        capture = f"options:tx_pcap={self.shadow.rundir}/{name}.pcap"
        self._vsctl(
            "--may-exist", "add-port", bridge, name, "--", "set", "interface", name, "type=dummy", capture, *ids
        )

    def _vsctl(self, *words: str) -> str:
        argv = ["ovs-vsctl", f"--db=unix:{self.shadow.rundir}/db.sock", "--timeout=10", *words]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def site() -> Iterator[Site]:
    with Shadow() as shadow:
        yield Site(shadow)


@contextlib.asynccontextmanager
async def keeping(site: Site, world: IntentSnapshot = SNAPSHOT) -> AsyncIterator[Controller]:
    told = Told()
    controller = Controller(told)
    rundir = site.shadow.rundir
    target = f"unix:{rundir}/hopsight.sock"
    hv1 = HostConnection(HostName("hv1"), f"unix:{rundir}/db.sock", "dummy", "192.0.2.11", target, rundir)
    await controller.set_hosts((hv1,))
    await controller.set_intent(world)
    try:
        await until(lambda: "vxlan0" in site.ports("br-int"), "br-int is made")
        await asyncio.to_thread(site.plug_guests)
        await until(lambda: len(told.wired) == 2, "both guests' ports are wired")
        if world.routers[0].gateway_host == HostName(
            "hv1"
        ):  # the cable comes after the bridge: a packet sent before is lost
            await until(site.has_way_out, "the cable to br-ex has its flows")
        yield controller
    finally:
        await controller.stop()


async def frames(capture: Capture, wanted, what: str) -> list[Out]:  # type: ignore[no-untyped-def]
    """The frames caught so far, when one of them is as wanted."""
    seen: list[Out] = []

    def look() -> bool:
        seen.extend(capture.new())
        return any(wanted(out) for out in seen)

    await until(look, what)
    return [out for out in seen if wanted(out)]


def is_question_for(address: str):  # type: ignore[no-untyped-def]
    def match(out: Out) -> bool:
        found = out.frame.get_protocol(arp.arp)
        return found is not None and found.opcode == 1 and found.dst_ip == address

    return match


def syn(to: str) -> packet.Packet:
    return ip_frame(APP, (BACK_MAC, to), tcp.tcp(4000, 80, seq=1, bits=2))


def is_syn_to(address: str):  # type: ignore[no-untyped-def]
    return lambda out: out.frame.get_protocol(tcp.tcp) is not None and out.ends[1] == address


async def test_the_gateway_is_asked_for_and_packets_go_to_its_mac(site: Site) -> None:
    """[app-1]--[br-int@hv1]--[br-ex]--[inet]"""
    async with keeping(site):
        asked = await frames(site.wire, is_question_for(str(INET)), "the gateway's MAC is asked for")
        assert asked[0].get(arp.arp).src_mac == EXTERNAL_MAC and asked[0].get(arp.arp).src_ip == str(EXTERNAL_ADDRESS)
        site.send("wire", arp_frame(2, OUTSIDE, (EXTERNAL_MAC, EXTERNAL_ADDRESS)))
        await until(lambda: site.flows("table=48,reg10=0xc6336401"), "the gateway's MAC is a flow")
        site.send("app", syn("203.0.113.80"))
        sent = await frames(site.wire, is_syn_to("203.0.113.80"), "the packet leaves")
        assert sent[0].get(ethernet.ethernet).dst == INET_MAC and sent[0].ends[0] == str(EXTERNAL_ADDRESS)


async def test_the_first_packet_to_a_host_on_the_external_network_waits_for_its_mac(site: Site) -> None:
    """[app-1]--[br-int@hv1]--controller: who has 198.51.100.77?--[br-ex]--[a host on the wire]"""
    async with keeping(site):
        site.send("app", syn(ON_LINK))
        await frames(site.wire, is_question_for(ON_LINK), "its MAC is asked for")
        site.send("wire", arp_frame(2, (ON_LINK_MAC, ON_LINK), (EXTERNAL_MAC, EXTERNAL_ADDRESS)))
        sent = await frames(site.wire, is_syn_to(ON_LINK), "the waiting packet leaves")
        assert len(sent) == 1 and sent[0].get(ethernet.ethernet).dst == ON_LINK_MAC


async def test_an_arp_answer_that_nobody_asked_for_is_no_news(site: Site) -> None:
    """[a liar on the wire]--[br-ex]--[br-int@hv1]"""
    async with keeping(site):
        await frames(site.wire, is_question_for(str(INET)), "the gateway's MAC is asked for")
        site.send("wire", arp_frame(2, (ON_LINK_MAC, ON_LINK), (EXTERNAL_MAC, EXTERNAL_ADDRESS)))
        site.send("wire", arp_frame(2, OUTSIDE, (EXTERNAL_MAC, EXTERNAL_ADDRESS)))
        await until(lambda: site.flows("table=48,reg10=0xc6336401"), "the gateway's MAC is a flow")
        assert not site.flows("table=48,reg10=0xc633644d")


async def test_its_addresses_are_announced_when_a_host_becomes_their_gateway(site: Site) -> None:
    """[br-int@hv1: 198.51.100.10 and .20 are here]--[br-ex]--everybody"""
    elsewhere = replace(SNAPSHOT, routers=(replace(SNAPSHOT.routers[0], gateway_host=HostName("hv2")),))
    async with keeping(site, elsewhere) as controller:
        assert not [out for out in site.wire.new() if out.frame.get_protocol(arp.arp)]
        await controller.set_intent(replace(SNAPSHOT, generation=8))
        for address in (EXTERNAL_ADDRESS, FLOATING):
            told = await frames(site.wire, is_question_for(str(address)), f"{address} is announced")
            assert told[0].get(arp.arp).src_ip == str(address) and told[0].get(arp.arp).src_mac == EXTERNAL_MAC


async def test_a_restarted_controller_still_knows_the_neighbours_and_changes_no_flow(site: Site) -> None:
    """[controller] ✘ [controller]: the flow of the gateway's MAC stays, with its age"""
    async with keeping(site):
        await frames(site.wire, is_question_for(str(INET)), "the gateway's MAC is asked for")
        site.send("wire", arp_frame(2, OUTSIDE, (EXTERNAL_MAC, EXTERNAL_ADDRESS)))
        await until(lambda: site.flows("table=48,reg10=0xc6336401"), "the gateway's MAC is a flow")
    site.send("app", syn("203.0.113.80"))
    await frames(site.wire, is_syn_to("203.0.113.80"), "without a controller packets leave too")
    before = sorted(site.flows(""))
    async with keeping(site):
        await frames(site.wire, is_question_for(str(INET)), "the new controller is at work")
        assert sorted(site.flows("")) == before


async def test_the_cable_goes_with_the_last_external_network_and_br_ex_is_left_alone(site: Site) -> None:
    """[br-int@hv1] ✘ [br-ex]"""
    async with keeping(site) as controller:
        assert "hs-ex" in site.ports("br-int") and site.ports("br-ex") == {"wire", "hs-int"}
        await controller.set_intent(replace(SNAPSHOT, generation=8, externals=(), routers=()))
        await until(
            lambda: site.ports("br-ex") == {"wire"} and "hs-ex" not in site.ports("br-int"), "the cable is gone"
        )


async def test_traceroute_sees_the_router(site: Site) -> None:
    """[app-1, TTL 1]--[br-int@hv1]--controller: time exceeded, from the gateway of app-1's subnet"""
    async with keeping(site):
        probe = ip_frame(APP, (BACK_MAC, "203.0.113.80"), tcp.tcp(4000, 80, seq=1, bits=2), ttl=1)
        site.send("app", probe)
        told = await frames(site.app, lambda out: out.frame.get_protocol(icmp.icmp) is not None, "the router tells")
        assert told[0].ends == ("10.30.0.1", str(APP_1_ADDRESS))
        error = told[0].get(icmp.icmp)
        assert (error.type, error.code) == (11, 0) and error.data.data[12:16] == APP_1_ADDRESS.packed


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\0" * 14,
        bytes(range(60)),
        b"\xff" * 12 + b"\x08\x06" + b"\0" * 28,
        b"\0" * 12 + b"\x08\x00\x45" + b"\0" * 3,
    ],
)
def test_junk_is_no_answer_and_gets_none(frame: bytes) -> None:
    assert parse_arp_answer(frame) is None
    assert icmp_error(frame, "ttl_exceeded", (Mac(BACK_MAC), EXTERNAL_ADDRESS), BACK_MAC) is None


def test_no_error_is_told_about_an_error_a_fragment_or_a_multicast() -> None:
    """RFC 1122, 3.2.2: else two routers would tell each other for ever"""
    plain = syn("203.0.113.80")
    plain.serialize()
    assert icmp_error(bytes(plain.data), "ttl_exceeded", (Mac(BACK_MAC), EXTERNAL_ADDRESS), BACK_MAC) is not None
    unreachable = ip_frame(APP, (BACK_MAC, INET), icmp.icmp(3, 3, 0, icmp.dest_unreach(data=b"\0" * 28)))
    unreachable.serialize()
    fragment, multicast = bytearray(plain.data), bytearray(plain.data)
    fragment[21], multicast[30] = 9, 224
    for refused in (bytes(unreachable.data), bytes(fragment), bytes(multicast)):
        assert icmp_error(refused, "ttl_exceeded", (Mac(BACK_MAC), EXTERNAL_ADDRESS), BACK_MAC) is None
