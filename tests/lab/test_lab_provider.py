"""Provider networks with real packets: guests on two hosts and a machine outside, all in VLAN 200 of the underlay's wire.

[vm-1 10.60.0.21]--[br-int@hv1]--[br-ex]==VLAN 200==[br-ex]--[br-int@hv2]--[vm-2 10.60.0.22]
                            └──[br-office, no bridge of ours]--[office: 10.60.0.1 and beyond it 203.0.113.99, untagged
                                10.60.0.2, in VLAN 201 10.60.0.77]
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from lab.commands import run
from lab.namespaces import delete_namespace, ensure_address, ensure_cable, ensure_namespace
from lab.paths import HypervisorPaths, lab_netns
from sdn.model.addresses import HostName, IfaceId, Mac, Vni
from sdn.model.intent import (
    HostIntent,
    IntentSnapshot,
    NetworkIntent,
    PortIntent,
    RuleIntent,
    SecurityGroupIntent,
    SubnetIntent,
)
from sdn.model.mtu import Encapsulation
from sdn.model.packet import Packet
from sdn.model.trace import Trace
from sdn.pipeline import TABLE_BY_NAME, Register
from sdn.probe import TOKEN_BYTES, ProbeOrder, build_frame
from sdn.trace import Endpoint, LiveWorld, Question, TraceHost, predict
from sdn.trace.question import WireSegment
from sdn.transport.unixctl import find_vswitchd_socket
from tests.lab.seats import Keeper, netns_of, plug, unplug
from tests.sdn.world import OPEN
from tests.waiting import wait_for

pytestmark = pytest.mark.lab
GATEWAY, BEYOND, IN_OTHER_VLAN, UNTAGGED = "10.60.0.1", "203.0.113.99", "10.60.0.77", "10.60.0.2"
MACHINES = {0: UNTAGGED, 200: GATEWAY, 201: IN_OTHER_VLAN}  # by VLAN
SUBNET = SubnetIntent(1, IPv4Network("10.60.0.0/24"), IPv4Address(GATEWAY), (IPv4Address("9.9.9.9"),))
OUT_ONLY = SecurityGroupIntent(2, "out only", (RuleIntent(90, "egress", 4, "any"),))
PORTS = tuple(
    PortIntent(
        number, IfaceId(f"provider-{number}"), 1, HostName(f"hv{number}"), Mac(f"52:54:00:00:60:{number:02x}"),
        (IPv4Address(f"10.60.0.2{number}"),), f"vm-{number}", (OPEN.id,),
    )
    for number in (1, 2)
)  # fmt: skip
TOKEN, OUTSIDE_MAC = bytes(range(TOKEN_BYTES)), "02:00:00:00:00:77"
OUTPUT = TABLE_BY_NAME["output"].table_id
DHCP = '#!/bin/sh\n[ "$1" = bound ] && echo "{\\"ip\\": \\"$ip\\", \\"router\\": \\"$router\\", \\"dns\\": \\"$dns\\", \\"mtu\\": \\"$mtu\\"}"\nexit 0\n'


def vsctl(host: HypervisorPaths, *words: str) -> str:
    """What ovs-vsctl says on the host."""
    return run("ovs-vsctl", f"--db={host.ovsdb}", "--timeout=10", "--", *words)


@dataclass
class Office:
    """The lab, its controller, and the machine outside."""

    hosts: tuple[HypervisorPaths, ...]
    keeper: Keeper
    generation: int = 0
    kind: tuple[Encapsulation, int | None] = ("vlan", 200)

    @property
    def name(self) -> str:
        return self.hosts[0].root.parent.name

    @property
    def outside(self) -> str:
        return self.machine(200)

    def machine(self, vid: int) -> str:
        """The namespace of the machine outside in that VLAN, 0 is untagged: one each, as they have the same prefix."""
        return lab_netns(self.name, f"office{vid}")

    def set(self, kind: Encapsulation = "vlan", vid: int | None = 200, *groups: int) -> None:
        """The network of this kind, its ports in these groups, in force on both hosts."""
        self.generation += 1
        self.kind = kind, vid
        network = NetworkIntent(1, "office", Vni(4097), 1500, Mac("52:54:00:ff:00:01"), (SUBNET,), "", kind, vid)
        hosts = tuple(HostIntent(int(one.name[2:]), HostName(one.name), IPv4Address(one.underlay_ip)) for one in self.hosts)  # fmt: skip
        ports = tuple(replace(port, groups=groups or (OPEN.id,)) for port in PORTS)
        snapshot = IntentSnapshot(self.generation, hosts, (network,), ports, (OPEN, OUT_ONLY))
        self.keeper.set_intent(snapshot)
        wait_for(lambda: self.keeper.has(snapshot), 30, "both hosts are wired as the intent says")

    def trace(self, to: str = "10.60.0.22", target: PortIntent | None = PORTS[1]) -> Trace:
        """The predicted way of vm-1's ping, asked of the lab's own switches."""
        network = NetworkIntent(1, "office", Vni(4097), 1500, Mac("52:54:00:ff:00:01"), (SUBNET,), "", *self.kind)
        hosts = tuple(TraceHost(one.name, one.underlay_ip, None, {self.ofport(port): self.end(port)}, 1600) for one, port in zip(self.hosts, PORTS, strict=True))  # fmt: skip
        to_mac = target.mac if target else OUTSIDE_MAC
        packet = Packet("icmp", PORTS[0].mac, Mac(to_mac), PORTS[0].addresses[0], IPv4Address(to), port_dst=8, size_bytes=1400)  # fmt: skip
        segment = WireSegment(network.vid) if network.is_provider and target else None
        question = Question("1", self.end(PORTS[0]), self.end(target) if target else None, packet, hosts, 1, "", segment=segment)  # fmt: skip
        world = LiveWorld({one.name: one.ovs_rundir for one in self.hosts})
        try:
            return predict(question, world, lambda causes: {})
        finally:
            world.close()

    def end(self, port: PortIntent) -> Endpoint:
        return Endpoint(port.name, "eth0", port.mac, port.addresses[0], str(port.host), port.name, self.ofport(port), "veth", "veth pair", "-", 1500)  # fmt: skip

    def ofport(self, port: PortIntent) -> int:
        return int(vsctl(self.hosts[PORTS.index(port)], "get", "Interface", port.name, "ofport"))

    def probe(self) -> list[tuple[str, int, int]]:
        """What the switches report of a real marked packet from vm-1 to vm-2: (host, table, ofport)."""
        frame = build_frame(Packet("icmp", PORTS[0].mac, PORTS[1].mac, PORTS[0].addresses[0], PORTS[1].addresses[0], port_dst=8), TOKEN)  # fmt: skip
        reports = self.keeper.probe(ProbeOrder(TOKEN, HostName("hv1"), self.ofport(PORTS[0]), frame))
        return [(str(one.host), one.table_id, one.registers.get(Register.OUT, 0)) for one in reports]

    def ping(self, netns: str, to: str, size: int = 56) -> bool:
        argv = ["ip", "netns", "exec", netns, "ping", "-c", "1", "-W", "1", "-M", "do", "-s", str(size), to]
        return subprocess.run(argv, capture_output=True, timeout=20).returncode == 0

    def tunnelled(self, port: str = "vxlan0") -> int:
        """Packets that left by the tunnel of hv1 so far."""
        path = ("ovs-ofctl", "-O", "OpenFlow14", "dump-ports", f"unix:{self.hosts[0].ovs_rundir}/br-int.mgmt", port)
        return int(re.findall(r"tx pkts=(\d+)", run(*path))[0])


@pytest.fixture(scope="module")
def office(lab: tuple[HypervisorPaths, ...]) -> Iterator[Office]:
    office = Office(lab, Keeper(lab))
    outside, wire = office.outside, lab_netns(office.name, "wire")
    try:
        office.keeper.set_intent(IntentSnapshot(0, (), (), ()))
        ensure_cable((lab[0].netns, "offw"), (wire, "office"), 1500, "underlay")
        vsctl(lab[0], "add-br", "br-office", "--", "set", "Bridge", "br-office", "datapath_type=netdev", "--", "add-port", "br-office", "offw")  # fmt: skip
        for vid, address in MACHINES.items():
            ensure_namespace(office.machine(vid))
            ensure_cable((office.machine(vid), "eth0"), (lab[0].netns, f"off{vid}"), 1500)
            vsctl(lab[0], "add-port", "br-office", f"off{vid}", f"tag={vid}")
            ensure_address(office.machine(vid), "eth0", f"{address}/24")
        ensure_address(outside, "lo", f"{BEYOND}/32")
        wait_for(lambda: len(office.keeper.wired) == 2, 30, "both switches connect")
        for host, port in zip(lab, PORTS, strict=True):
            plug(office.name, host, port, mtu=1500)
            run("ip", "-n", netns_of(office.name, port), "route", "replace", "default", "via", GATEWAY)
        yield office
    finally:
        office.keeper.close()
        for host, port in zip(lab, PORTS, strict=True):
            unplug(office.name, host, port)
            vsctl(host, "--if-exists", "del-br", "br-int", "--", "--if-exists", "del-port", "hs-int")
        vsctl(lab[0], "--if-exists", "del-br", "br-office")
        for vid in MACHINES:
            delete_namespace(office.machine(vid))


@pytest.fixture
def guests(office: Office) -> tuple[str, ...]:
    """The guests' namespaces, in a network that is VLAN 200 and lets everything in."""
    office.set()
    return tuple(netns_of(office.name, port) for port in PORTS)


