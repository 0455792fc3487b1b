"""The collector on real libvirtds: told by events, not by looking; it finds back, and one hung host is its own trouble.

The collector under test looks at a host that is well once an hour, so that whatever is seen is what libvirt's events told.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import lab as labs
from lab.commands import run
from lab.handmade import virsh
from lab.images import TinyImage
from lab.paths import HypervisorPaths
from lab.processes import marked
from tests.databases import asked, own_database
from tests.waiting import at_this_load, wait_for

pytestmark = pytest.mark.lab
ROOT = Path(__file__).resolve().parent.parent.parent
TOLD_S = 20.0  # for a busy machine: an event is told in milliseconds, a look comes in an hour
SEED = """
import os, sys, uuid, django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from tests.cast import make_cast
from portal.compute.models import VM
from portal.hosts.models import Host
cast = make_cast()
for number, word in enumerate(sys.argv[1:]):
    uri, vm_uuid = word.split("|")
    host = Host.objects.create(name=f"hv{number + 1}", libvirt_uri=uri, ovsdb="", ovs_rundir="", controller_target="",
        disks_dir="/nowhere", underlay_ip=f"192.0.2.{number + 1}", accelerator="tcg")
    VM.objects.create(uuid=vm_uuid, team=cast.payments, name=f"web-{number}", image=cast.image, flavor=cast.flavor,
        host=host, vcpus=1, ram_mib=64, disk_gib=1, request_key=vm_uuid, state="stopped")
"""
COLLECT = """
import asyncio, django
django.setup()
from tasks import collector
from tasks.hypervisor import libvirt_driver
collector.EVERY_S = 3600.0
libvirt_driver.KEEPALIVE_S, libvirt_driver.KEEPALIVE_COUNT, collector.PATIENCE_S = 1, 2, 2.0  # a hung host sooner
asyncio.run(collector.collect())
"""


@dataclass(frozen=True)
class Watched:
    """The rows of a running collector, and the domain of each host."""

    state_folder: Path
    database: dict[str, str]
    hosts: tuple[HypervisorPaths, ...]
    domains: tuple[str, ...]

    def state(self, number: int) -> str:
        return str(self._ask("select state from compute_vm where name = %s", f"web-{number}"))

    def error(self, number: int) -> str:
        return str(self._ask("select libvirt_error from hosts_host where name = %s", f"hv{number + 1}"))

    def is_seen(self, number: int) -> bool:
        return self._ask("select libvirt_seen_at from hosts_host where name = %s", f"hv{number + 1}") is not None

    def _ask(self, question: str, value: str) -> object:
        return asked(question, value, self.database, self.state_folder / "hopsight.sqlite3")


@pytest.fixture(scope="module")
def watched(
    lab: tuple[HypervisorPaths, ...], tiny: TinyImage, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    state = tmp_path_factory.mktemp("collector")
    uuids = [str(uuid.uuid4()) for _ in lab]
    domains = tuple(f"hs-{one}" for one in uuids)
    for host, domain, one in zip(lab, domains, uuids, strict=True):
        xml = state / f"{domain}.xml"
        xml.write_text(
            f"<domain type='qemu'><name>{domain}</name><uuid>{one}</uuid><memory unit='MiB'>64</memory>"
            f"<os><type arch='x86_64' machine='q35'>hvm</type><kernel>{tiny.kernel}</kernel></os></domain>"
        )
        virsh(host, "define", str(xml))
    database = own_database()
    environment = {
        **os.environ,
        **database,
        "DJANGO_SETTINGS_MODULE": "portal.config.settings",
        "HOPSIGHT_STATE": str(state),
        "PYTHONPATH": str(ROOT),
    }
    words = [f"{host.libvirt_uri}|{one}" for host, one in zip(lab, uuids, strict=True)]
    subprocess.run([sys.executable, "-c", SEED, *words], env=environment, cwd=ROOT, check=True)
    with open(state / "log", "w") as log:
        collector = subprocess.Popen([sys.executable, "-c", COLLECT], env=environment, cwd=ROOT, stdout=log, stderr=log)
        found = Watched(state, database, lab, domains)
        try:
            for number in range(len(lab)):
                wait_for(lambda number=number: found.is_seen(number), 30, "the collector sees both hosts")
            yield found
        finally:
            collector.kill()
            collector.wait()
            for host, domain in zip(lab, domains, strict=True):
                subprocess.run(["virsh", "-c", host.libvirt_uri, "destroy", domain], capture_output=True)
                virsh(host, "undefine", domain)


def told_within(watched: Watched, number: int, state: str, deadline_s: float = TOLD_S) -> None:
    wait_for(lambda: watched.state(number) == state, deadline_s, f"the row of host {number} says {state}", 0.02)


def libvirtd_of(host: HypervisorPaths) -> int:
    lab = host.root.parent.name
    return next(one.pid for one in marked(lab, host.name) if one.command == "libvirtd")


def test_what_is_done_behind_our_back_shows_at_once(watched: Watched) -> None:
    virsh(watched.hosts[0], "start", watched.domains[0])
    told_within(watched, 0, "running")
    virsh(watched.hosts[0], "suspend", watched.domains[0])
    told_within(watched, 0, "paused")
    virsh(watched.hosts[0], "resume", watched.domains[0])
    told_within(watched, 0, "running")
    virsh(watched.hosts[0], "destroy", watched.domains[0])
    told_within(watched, 0, "stopped")


def test_a_restarted_libvirtd_is_found_again_and_its_events_come(watched: Watched) -> None:
    host, domain = watched.hosts[0], watched.domains[0]
    virsh(host, "start", domain)
    told_within(watched, 0, "running")
    os.kill(libvirtd_of(host), signal.SIGKILL)
    wait_for(lambda: watched.error(0), 15, "the host's row says that its libvirt is away", 0.02)
    run("virsh", "-c", watched.hosts[1].libvirt_uri, "list")  # the other one is not concerned
    labs.up(host.root.parent.name, 2)
    wait_for(lambda: watched.error(0) == "", 20, "the host's row is well again")
    virsh(host, "destroy", domain)
    told_within(watched, 0, "stopped")


def test_a_hung_libvirtd_slows_no_other_and_its_own_row_says_so(watched: Watched) -> None:
    hung = libvirtd_of(watched.hosts[1])
    os.kill(hung, signal.SIGSTOP)
    try:
        began = time.monotonic()
        while not watched.error(1):
            virsh(watched.hosts[0], "start", watched.domains[0])
            told_within(watched, 0, "running")
            virsh(watched.hosts[0], "destroy", watched.domains[0])
            told_within(watched, 0, "stopped")
            assert time.monotonic() - began < at_this_load(40), "the hung host's row still says that all is well"
        assert "hv2" in watched.error(1)
    finally:
        os.kill(hung, signal.SIGCONT)
    wait_for(lambda: watched.error(1) == "", 20, "the host's row is well again")
    virsh(watched.hosts[1], "start", watched.domains[1])
    told_within(watched, 1, "running")
