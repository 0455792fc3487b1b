"""Real traffic, read from two real datapaths and joined: over a tunnel and a router, through NAT, and into a drop.

[web-1 10.20.0.11]--[br-int@hv1]==vni==[br-int@hv2]--[db-1 10.30.0.12]
                        └─[br-ex]─wire─[inet 198.51.100.1, web server 203.0.113.80]
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from lab.paths import HypervisorPaths, lab_netns
from sdn.model.intent import PortIntent
from sdn.model.packet import Packet
from sdn.model.trace import Trace
from sdn.observe import Seeing, observed_trace, part, three_way
from sdn.observe.look import Looker
from sdn.observe.session import Session
from sdn.trace import Endpoint, LiveWorld, Question, TraceHost, predict
from tests.lab.routed import DB_1, EXTERNAL_ADDRESS, FRONT, WEB_1, Site
from tests.waiting import wait_for

pytestmark = pytest.mark.lab
SERVER = "203.0.113.80"


@pytest.fixture(scope="module")
def site(lab: tuple[HypervisorPaths, ...]) -> Iterator[Site]:
    site = Site(lab)
    try:
        site.plug(WEB_1, "10.20.0.1")
        site.plug(DB_1, "10.30.0.1")
        site.set_router()
        yield site
    finally:
        site.close()


class Looks:
    """Predicts and observes one question of web-1's."""

    def __init__(self, site: Site, target: PortIntent | None, to: str, protocol: str, port: int = 0) -> None:
        self.rundirs = {host.name: host.ovs_rundir for host in site.hosts}
        ends = {(WEB_1.host): {2: endpoint(WEB_1)}, DB_1.host: {2: endpoint(DB_1)}}
        hosts = tuple(TraceHost(host.name, host.underlay_ip, None, ends.get(host.name, {})) for host in site.hosts)  # type: ignore[call-overload]
        packet = Packet(protocol, WEB_1.mac, FRONT.router_mac, WEB_1.addresses[0], IPv4Address(to), port_src=49152, port_dst=port or 8)  # type: ignore[arg-type]  # fmt: skip
        far = endpoint(target) if target else None
        self.question = Question("1", endpoint(WEB_1), far, packet, hosts, 1, "")
        self.looker = Looker(self.rundirs)
        self.session = Session(self.looker, {host.name: host.underlay_ip for host in site.hosts})

    def predicted(self) -> Trace:
        world = LiveWorld(self.rundirs)
        try:
            return predict(self.question, world, lambda causes: {})
        finally:
            world.close()

    def see(self) -> Seeing:
        return self.session.see((self.question,), time.monotonic())[0]

    def observed(self, predicted: Trace) -> Trace:
        return observed_trace(predicted, self.see(), lambda causes: {})


def endpoint(port: PortIntent) -> Endpoint:
    return Endpoint(port.name, "eth0", port.mac, port.addresses[0], str(port.host), f"t{port.id}", 2, "veth", "", "-")


def talking(site: Site, *argv: str) -> subprocess.Popen[bytes]:
    """A command of web-1's that goes on until it is ended."""
    return subprocess.Popen(["ip", "netns", "exec", lab_netns(site.lab, "web-1"), *argv], stdout=subprocess.DEVNULL)


def until(looks: Looks, predicted: Trace, is_so: Callable[[Trace], bool], what: str) -> Trace:
    found: list[Trace] = []

    def look() -> bool:
        found.append(looks.observed(predicted))
        return is_so(found[-1])

    wait_for(look, 15, what, 0.3)
    return found[-1]


def test_without_traffic_it_says_so_and_names_no_divergence(site: Site) -> None:
    looks = Looks(site, DB_1, "10.30.0.12", "udp", 9999)
    predicted = looks.predicted()
    observed = looks.observed(predicted)
    assert (observed.verdict, observed.hops) == ("unknown", ())
    assert "No real packet of this kind" in observed.reason and part(predicted, observed) is None