def test_guests_of_two_hosts_and_a_machine_outside_reach_each_other_at_full_size_and_by_no_tunnel(
    office: Office, guests: tuple[str, ...]
) -> None:
    """1472 bytes of ping are 1500 of IP: what the wire carries, with no tunnel's header to pay for"""
    wait_for(lambda: office.ping(guests[0], "10.60.0.22"), 15, "vm-1 reaches vm-2")
    before = office.tunnelled()
    for netns, to in ((guests[0], "10.60.0.22"), (guests[1], "10.60.0.21"), (guests[0], GATEWAY), (guests[1], GATEWAY)):
        assert wait_for(lambda netns=netns, to=to: office.ping(netns, to, 1472), 10, f"{netns} reaches {to}")
    for to in ("10.60.0.21", "10.60.0.22"):
        assert wait_for(lambda to=to: office.ping(office.outside, to, 1472), 10, f"the office reaches {to}")
    assert office.tunnelled() == before


def test_what_is_beyond_is_reached_by_the_router_outside(office: Office, guests: tuple[str, ...]) -> None:
    for netns in guests:
        assert wait_for(lambda netns=netns: office.ping(netns, BEYOND), 10, "beyond the router outside")


def test_another_vlan_is_not_reached(office: Office, guests: tuple[str, ...]) -> None:
    """10.60.0.77 is on the same wire and in VLAN 201; nor does the guest's VLAN exist once the network has another"""
    assert wait_for(lambda: office.ping(guests[0], GATEWAY), 10, "the gateway")
    assert not office.ping(guests[0], IN_OTHER_VLAN)
    office.set("vlan", 202)
    assert not office.ping(guests[0], GATEWAY)
    assert wait_for(lambda: office.ping(guests[0], "10.60.0.22"), 10, "the guests have the new VLAN to themselves")


