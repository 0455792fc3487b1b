"""Real packets copied at several hops of two real switches, joined, and read back by tshark.

[web-1 10.20.0.11]--[br-int@hv1]==vni==[br-int@hv2]--[db-1 10.30.0.12]
                        └─[br-ex]─wire─[inet 198.51.100.1, web server 203.0.113.80]
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest

from lab.paths import HypervisorPaths
from sdn.capture import Captured, CaptureOrder, CapturePoint, format_pcapng, join, packet_of, summary_of
from sdn.controller import capturing
from sdn.model.meter import CAPTURE_METER
from sdn.trace.live import parse_ports
from sdn.transport.openflow import ChannelError
from sdn.transport.unixctl import UnixctlClient, find_vswitchd_socket
from tests.lab.routed import DB_1, EXTERNAL_ADDRESS, WEB_1, Site
from tests.waiting import wait_for

pytestmark = pytest.mark.lab
SERVER = "203.0.113.80"
PING = ((("icmp", ""),),)
NAMES = ("web-1 tap", "tunnel@hv1", "tunnel@hv2", "db-1 tap", "outside@hv1")


@pytest.fixture(scope="module")
def site(lab: tuple[HypervisorPaths, ...]) -> Iterator[Site]:
    site = Site(lab)
    try:
        site.plug(WEB_1, "10.20.0.1")
        site.plug(DB_1, "10.30.0.1")
        site.set_router()
        wait_for(
            lambda: ping(site, "10.30.0.12", 1).returncode == 0 and ping(site, SERVER, 1).returncode == 0, 20, "pings"
        )
        yield site
    finally:
        site.close()


def ping(site: Site, to: str, count: int) -> subprocess.CompletedProcess[str]:
    return site.inside("web-1", "ping", "-q", "-i", "0.1", "-W", "1", "-c", str(count), to)


def ofport(site: Site, host: str, name: str) -> int:
    rundir = next(one.ovs_rundir for one in site.hosts if one.name == host)
    text = UnixctlClient(find_vswitchd_socket(rundir)).run("dpif/show")
    return next(port.ofport for port in parse_ports(text) if (port.bridge, port.name) == ("br-int", name))


def points(site: Site) -> tuple[CapturePoint, ...]:
    places = (("hv1", "t1"), ("hv1", "vxlan0"), ("hv2", "vxlan0"), ("hv2", "t2"), ("hv1", "hs-ex"))
    return tuple(
        CapturePoint(name, host, ofport(site, host, port), PING, PING)
        for name, (host, port) in zip(NAMES, places, strict=True)
    )


class Run:
    """A capture under way on the site's controller."""

    def __init__(self, site: Site, order: CaptureOrder) -> None:
        self.site, self.order = site, order
        self.caught: list[Captured] = []
        self.outcome: Future[str] = asyncio.run_coroutine_threadsafe(site._controller.captures.run(order, self.caught.append), site._loop)  # fmt: skip

    def stop(self) -> str:
        self.site._loop.call_soon_threadsafe(self.site._controller.captures.stop, self.order.number)
        return self.outcome.result(10)


def flows_of(site: Site, host: str) -> list[str]:
    rundir = next(one.ovs_rundir for one in site.hosts if one.name == host)
    argv = ["ovs-ofctl", "-O", "OpenFlow14", "dump-flows", f"unix:{rundir}/br-int.mgmt", "cookie=0x4853090000000000/0xffffff0000000000"]  # fmt: skip
    return [line for line in subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines() if "cookie=" in line]  # fmt: skip


def test_a_ping_is_seen_at_every_hop_of_its_way_there_and_back_and_still_arrives(site: Site, tmp_path: Path) -> None:
    run = Run(site, CaptureOrder(1, points(site), 1000, 30))
    wait_for(lambda: len(flows_of(site, "hv1")) == 9 and len(flows_of(site, "hv2")) == 6, 10, "the flows are there")
    assert " 0% packet loss" in ping(site, "10.30.0.12", 3).stdout
    wait_for(lambda: len(run.caught) >= 3 * 8, 10, "eight sights of each ping")
    assert run.stop() == "stopped"
    assert not flows_of(site, "hv1") and not flows_of(site, "hv2"), "nothing is left"
    ways = [(NAMES[one.point], one.is_out) for one in run.caught]
    for place in (("web-1 tap", False), ("tunnel@hv1", True), ("tunnel@hv2", False), ("db-1 tap", True)):
        assert ways.count(place) == 3 and ways.count((place[0], not place[1])) == 3, ways
    met = join(run.caught)
    assert len(met) == 6 and all(len(one.sights) == 4 for one in met), "three there, three back, four sights each"
    assert all(0 <= after < 2e6 for one in met for _, after in one.sights)
    assert summary_of(run.caught[0].frame)["what"].startswith("echo request")
    file = tmp_path / "way.pcapng"
    file.write_bytes(format_pcapng(NAMES, run.caught, "a test"))
    if shutil.which("tshark") is None:
        return  # the writer itself is read back in tests/sdn/test_capture.py
    argv = ["tshark", "-r", str(file), "-T", "fields", "-e", "frame.interface_name", "-e", "ip.src", "-e", "icmp.type"]
    read = [line.split("\t") for line in subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()]  # fmt: skip
    assert len(read) == 24 and {line[0] for line in read} == set(NAMES[:4])
    assert {tuple(line[1:]) for line in read} == {("10.20.0.11", "8"), ("10.30.0.12", "0")}


