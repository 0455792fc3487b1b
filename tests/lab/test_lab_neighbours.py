"""A real lldpd in a namespace hears a switch's real frames, and the map, the API and the history tell of it.

[lldpd] uplink0 ====== far0 [a switch that tells of itself]
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client
from django.utils import timezone

from portal.hosts.models import Host
from portal.topology.inventory import Scope, load_inventory
from portal.topology.models import HostSeen, TopologyChange
from portal.topology.neighbours import lldp_from_json
from sdn.transport.lldpd import ABSENT, ANSWERS, UNREAD, LldpSeen, read_lldp
from tasks.host_looks import HostLooks
from tasks.neighbours import LldpReader
from tests.cast import Cast
from tests.sdn.linux import lldp
from tests.waiting import wait_for

pytestmark = [pytest.mark.lab, pytest.mark.django_db(transaction=True)]
PROGRAM = Path(lldp.__file__)


@dataclass(slots=True)
class Street:
    """A namespace with one cable, what runs in it, and the host's folder of Open vSwitch's."""

    netns: str
    rundir: Path
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def socket(self) -> Path:
        return self.rundir.parent / "lldpd.socket"

    def start(self, *argv: str) -> subprocess.Popen[bytes]:
        started = subprocess.Popen(
            ("ip", "netns", "exec", self.netns, *argv), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.running.append(started)
        return started

    def start_lldpd(self) -> subprocess.Popen[bytes]:
        return self.start("lldpd", "-d", "-r", "-u", str(self.socket), "-I", "uplink0", "-O", "/dev/null")

    def end(self, one: subprocess.Popen[bytes]) -> None:
        one.terminate()
        try:
            one.wait(10)
        except subprocess.TimeoutExpired:
            one.kill()
            one.wait(10)


@pytest.fixture
def street() -> Iterator[Street]:
    netns = f"hs-lldp-{os.getpid()}"
    folder = Path(tempfile.mkdtemp(prefix="lldp"))  # a socket's path is at most 107 bytes
    folder.chmod(0o755)
    (folder / "openvswitch").mkdir()
    made = Street(netns, folder / "openvswitch")
    try:
        run("ip", "netns", "add", netns)
        run("ip", "-n", netns, "link", "add", "uplink0", "type", "veth", "peer", "name", "far0")
        for device in ("lo", "uplink0", "far0"):
            run("ip", "-n", netns, "link", "set", device, "up")
        yield made
    finally:
        for one in reversed(made.running):
            made.end(one)
        run("ip", "netns", "del", netns)
        shutil.rmtree(folder)


def run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)


@pytest.fixture
def host(street: Street) -> Host:
    made = Host.objects.create(
        name="hv1", libvirt_uri="test:///default", ovsdb="unix:/x", ovs_rundir=str(street.rundir), controller_target="unix:/y",
        disks_dir="/z", underlay_ip="192.0.2.11",
    )  # fmt: skip
    HostSeen.objects.create(host=made, known_from=timezone.now() - timedelta(minutes=1))
    return made


def look(host: Host) -> LldpSeen:
    """One look of the collector's, and what the row has then."""
    asyncio.run(HostLooks(LldpReader(), 1).look())
    return lldp_from_json(HostSeen.objects.get(host=host).lldp)


def told(host: Host, until: Callable[[LldpSeen], bool], what: str) -> LldpSeen:
    def is_so() -> LldpSeen | None:
        seen = look(host)
        return seen if until(seen) else None

    return wait_for(is_so, 30, what, 0.3) or LldpSeen("")


def test_what_a_real_lldpd_hears_is_on_the_map_and_gone_with_it(cast: Cast, street: Street, host: Host) -> None:
    assert look(host).state == ABSENT
    daemon = street.start_lldpd()
    told(host, lambda seen: seen.state == ANSWERS and not seen.neighbours, "an lldpd without neighbours")
    street.start(sys.executable, str(PROGRAM), "far0", "leaf-1", "Gi1/0/3", "to hv1")
    told(host, lambda seen: bool(seen.neighbours), "a neighbour")

    (neighbour,) = load_inventory(Scope(None)).hosts[0].neighbours
    assert (neighbour.nic, neighbour.protocol, neighbour.system, neighbour.chassis) == (
        "uplink0", "LLDP", "leaf-1", "02:00:00:00:0a:01",
    )  # fmt: skip
    assert (neighbour.port, neighbour.description) == ("Gi1/0/3", "to hv1")
    assert (neighbour.vlan, neighbour.vlans, neighbour.addresses) == (lldp.VLAN, (lldp.VLAN,), (lldp.ADDRESS,))
    client = Client()
    client.force_login(cast.olga)
    assert client.get("/api/v1/hosts/hv1").json()["lldp"]["neighbours"][0]["system"] == "leaf-1"

    street.end(daemon)
    gone = told(host, lambda seen: not seen.neighbours, "an lldpd that is no more")
    assert gone.state in (ABSENT, UNREAD)
    came, went = TopologyChange.objects.order_by("id")
    assert came.object == went.object == "neighbour uplink0/leaf-1/Gi1/0/3"
    assert came.before is None and went.after is None and came.after == went.before
    assert came.after is not None and came.after["vlan"] == lldp.VLAN
    assert came.cause == went.cause == "not by Hopsight: the host’s lldpd tells it"


def test_a_socket_that_nobody_listens_at_is_said_and_not_taken_for_no_neighbour(street: Street) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(street.socket))
    found = read_lldp(street.rundir)
    assert found.state == UNREAD and "lldpd.socket" in found.problem and not found.problem.startswith("20")