def test_groups_hold_towards_the_machine_outside(office: Office, guests: tuple[str, ...]) -> None:
    """in the group "out only": vm-1 pings the office and is answered; the office's own ping gets nowhere"""
    office.set("vlan", 200, OUT_ONLY.id)
    assert wait_for(lambda: office.ping(guests[0], GATEWAY), 10, "an answer to what a guest asked")
    assert not office.ping(office.outside, "10.60.0.21")


def test_a_guest_gets_its_address_from_us_and_the_router_outside_as_its_gateway(
    office: Office, guests: tuple[str, ...], tmp_path: Path
) -> None:
    script = tmp_path / "told"
    script.write_text(DHCP)
    script.chmod(0o755)
    argv = ["ip", "netns", "exec", guests[1], "busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "5", "-T", "1", "-O", "mtu", "-s", str(script)]  # fmt: skip
    said = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    told = json.loads(said.stdout)
    assert told == {"ip": "10.60.0.22", "router": GATEWAY, "dns": "9.9.9.9", "mtu": "1500"}, said


def test_a_flat_network_is_untagged_and_its_guests_reach_no_host(office: Office, guests: tuple[str, ...]) -> None:
    """[vm-1]--untagged--[office, 10.60.0.2]; ✘ [hv2's underlay address, where tunnels end]"""
    office.set("flat", None)
    assert wait_for(lambda: office.ping(guests[0], UNTAGGED), 10, "the office, untagged")
    assert wait_for(lambda: office.ping(guests[0], "10.60.0.22"), 10, "the other guest, untagged")
    underlay = office.hosts[1].underlay_ip
    mac = run("ip", "-n", office.hosts[1].netns, "-br", "link", "show", "br-ex").split()[2]
    run("ip", "-n", guests[0], "neigh", "replace", underlay, "lladdr", mac, "dev", "eth0")
    run("ip", "-n", guests[0], "route", "replace", f"{underlay}/32", "dev", "eth0")
    assert not office.ping(guests[0], underlay)
    words = subprocess.run(["ovs-ofctl", "-O", "OpenFlow14", "dump-flows", f"unix:{office.hosts[0].ovs_rundir}/br-int.mgmt", "table=250,reg4=0x2c"], capture_output=True, text=True, check=True).stdout  # fmt: skip
    assert "n_packets=0," not in words and "n_packets=" in words, words


def test_a_trace_follows_the_vlan_from_host_to_host(office: Office, guests: tuple[str, ...]) -> None:
    """[vm-1]--[br-int@hv1]--[br-ex@hv1]--VLAN 200--[br-ex@hv2]--[br-int@hv2]--[vm-2], whether br-ex knows the MAC or not"""
    for is_learned in (False, True):
        for host in office.hosts:
            run("ovs-appctl", "-t", str(find_vswitchd_socket(host.ovs_rundir)), "fdb/flush", "br-ex")
        if is_learned:
            wait_for(lambda: office.ping(guests[0], "10.60.0.22"), 10, "br-ex learns")
        trace = office.trace()
        assert (trace.verdict, trace.reason) == ("delivered", "vm-1 reaches vm-2."), trace
        ways = [(hop.kind, hop.host, hop.object) for hop in trace.hops]
        assert ways[1:] == [
            ("veth", "hv1", "vm-1"), ("bridge", "hv1", "br-int"), ("patch", "hv1", "br-int ↔ br-ex"), ("bridge", "hv1", "br-ex"),
            ("underlay_nic", "hv1", "br-ex"), ("underlay", "", "underlay"), ("underlay_nic", "hv2", "br-ex"),
            ("patch", "hv2", "br-ex ↔ br-int"), ("bridge", "hv2", "br-int"), ("veth", "hv2", "vm-2"), ("guest_nic", "hv2", "vm-2 eth0"),
        ]  # fmt: skip
        wire = next(hop for hop in trace.hops if hop.kind == "underlay")
        assert wire.detail == "VLAN 200, hv1 to hv2" and "vlan 200" in wire.header_stack, wire
        assert "vlan 200" not in trace.hops[-1].header_stack
    beyond = office.trace(BEYOND, None)
    assert beyond.verdict in ("delivered", "flooded") and beyond.hops[-1].object in ("br-ex", "under0"), beyond


def test_geneve_carries_a_network_and_its_probes_and_goes_with_it(office: Office, guests: tuple[str, ...]) -> None:
    """[vm-1]--[br-int@hv1]==Geneve, vni 4097==[br-int@hv2]--[vm-2]; the probe's mark is the VNI's top bit there too"""
    office.set("geneve", None)
    assert wait_for(lambda: office.ping(guests[0], "10.60.0.22", 1400), 15, "vm-1 reaches vm-2")
    before = office.tunnelled("geneve0"), office.tunnelled("vxlan0")
    assert office.ping(guests[0], "10.60.0.22", 1400)
    wait_for(lambda: office.tunnelled("geneve0") > before[0], 5, "the tunnel counts it")
    assert office.tunnelled("vxlan0") == before[1]
    trace = office.trace()
    assert trace.verdict == "delivered", trace
    tunnel = [hop for hop in trace.hops if hop.kind in ("tunnel_encap", "tunnel_decap")]
    assert [hop.object for hop in tunnel] == ["geneve0", "geneve0"] and "geneve 4097" in tunnel[0].header_stack
    geneve = int(vsctl(office.hosts[0], "get", "Interface", "geneve0", "ofport"))
    assert office.probe() == [("hv1", OUTPUT, geneve), ("hv2", OUTPUT, office.ofport(PORTS[1]))]
    office.set()
    wait_for(lambda: "geneve0" not in vsctl(office.hosts[0], "list-ports", "br-int"), 15, "the Geneve port goes")