def test_pings_over_the_tunnel_are_joined_into_the_predicted_way_with_their_rate(site: Site) -> None:
    looks = Looks(site, DB_1, "10.30.0.12", "icmp")
    predicted = looks.predicted()
    ping = talking(site, "ping", "-q", "-i", "0.1", "10.30.0.12")
    try:
        seen = until(looks, predicted, lambda trace: trace.verdict == "delivered" and "0.0 packets/s" not in trace.reason, "pings are seen")  # fmt: skip
        began, before = time.monotonic(), looks.see()
        wait_for(lambda: time.monotonic() - began > 2, 5, "two seconds of pings")
        after = looks.see()
    finally:
        ping.kill()
        ping.wait()
    bridges = [hop for hop in seen.hops if hop.kind == "bridge"]
    assert [hop.host for hop in bridges] == ["hv1", "hv2"]
    assert [hop.kind for hop in seen.hops] == [hop.kind for hop in predicted.hops]
    assert "get to db-1 on hv2" in seen.reason and part(predicted, seen) is None
    assert "agree" in three_way(predicted, predicted, seen)
    for foreseen, real in zip([hop for hop in predicted.hops if hop.kind == "bridge"], bridges, strict=True):
        assert {step.table for step in real.steps} <= {step.table for step in foreseen.steps}
        assert [step.table for step in real.steps][-1] == 70, "the last look-up is of the output table"
    last = after.passages[-1]
    assert 6 < after.rate("hv2", last.stages[-1]).pps < 14, "ten pings a second"
    assert last.stages[-1].packets > before.passages[-1].stages[-1].packets
    assert last.arrival is not None and last.arrival.packets > 0, "the outer packets have an entry of their own"
    assert {one.zone for one in after.passages[0].connections} == {2}


def test_nat_is_undone_with_conntrack_and_the_header_is_the_translated_one(site: Site) -> None:
    looks = Looks(site, None, SERVER, "icmp")
    predicted = looks.predicted()
    ping = talking(site, "ping", "-q", "-i", "0.2", SERVER)
    try:
        seen = until(looks, predicted, lambda trace: trace.verdict == "delivered", "pings to the outside are seen")
        last = looks.see().passages[-1]
    finally:
        ping.kill()
        ping.wait()
    assert (last.end, last.header["nw_src"], last.header["nw_dst"]) == ("port", str(EXTERNAL_ADDRESS), SERVER)
    assert any(one.is_translated for one in last.connections)
    assert seen.hops[-1].kind == predicted.hops[-1].kind and part(predicted, seen) is None


def test_a_real_drop_is_told_with_its_reason_and_is_the_divergence(site: Site) -> None:
    """The prediction is of web-1's own address; what web-1 really sends has one that is not its own."""
    looks = Looks(site, DB_1, "10.30.0.12", "icmp")
    predicted = looks.predicted()
    spoofed = IPv4Address("10.20.0.99")
    looks.question = replace(looks.question, packet=replace(looks.question.packet, ip_src=spoofed))
    guest = lab_netns(site.lab, "web-1")
    subprocess.run(["ip", "-n", guest, "address", "add", f"{spoofed}/24", "dev", "eth0"], check=True)
    ping = talking(site, "ping", "-q", "-i", "0.2", "-I", str(spoofed), "10.30.0.12")
    try:
        seen = until(looks, predicted, lambda trace: trace.verdict == "dropped", "the drops are seen")
    finally:
        ping.kill()
        ping.wait()
        subprocess.run(["ip", "-n", guest, "address", "del", f"{spoofed}/24", "dev", "eth0"], check=True)
    assert "table 10 (port_security) of hv1" in seen.reason, seen.reason
    parted = part(predicted, seen)
    assert parted is not None and "br-int on hv1" in parted.words
    assert "parts from that at br-int on hv1" in three_way(predicted, None, seen)


def test_no_entry_tells_of_another_teams_packet(site: Site) -> None:
    """The key of an entry holds the first packet's values under masks of nought: they are not shown."""
    looks = Looks(site, DB_1, "10.30.0.12", "icmp")
    predicted = looks.predicted()
    ping = talking(site, "ping", "-q", "-i", "0.2", "10.30.0.12")
    try:
        seen = until(looks, predicted, lambda trace: trace.verdict == "delivered", "pings are seen")
    finally:
        ping.kill()
        ping.wait()
    arriving = next(hop for hop in seen.hops if hop.kind == "bridge" and hop.host == "hv2")
    assert "ct_tuple4(src" not in arriving.evidence and str(WEB_1.addresses[0]) not in arriving.evidence
    assert any("may hold other packets" in one for one in seen.findings) or seen.findings == ()
