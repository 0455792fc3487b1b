"""Real packets through routers: between networks on two hypervisors, to the lab's internet, and back in.

[web-1 10.20.0.11]--[br-int@hv1]==vni==[br-int@hv2]--[db-1 10.30.0.12]
                        └─[br-ex]─wire─[inet 198.51.100.1, web server 203.0.113.80]
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from lab.paths import LABS, HypervisorPaths, lab_netns
from sdn.model.intent import FloatingIntent
from sdn.model.packet import Packet
from sdn.trace import Endpoint, LiveWorld, Question, TraceHost, predict
from tests.lab.routed import (
    DB_1,
    EXTERNAL,
    EXTERNAL_ADDRESS,
    FLOATING,
    FRONT,
    HOST_6,
    HV1,
    HV2,
    OUTSIDE_6,
    ROUTER,
    WEB_1,
    Site,
)
from tests.waiting import wait_for

pytestmark = pytest.mark.lab
SERVER = "203.0.113.80"
INET_PAGES = LABS
LARGE_BYTES = 8 << 20


@pytest.fixture(scope="module")
def site(lab: tuple[HypervisorPaths, ...]) -> Iterator[Site]:
    site = Site(lab)
    try:
        site.plug(WEB_1, "10.20.0.1")
        site.plug(DB_1, "10.30.0.1")
        yield site
    finally:
        site.close()


@pytest.fixture
def routed(site: Site) -> Site:
    site.set_router()
    return site


@pytest.fixture
def served(site: Site, tmp_path: Path) -> Iterator[str]:
    """web-1 serves a page; its words."""
    (tmp_path / "index.html").write_text("web-1 was here\n")
    (tmp_path / "large").write_bytes(bytes(range(256)) * (LARGE_BYTES // 256))
    argv = [
        "ip",
        "netns",
        "exec",
        lab_netns(site.lab, "web-1"),
        "busybox",
        "httpd",
        "-f",
        "-p",
        "80",
        "-h",
        str(tmp_path),
    ]
    server = subprocess.Popen(argv)
    try:
        yield "web-1 was here\n"
    finally:
        server.kill()
        server.wait()


def page(site: Site, part: str, url: str) -> str:
    done = site.inside(part, "timeout", "3", "busybox", "wget", "-q", "-O", "-", url)
    return done.stdout if done.returncode == 0 else ""


def test_networks_on_two_hosts_reach_each_other_through_the_router(routed: Site) -> None:
    """[web-1 on front]--[br-int@hv1]==vni of back==[br-int@hv2]--[db-1 on back]"""
    wait_for(lambda: routed.inside("web-1", "ping", "-c", "1", "-W", "1", "10.30.0.12").returncode == 0, 15, "a ping")
    said = routed.inside("web-1", "ping", "-c", "5", "-i", "0.2", "-W", "2", "10.30.0.12").stdout
    assert " 0% packet loss" in said and "ttl=63" in said, said


def test_traceroute_names_the_router_and_then_the_target(routed: Site) -> None:
    """[web-1] → 10.20.0.1 → [db-1]"""
    said = routed.inside("web-1", "busybox", "traceroute", "-n", "-q", "1", "-w", "3", "10.30.0.12").stdout
    assert [line.split()[1] for line in said.splitlines()[1:]] == ["10.20.0.1", "10.30.0.12"], said


@pytest.mark.parametrize("guest", ["web-1", "db-1"])
def test_the_internet_is_reached_from_both_hosts(routed: Site, guest: str) -> None:
    """[web-1 beside the gateway, db-1 by the tunnel to it]--[br-int@hv1: SNAT]--[br-ex]--[inet]"""
    assert "the packet left the cloud" in wait_for(lambda: page(routed, guest, f"http://{SERVER}/"), 15, "the page")


def test_the_routers_external_address_answers_ping_and_nothing_else(routed: Site) -> None:
    """[inet]--[br-ex]--[br-int@hv1]"""
    assert routed.inside("inet", "ping", "-c", "1", "-W", "2", str(EXTERNAL_ADDRESS)).returncode == 0
    assert not page(routed, "inet", f"http://{EXTERNAL_ADDRESS}/")


def test_a_floating_address_is_reached_and_gone_at_once_when_it_is_taken_away(site: Site, served: str) -> None:
    """[inet]--[br-ex]--[br-int@hv1: DNAT]--[web-1], and by db-1 too"""
    site.set_router(floating=(FloatingIntent(1, FLOATING, WEB_1.id, WEB_1.addresses[0]),))  # type: ignore[arg-type]
    assert wait_for(lambda: page(site, "inet", f"http://{FLOATING}/"), 15, "the page from outside") == served
    assert page(site, "db-1", f"http://{FLOATING}/") == served, "from inside, turned round at the gateway host"
    pinging = site.inside("inet", "ping", "-c", "2", "-i", "0.2", "-W", "1", str(FLOATING))
    assert pinging.returncode == 0, pinging.stdout
    site.set_router()
    assert site.inside("inet", "ping", "-c", "2", "-i", "0.2", "-W", "1", str(FLOATING)).returncode != 0
    assert not page(site, "inet", f"http://{FLOATING}/")


def test_a_connection_ends_when_its_floating_address_is_given_to_another(site: Site, served: str) -> None:
    """[inet]--DNAT--[web-1], then [inet]--DNAT--[db-1]: nobody goes on talking to the one that it was"""
    mine = FloatingIntent(1, FLOATING, WEB_1.id, WEB_1.addresses[0])  # type: ignore[arg-type]
    site.set_router(floating=(mine,))
    assert wait_for(lambda: page(site, "inet", f"http://{FLOATING}/"), 15, "the page from outside") == served
    with site.holding("inet", str(FLOATING), 80) as connection:
        zone = "dpctl/dump-conntrack", f"zone={ROUTER.zone}"
        port = f"port={connection.getsockname()[1]}"  # of this connection: web-1 may still end an earlier one
        assert port in site.appctl(HV1, *zone)
        site.set_router(floating=(replace(mine, port_id=DB_1.id, fixed=DB_1.addresses[0]),))
        wait_for(lambda: port not in site.appctl(HV1, *zone), 5, "it is forgotten")
        connection.sendall(b"GET /large HTTP/1.0\r\n\r\n")
        connection.settimeout(1.5)
        with pytest.raises(OSError):  # nothing, or a reset by the one that has the address now
            assert connection.recv(100) == b"", "the server that had the address still answers"
            raise ConnectionResetError


def test_a_large_transfer_arrives_whole(site: Site, served: str) -> None:
    """[db-1]--routed, over the tunnel--[web-1], and [inet]--DNAT--[web-1]: full-size segments, right checksums"""
    site.set_router(floating=(FloatingIntent(1, FLOATING, WEB_1.id, WEB_1.addresses[0]),))  # type: ignore[arg-type]
    for part, address in (("db-1", "10.20.0.11"), ("inet", str(FLOATING))):
        script = f"busybox wget -q -O - http://{address}/large | sha256sum; busybox wget -q -O - http://{address}/large | wc -c"
        said = site.inside(part, "sh", "-c", script, timeout=60).stdout.split()
        assert said[-1] == str(LARGE_BYTES), (part, said)
        expected = subprocess.run(["sha256sum"], input=bytes(range(256)) * (LARGE_BYTES // 256), capture_output=True)
        assert said[0] == expected.stdout.decode().split()[0], part


def test_another_host_takes_over_as_the_gateway(site: Site) -> None:
    """[br-int@hv1] ✘, [br-int@hv2: SNAT]--[br-ex]--[inet, which hears the announcement]"""
    site.set_router(gateway_host=HV1)
    assert wait_for(lambda: page(site, "web-1", f"http://{SERVER}/"), 15, "the page by hv1")
    site.set_router(gateway_host=HV2)
    for guest in ("web-1", "db-1"):
        assert wait_for(lambda guest=guest: page(site, guest, f"http://{SERVER}/"), 15, f"{guest}: the page by hv2")


@pytest.fixture
def wide(site: Site) -> Iterator[Site]:
    """Guests that send 1500 bytes, and back carries 1400 alone."""
    for guest in ("web-1", "db-1"):
        site.inside(guest, "ip", "link", "set", "eth0", "mtu", "1500")
    site.set_router(mtus=(1500, 1400))
    try:
        yield site
    finally:
        for guest in ("web-1", "db-1"):
            site.inside(guest, "ip", "link", "set", "eth0", "mtu", "1450")
            site.inside(guest, "ip", "route", "flush", "cache")


def test_a_sender_learns_from_the_router_how_large_packets_may_be(wide: Site) -> None:
    """[web-1, 1500]--[br-int@hv1: fragmentation needed, 1400] ✘ [db-1 on back, 1400] (RFC 1191)"""
    wait_for(lambda: wide.inside("web-1", "ping", "-c", "1", "-W", "1", "10.30.0.12").returncode == 0, 15, "a ping")
    said = wide.inside("web-1", "ping", "-c", "2", "-i", "0.3", "-W", "1", "-M", "do", "-s", "1440", "10.30.0.12")
    assert "10.20.0.1" in said.stdout and "mtu = 1400" in said.stdout, said
    assert "mtu 1400" in wide.inside("web-1", "ip", "route", "get", "10.30.0.12").stdout
    fits = wide.inside("web-1", "ping", "-c", "1", "-W", "2", "-M", "do", "-s", "1372", "10.30.0.12")
    assert fits.returncode == 0, fits.stdout


def test_a_large_transfer_gets_through_a_smaller_network(wide: Site, served: str) -> None:
    """[web-1: TCP segments of 1500 bytes]--[br-int@hv1: 1400 fit]--[db-1, who asked for as much]"""
    script = "busybox wget -q -O - http://10.20.0.11/large | wc -c"
    said = wide.inside("db-1", "timeout", "30", "sh", "-c", script, timeout=40).stdout.strip()
    assert said == str(LARGE_BYTES)
    assert "mtu 1400" in wide.inside("web-1", "ip", "route", "get", "10.30.0.12").stdout


def test_a_sender_is_told_that_nobody_is_there_and_that_there_is_no_route(site: Site) -> None:
    """[web-1]--[br-int@hv1: 10.20.0.1 says so]"""
    site.set_router(external_id=None, external_address=None, gateway_host=None)
    for to, words in (("10.30.0.77", "Destination Host Unreachable"), ("192.0.2.200", "Destination Net Unreachable")):
        said = site.inside("web-1", "ping", "-c", "1", "-W", "2", to).stdout
        assert f"From 10.20.0.1 icmp_seq=1 {words}" in said, said


def ping6(site: Site, part: str, to: object) -> bool:
    return site.inside(part, "ping", "-6", "-c", "1", "-W", "1", str(to)).returncode == 0


@pytest.mark.parametrize("guest", ["web-1", "db-1"])
def test_ipv6_has_a_way_outside_from_both_hosts_as_the_routers_own_address(routed: Site, guest: str) -> None:
    """[web-1 fd10::…, db-1 fd20::… by the tunnel]--[br-int@hv1: NAT66]--[br-ex]--[inet, and a host beyond it]"""
    for to in (OUTSIDE_6, HOST_6):
        assert wait_for(lambda to=to: ping6(routed, guest, to), 15, f"{guest} reaches {to}")
    with subprocess.Popen(["ip", "netns", "exec", lab_netns(routed.lab, "inet"), "busybox", "httpd", "-f", "-p", f"[{HOST_6}]:8086", "-h", str(INET_PAGES / routed.lab / "inet")]) as server:  # fmt: skip
        try:
            url = f"http://[{HOST_6}]:8086/"
            assert "the packet left the cloud" in wait_for(lambda: page(routed, guest, url), 15, "the page over IPv6")
        finally:
            server.kill()


def test_a_trace_shows_how_ipv6_leaves(routed: Site) -> None:
    """[web-1]--[br-int@hv1: fd10::… becomes the router's own address]--[br-ex]--outside"""
    assert wait_for(lambda: ping6(routed, "web-1", HOST_6), 15, "the next hop's MAC is known")
    words = ("ovs-vsctl", f"--db={routed.hosts[0].ovsdb}", "get", "Interface", f"t{WEB_1.id}", "ofport")
    ofport = int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    here = Endpoint("web-1", "eth0", WEB_1.mac, WEB_1.addresses[1], "hv1", f"t{WEB_1.id}", ofport, "veth", "veth", "-")
    asked = Packet("icmp", WEB_1.mac, FRONT.router_mac, WEB_1.addresses[1], ip_address(HOST_6), port_dst=128)
    hosts = tuple(TraceHost(one.name, one.underlay_ip, None, {ofport: here} if one.name == "hv1" else {}) for one in routed.hosts)  # fmt: skip
    world = LiveWorld({one.name: one.ovs_rundir for one in routed.hosts})
    try:
        trace = predict(Question("1", here, None, asked, hosts, 1, ""), world, lambda causes: {})
    finally:
        world.close()
    assert trace.verdict in ("delivered", "flooded"), trace
    bridge = next(hop for hop in trace.hops if hop.object == "br-int")
    assert bridge.header_before["ipv6_src"] == str(WEB_1.addresses[1])
    assert bridge.header_after["ipv6_src"] == str(EXTERNAL.address6_of(ROUTER.external_mac))
    assert [step.table_name for step in bridge.steps][-5:] == ["nat", "translated", "external_route", "external_neighbour", "output"]  # fmt: skip


def test_nothing_comes_in_over_ipv6_that_nobody_asked_for(routed: Site) -> None:
    """[inet]--[br-ex]--[br-int@hv1]: the router's address is found and answers ping; web-1's own is not reached by it"""
    address = EXTERNAL.address6_of(ROUTER.external_mac)
    assert wait_for(lambda: ping6(routed, "inet", address), 15, "the router's address answers")
    routed.inside("inet", "ip", "-6", "route", "replace", "fd10::/64", "via", str(address), "dev", "eth0")
    assert not ping6(routed, "inet", WEB_1.addresses[1])
    assert not page(routed, "inet", f"http://[{address}]/")


def test_br_ex_stays_as_it_was_but_for_the_cable(site: Site) -> None:
    """whoever made br-ex keeps its flows: NORMAL, and the underlay's NIC"""
    for host in site.hosts:
        said = subprocess.run(["ovs-ofctl", "--no-stats", "dump-flows", f"unix:{host.ovs_rundir}/br-ex.mgmt"], capture_output=True, text=True, check=True).stdout  # fmt: skip
        assert said.split() == ["priority=0", "actions=NORMAL"], said
        ports = subprocess.run(["ovs-vsctl", f"--db={host.ovsdb}", "list-ports", "br-ex"], capture_output=True, text=True, check=True).stdout  # fmt: skip
        assert sorted(ports.split()) == ["hs-int", "under0"]
