"""Real namespaces beside a real Open vSwitch: the map, the API, the history and a trace say what is cabled into which.

[br-int]--p1====eth0 [blue]   [br-int]--dhcp0, moved into [blue]   [br-lan]--v7====eth7 [a process's, without a name]
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client
from django.utils import timezone

from lab.commands import run
from lab.errors import LabError
from portal.hosts.models import Host
from portal.topology.inventory import Scope, load_inventory
from portal.topology.models import HostSeen, TopologyChange
from portal.topology.namespaces import namespaces_from_json
from portal.traces.models import PortTrace
from sdn.bundle.files import find_files
from sdn.bundle.linux import read_linux
from sdn.linux.namespaces import NamespacesSeen
from sdn.model.switch import BridgeSeen, InterfaceSeen, PortSeen, SwitchSeen, switch_to_json
from sdn.model.trace import Trace
from sdn.trace import LiveWorld
from tasks import bundle_writer
from tasks.host_looks import HostLooks
from tasks.namespaces import NamespaceReader
from tasks.port_traces import follow
from tests.cast import Cast
from tests.waiting import wait_for

pytestmark = [pytest.mark.lab, pytest.mark.django_db(transaction=True)]
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
FLOWS = "in_port=LOCAL,ip,nw_dst=10.0.0.5 actions=output:1\nin_port=LOCAL,ip,nw_dst=10.0.0.2 actions=output:2"


@dataclass(slots=True)
class Street:
    """A host's namespace with its Open vSwitch, and the namespaces beside it."""

    name: str
    rundir: Path
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def blue(self) -> str:
        return f"{self.name}b"

    def start(self, netns: str, *argv: str) -> subprocess.Popen[bytes]:
        folders = dict.fromkeys(("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"), str(self.rundir))
        started = subprocess.Popen(
            ("ip", "netns", "exec", netns, *argv), env={**os.environ, **folders}, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.running.append(started)
        return started

    def start_switch(self) -> None:
        database = f"unix:{self.rundir}/db.sock"
        run("ovsdb-tool", "create", str(self.rundir / "conf.db"), SCHEMA)
        self.start(self.name, "ovsdb-server", "--pidfile", f"--remote=p{database}", str(self.rundir / "conf.db"))
        wait_for((self.rundir / "db.sock").exists, 20, "a database", 0.02)
        vsctl = ("ovs-vsctl", "--retry", "--timeout=20", f"--db={database}")
        run(*vsctl, "--no-wait", "init")
        self.start(self.name, "ovs-vswitchd", "--pidfile", database)
        run(
            *vsctl, "add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=netdev", "fail_mode=secure",
            "--", "add-port", "br-int", "p1", "--", "set", "interface", "p1", "ofport_request=1",
            "--", "add-port", "br-int", "dhcp0", "--", "set", "interface", "dhcp0", "type=internal", "ofport_request=2",
        )  # fmt: skip
        (self.rundir / "flows").write_text(FLOWS)
        run("ovs-ofctl", "add-flows", f"unix:{self.rundir}/br-int.mgmt", str(self.rundir / "flows"))

    def inside(self, netns: str, *words: str) -> str:
        return run("ip", "-n", netns, *words)

    def mac(self, device: str) -> str:
        return run("ip", "netns", "exec", self.blue, "cat", f"/sys/class/net/{device}/address").strip()


@pytest.fixture
def street() -> Iterator[Street]:
    made = Street(f"hs-ns{secrets.token_hex(2)}", Path(tempfile.mkdtemp(prefix="hsns")))
    nameless, gone = f"{made.name}x", Path(f"/run/netns/{made.name}y")
    try:
        for netns in (made.name, made.blue, nameless):
            run("ip", "netns", "add", netns)
        made.inside(made.name, "link", "add", "p1", "type", "veth", "peer", "name", "eth0", "netns", made.blue)
        made.inside(made.name, "link", "add", "br-lan", "type", "bridge")
        made.inside(made.name, "link", "add", "v7", "type", "veth", "peer", "name", "eth7", "netns", nameless)
        made.inside(made.name, "link", "set", "v7", "master", "br-lan", "up")
        made.inside(made.blue, "address", "add", "10.0.0.5/24", "dev", "eth0")
        made.inside(made.name, "link", "set", "p1", "up")
        made.inside(made.blue, "link", "set", "eth0", "up")
        made.start_switch()
        made.inside(made.name, "link", "set", "dhcp0", "netns", made.blue)
        made.inside(made.blue, "address", "add", "10.0.0.2/24", "dev", "dhcp0")
        made.inside(made.blue, "link", "set", "dhcp0", "up")
        sleeper = made.start(nameless, "sleep", "600")
        wait_for(lambda: Path(f"/proc/{sleeper.pid}/comm").read_text().strip() == "sleep", 20, "a process inside", 0.02)
        run("ip", "netns", "del", nameless)  # the process keeps it
        gone.touch()  # as a name is that is just being taken away
        yield made
    finally:
        for one in reversed(made.running):
            one.terminate()
            one.wait(20)
        gone.unlink(missing_ok=True)
        for netns in (made.name, made.blue, nameless):
            subprocess.run(("ip", "netns", "del", netns), check=False, capture_output=True)
        shutil.rmtree(made.rundir)


@pytest.fixture
def host(street: Street) -> Host:
    made = Host.objects.create(
        name="hv1", libvirt_uri="test:///default", ovsdb="unix:/x", ovs_rundir=str(street.rundir), controller_target="unix:/y",
        disks_dir="/z", underlay_ip="192.0.2.11",
    )  # fmt: skip
    ports = (
        PortSeen("dhcp0", (InterfaceSeen("dhcp0", "internal", 2),)),
        PortSeen("p1", (InterfaceSeen("p1", "", 1, "up", driver="veth"),)),
    )
    switch = SwitchSeen("3.1.0", (BridgeSeen("br-int", "netdev", "secure", "none", ports),))
    HostSeen.objects.create(host=made, switch=switch_to_json(switch), known_from=timezone.now() - timedelta(minutes=1))
    return made


def look(host: Host) -> NamespacesSeen:
    """One look of the collector's, and what the row has then."""
    asyncio.run(HostLooks(NamespaceReader(), 1).look())
    return namespaces_from_json(HostSeen.objects.get(host=host).namespaces)


def traced(host: Host, mac: str, address: str) -> Trace:
    flow = f"in_port=LOCAL,icmp,dl_src=52:54:00:00:00:01,dl_dst={mac},nw_src=10.0.0.1,nw_dst={address},icmp_type=8"
    return follow(PortTrace.objects.create(host=host, bridge="br-int", flow=flow, ct_next=[]))


def test_what_is_cabled_into_namespaces_is_found_told_and_gone_with_them(
    cast: Cast, street: Street, host: Host
) -> None:
    seen = look(host)
    assert (seen.state, seen.problem) == ("read", "") and not TopologyChange.objects.exists(), (
        "the first look is no change"
    )
    blue, nameless = seen.namespaces
    assert blue.name == street.blue and nameless.process == "sleep" and nameless.name.startswith("pid ")
    assert [(one.name, one.port, one.addresses, one.state) for one in blue.interfaces] == [
        ("dhcp0", "dhcp0", ("10.0.0.2/24",), "UP"), ("eth0", "p1", ("10.0.0.5/24",), "UP"),
    ]  # fmt: skip
    (eth7,) = nameless.interfaces
    assert (eth7.name, eth7.port, eth7.port_bridge) == ("eth7", "v7", "br-lan")

    drawn = {space.name: space.taps for space in load_inventory(Scope(None)).namespaces}
    assert drawn == {street.blue: ("dhcp0", "p1"), nameless.name: ()}
    client = Client()
    client.force_login(cast.olga)
    told = client.get("/api/v1/hosts/hv1").json()["namespaces"]
    assert (told["state"], [one["name"] for one in told["namespaces"]]) == ("read", [street.blue, nameless.name])

    for device, address, port in (("eth0", "10.0.0.5", "p1"), ("dhcp0", "10.0.0.2", "dhcp0")):
        way = traced(host, street.mac(device), address)
        assert way.verdict == "delivered", way.reason
        assert (
            way.reason
            == f"It leaves hv1 by {port} of br-int into namespace {street.blue}, interface {device} {address}/24."
        )
    back = follow(PortTrace.objects.create(host=host, bridge="br-int", flow="in_port=p1,arp", ct_next=[]))
    assert [(hop.kind, hop.object) for hop in back.hops[:2]] == [
        ("guest_nic", f"{street.blue} eth0"),
        ("ovs_port", "p1"),
    ]
    reading = LiveWorld({"hv1": street.rundir}).linux_bridge("hv1", "br-lan")
    assert reading.into == {"v7": f"namespace {nameless.name}, interface eth7 without an address"}

    street.inside(street.blue, "link", "set", "eth0", "down")
    down = traced(host, street.mac("eth0"), "10.0.0.5")
    assert down.verdict == "dropped" and "interface eth0 10.0.0.5/24, is down" in down.reason
    run("ip", "netns", "del", street.blue)
    street.inside(street.name, "link", "delete", "v7")
    assert look(host).namespaces == ()
    changes = {row.object: row for row in TopologyChange.objects.all()}
    assert set(changes) == {
        f"namespace {street.blue}", f"interface {street.blue}/eth0", f"interface {street.blue}/dhcp0",
        f"namespace {nameless.name}", f"interface {nameless.name}/eth7",
    }  # fmt: skip
    went = changes[f"interface {street.blue}/eth0"]
    assert went.after is None and went.before is not None and went.before["addresses"] == ["10.0.0.5/24"]
    assert went.cause == "not by Hopsight: the host’s kernel tells it"


def test_rules_of_the_old_iptables_are_read_in_the_hosts_namespace_and_are_in_its_bundle(
    street: Street, host: Host, tmp_path: Path
) -> None:
    (street.rundir / "rules").write_text("*filter\n:FORWARD DROP [0:0]\n-A FORWARD -p tcp -j ACCEPT\nCOMMIT\n")
    try:
        run("ip", "netns", "exec", street.name, "iptables-legacy-restore", str(street.rundir / "rules"))
    except LabError as problem:
        pytest.skip(f"this kernel has no iptables of old: {problem}")
    reading = LiveWorld({"hv1": street.rundir}).linux_bridge("hv1", "br-lan")
    assert reading.ruleset is not None and not [one for one in reading.problems if "iptables" in one]
    key = ("ip", "filter (iptables-legacy)", "FORWARD")
    assert reading.ruleset.chains[key].policy == "drop"
    assert [rule.text for rule in reading.ruleset.rules[key]] == ["-A FORWARD -p tcp -j ACCEPT"]
    bundle_writer._kernel(host, tmp_path, [])
    kept = read_linux(find_files(tmp_path)).reading("br-lan", "").ruleset
    assert kept is not None and kept.rules[key] == reading.ruleset.rules[key]


def test_a_host_that_cannot_be_read_keeps_what_was_seen_with_the_reason(street: Street, host: Host) -> None:
    before = look(host)
    for one in street.running[:2]:
        one.terminate()
        one.wait(20)
    after = look(host)
    assert after.state == "unread" and "its switch does not answer here" in after.problem
    assert after.namespaces == before.namespaces and not TopologyChange.objects.exists()