def test_the_first_packet_that_opens_a_connection_is_caught_and_no_other(site: Site) -> None:
    """[web-1] ping, and only its first echo request: what an earlier ping goes on with opens nothing."""
    wanted = (("icmp", ""), ("nw_src", "10.20.0.11"), ("nw_dst", "10.30.0.12"))
    point = CapturePoint("web-1", "hv1", points(site)[0].ofport, (), (), (wanted,), WEB_1.id)
    run = Run(site, CaptureOrder(7, (point,), 1, 20))
    wait_for(lambda: len(flows_of(site, "hv1")) == 1, 10, "the flow is there")
    ping(site, "10.30.0.1", 1)
    assert not run.caught, "another connection"
    assert " 0% packet loss" in ping(site, "10.30.0.12", 3).stdout
    assert run.outcome.result(10) == "1 packets were caught" and not flows_of(site, "hv1")
    packet = packet_of(run.caught[0].frame)
    assert packet is not None and (packet.protocol, str(packet.ip_dst), packet.port_dst) == ("icmp", "10.30.0.12", 8)
    assert (packet.eth_src, packet.size_bytes, packet.ttl) == (WEB_1.mac, 98, 64)


def test_both_sides_of_a_nat_are_caught_and_joined_into_one_packet(site: Site) -> None:
    run = Run(site, CaptureOrder(2, points(site), 1000, 30))
    wait_for(lambda: len(flows_of(site, "hv1")) == 9, 10, "the flows are there")
    assert " 0% packet loss" in ping(site, SERVER, 2).stdout
    wait_for(lambda: len(run.caught) >= 8, 10, "both sides of two pings, there and back")
    run.stop()
    sides = {(NAMES[one.point], one.is_out): summary_of(one.frame)["source"] for one in run.caught}
    assert sides[("web-1 tap", False)] == "10.20.0.11" and sides[("outside@hv1", True)] == str(EXTERNAL_ADDRESS)
    met = join(run.caught)
    assert len(met) == 4 and all(len(one.sights) == 2 for one in met)


def test_it_ends_at_its_number_of_packets_and_copies_no_more(site: Site) -> None:
    run = Run(site, CaptureOrder(3, points(site)[:1], 5, 30))
    wait_for(lambda: bool(flows_of(site, "hv1")), 10, "the flows are there")
    ping(site, "10.30.0.12", 6)
    assert run.outcome.result(10) == "5 packets were caught" and len(run.caught) == 5
    assert not flows_of(site, "hv1")


def test_a_busy_port_floods_nobody_and_loses_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """[web-1] pings fast: the copies pass a meter, the pings do not."""
    monkeypatch.setattr(capturing, "METER", replace(capturing.METER, rate=20, burst=20))
    run = Run(site, CaptureOrder(8, points(site)[:1], 1000, 30))
    wait_for(lambda: bool(flows_of(site, "hv1")), 10, "the flows are there")
    assert all(f"meter_id={CAPTURE_METER}" in line for line in flows_of(site, "hv1"))
    began = time.monotonic()
    told = site.inside("web-1", "ping", "-q", "-i", "0.002", "-W", "2", "-c", "400", "10.30.0.12").stdout
    took = time.monotonic() - began
    assert " 0% packet loss" in told, told
    why = run.stop()
    assert 20 <= len(run.caught) <= 60 + 25 * (took + 1) < 400, (len(run.caught), took)
    assert "more came faster than 20 a second and were not taken" in why
    rundir = next(one.ovs_rundir for one in site.hosts if one.name == "hv1")
    argv = ["ovs-ofctl", "-O", "OpenFlow14", "dump-meters", f"unix:{rundir}/br-int.mgmt"]
    assert f"meter={CAPTURE_METER}" not in subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def test_it_ends_at_its_time_and_a_second_one_at_the_same_point_is_refused_meanwhile(site: Site) -> None:
    run = Run(site, CaptureOrder(4, points(site)[:1], 1000, 2))
    wait_for(lambda: bool(flows_of(site, "hv1")), 10, "the flows are there")
    with pytest.raises(ChannelError, match="web-1 tap is captured at already"):
        Run(site, CaptureOrder(5, points(site)[:2], 10, 2)).outcome.result(5)
    assert run.outcome.result(10) == "2 s are over" and not flows_of(site, "hv1")


def test_flows_that_no_capture_is_of_go_whoever_left_them(site: Site) -> None:
    """As after a kill -9: they have their own timeout, and a controller that looks at the switch removes them before."""
    run = Run(site, CaptureOrder(6, points(site)[:1], 1000, 30))
    wait_for(lambda: bool(flows_of(site, "hv1")), 10, "the flows are there")
    assert all("hard_timeout=35" in line for line in flows_of(site, "hv1"))
    site._loop.call_soon_threadsafe(site._controller.captures._running.clear)
    for link in site._controller._hosts.values():
        site._loop.call_soon_threadsafe(setattr, link, "_synced", None)
        site._loop.call_soon_threadsafe(link.poke)
    began = time.monotonic()
    wait_for(lambda: not flows_of(site, "hv1"), 15, "the reconcile takes them")
    assert time.monotonic() - began < 30, "by then their own timeout may have"
    run.outcome.cancel()
