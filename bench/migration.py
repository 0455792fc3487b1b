"""Pings lost by a guest that migrates live, ours against `virsh migrate --live` of the same guest between plain switches.

ours [access]--br-int@hv1==vni==[br-int@hv2]--tap--[guest]      raw [hv1's br-hand]--br-hand@hv1==vni 99==[br-hand@hv2]--tap--[guest]

Both are pinged from hv1 while they go from one host to the other and back, one after the other. The raw one has the definition of
ours, the flags of ours but for pausing it there, which only whoever programs flows needs, and switches that learn. Lost is
what was never answered; what is answered late is not.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.vms import ROOT, running_product

ROUNDS, PORT = 4, 18_440  # an even number: there and back
EVERY_S = 0.05
RAW_ADDRESS, RAW_MAC, RAW = "10.99.0.9", "52:54:00:99:00:09", "hand-move"
DEADLINE_S = 120.0


def migration_lost_pings() -> dict[str, object]:
    """Median of the rounds; every round is kept, for one guest's panic would say more than a median."""
    with running_product(PORT) as product:
        argv = [sys.executable, "-m", "bench.migration"]
        told = subprocess.run(argv, env=product.environment, cwd=ROOT, capture_output=True, text=True, timeout=1500)
    if told.returncode:
        raise RuntimeError(told.stderr[-2000:])
    return figure_of([tuple(Answers(**one) for one in pair) for pair in json.loads(told.stdout.splitlines()[-1])])


@dataclass(frozen=True, slots=True)
class Answers:
    """What became of one move's pings: how many were never answered, and how long the one that waited longest took."""

    lost: int
    slowest_s: float


def figure_of(rounds: list[tuple[Answers, ...]]) -> dict[str, object]:
    """The metric from ours and the raw one of every round."""
    ours, raw = ([one.lost for one in column] for column in zip(*rounds, strict=True))
    slowest = [statistics.median(one.slowest_s for one in column) for column in zip(*rounds, strict=True)]
    median, reference = statistics.median(ours), statistics.median(raw)
    return {
        "ours": median,
        "reference": reference,
        "ratio": round(median / max(reference, 1), 2),
        "unit": f"pings of {1 / EVERY_S:.0f} a second",
        "rounds": {"ours": ours, "raw": raw},
        "slowest_answer_s": {"ours": round(slowest[0], 2), "raw": round(slowest[1], 2)},
        "how": f"median of {len(rounds)} live moves each, in turn, hv1 to hv2 and back; tiny image, 128 MiB, TCG, the disk copied; "
        "reference: virsh migrate --live of the same definition between learning switches and a plain VXLAN tunnel. Ours stops a "
        "guest under TCG before its memory is copied (docs/adr/0015), so that it stands longer; what it is asked then is answered late",
    }


@contextmanager
def pinged(netns: str, address: str) -> Iterator[Callable[[], Answers]]:
    """Ping from a namespace; what it gives tells, after the block, what became of the pings."""
    argv = ["ip", "netns", "exec", netns, "ping", "-n", "-i", str(EVERY_S), address]
    ping = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    told: list[str] = []
    try:
        _wait(lambda: _answers(netns, address), f"{address} answers")
        yield lambda: _answers_in(told[0])
        _wait(lambda: _answers(netns, address), f"{address} answers after its move")
    finally:
        ping.send_signal(2)
        told.append(ping.communicate(timeout=30)[0])


def _answers_in(told: str) -> Answers:
    took_ms = {int(number): float(ms) for number, ms in re.findall(r"icmp_seq=(\d+) ttl.* time=([\d.]+) ms", told)}
    return Answers(max(took_ms) - min(took_ms) + 1 - len(took_ms), round(max(took_ms.values()) / 1000, 3))


def _answers(netns: str, address: str) -> bool:
    argv = ["ip", "netns", "exec", netns, "ping", "-n", "-c1", "-W1", address]
    return subprocess.run(argv, capture_output=True).returncode == 0


def _wait(is_so: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + DEADLINE_S
    while not (found := is_so()):
        if time.monotonic() > end:
            raise TimeoutError(f"not so within {DEADLINE_S:.0f} s: {what}")
        time.sleep(0.1)
    return found


class Ours:
    """A VM of the product, moved by its saga."""

    def __init__(self, lab: str) -> None:
        from portal.accounts.models import Team, User
        from portal.compute.models import Flavor, Image
        from portal.compute.requests import VMSpec, create_vm
        from portal.networks.models import FixedAddress, Network

        parts = (
            Image.objects.get(slug="tiny"),
            Flavor.objects.get(name="nano"),
            Network.objects.get(name="payments-net"),
        )
        spec = VMSpec("bench-move", *parts, secrets.token_hex(8), host="hv1")
        self._vm = create_vm(Team.objects.get(slug="payments"), User.objects.get(username="alice"), spec).vm
        self.netns = f"hs-{lab}-access"
        _wait(lambda: self._fresh().ssh_at, "our guest answers SSH")
        self.domain = self._vm.domain
        self.address = str(FixedAddress.objects.filter(port__vm=self._vm).values_list("address", flat=True)[0])

    def _fresh(self) -> Any:
        from portal.compute.models import VM

        return VM.objects.get(pk=self._vm.pk)

    def move(self, to: str) -> None:
        from portal.compute.moves import request_move
        from portal.hosts.models import Host

        operation = request_move(self._fresh(), None, Host.objects.get(name=to))

        def ended() -> bool:
            operation.refresh_from_db()
            return bool(operation.is_ended)

        _wait(ended, "our move ends")
        if operation.state != "done":
            raise RuntimeError(f"our move failed: {operation.error}")


class Raw:
    """The same guest on plain switches, moved by virsh."""

    netns: str
    address = RAW_ADDRESS

    def __init__(self, definition: str) -> None:
        from django.conf import settings

        from lab.images import ensure_tiny
        from lab.paths import lab_paths

        self._hosts = lab_paths(settings.LAB_NAME, 2)
        self.netns = self._hosts[0].netns
        for here, there in (self._hosts, self._hosts[::-1]):
            _plain_switch(here, there.underlay_ip)
        _seat(self.netns)
        _start(self._hosts[0], definition, str(ensure_tiny(Path(settings.IMAGE_CACHE)).disk))
        self._base = str(ensure_tiny(Path(settings.IMAGE_CACHE)).disk)
        _wait(lambda: _answers(self.netns, RAW_ADDRESS), "the raw guest answers")

    def move(self, to: str) -> None:
        from lab.commands import run
        from lab.handmade import virsh

        here, there = self._hosts if to == "hv2" else self._hosts[::-1]
        _files(there, self._base)
        xml = there.disks / f"{RAW}.xml"
        live = virsh(here, "dumpxml", "--migratable", "--security-info", RAW)
        xml.write_text(live.replace(str(here.disks), str(there.disks)))
        run(
            *("virsh", "-q", "-c", here.libvirt_uri, "migrate", "--live", "--persistent", "--undefinesource", "--copy-storage-inc"),
            *("--migrate-disks", "vda", "--xml", str(xml), RAW, there.libvirt_uri),
            *("--migrateuri", f"tcp://{there.underlay_ip}"),
        )  # fmt: skip

    def remove(self) -> None:
        from lab.handmade import remove_guest

        for host in self._hosts:
            remove_guest(host, RAW)


def _plain_switch(host: Any, other: str) -> None:
    from lab.commands import run
    from lab.handmade import plain_bridge

    plain_bridge(host, "br-hand")
    tunnel = ("type=vxlan", f"options:remote_ip={other}", "options:key=99")
    run(
        *("ovs-vsctl", f"--db={host.ovsdb}", "--timeout=10", "--may-exist", "add-port", "br-hand", "hand-vx"),
        *("--", "set", "Interface", "hand-vx", *tunnel),
    )


def _seat(netns: str) -> None:
    """The address that pings, on hv1's plain switch."""
    from lab.commands import run

    run("ip", "-n", netns, "addr", "replace", "10.99.0.1/24", "dev", "br-hand")
    run("ip", "-n", netns, "link", "set", "br-hand", "mtu", "1450", "up")
    run("ip", "netns", "exec", netns, "ethtool", "-K", "br-hand", "tx", "off")


def _files(host: Any, base: str) -> None:
    """Its disk, empty over the image, and its seed, which sets its address."""
    from lab.commands import run
    from lab.handmade import HandmadeGuest, seed_files
    from lab.images.seed import write_seed

    disk = host.disks / f"{RAW}.qcow2"
    disk.unlink(missing_ok=True)
    run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", base, str(disk), "1G")
    guest = HandmadeGuest(RAW, RAW_MAC, "ssh-ed25519 AAAA", f"{RAW_ADDRESS}/24")
    write_seed(host.disks / f"{RAW}.iso", seed_files(guest))


def _start(host: Any, definition: str, base: str) -> None:
    from lab.handmade import virsh

    _files(host, base)
    xml = host.disks / f"{RAW}.xml"
    xml.write_text(raw_definition(definition, str(host.disks)))
    virsh(host, "define", str(xml))
    virsh(host, "start", RAW)


def raw_definition(definition: str, folder: str) -> str:
    """Our domain's definition as another guest's, on the plain switch."""
    from lxml import etree

    root = etree.fromstring(definition)
    for name in ("uuid", "title", "metadata"):
        for node in root.findall(name):
            root.remove(node)
    name = root.find("name")
    assert name is not None
    name.text = RAW
    for source, kind in zip(root.iterfind("devices/disk/source"), ("qcow2", "iso"), strict=True):
        source.set("file", f"{folder}/{RAW}.{kind}")
    for log in root.iterfind("devices//log"):
        log.set("file", f"{folder}/{RAW}.log")
    for nic in root.iterfind("devices/interface"):
        for path, key, value in (("mac", "address", RAW_MAC), ("source", "bridge", "br-hand")):
            node = nic.find(path)
            assert node is not None
            node.set(key, value)
        for parameters in nic.findall("virtualport/parameters"):
            parameters.attrib.pop("interfaceid", None)
    return etree.tostring(root, encoding="unicode")


def _rounds() -> None:
    """In a process with the product's settings: the lost pings of every round, as JSON."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.config.settings")
    django.setup()
    from django.conf import settings

    from lab.handmade import virsh
    from lab.paths import lab_paths
    from portal.operations.dispatch import warm_up

    warm_up()  # as the web process does when it starts
    ours = Ours(settings.LAB_NAME)
    raw = Raw(virsh(lab_paths(settings.LAB_NAME, 2)[0], "dumpxml", "--inactive", ours.domain))
    rounds = []
    for number in range(ROUNDS):
        lost = []
        for guest in (ours, raw):
            with pinged(guest.netns, guest.address) as count:
                guest.move(("hv2", "hv1")[number % 2])
            lost.append(asdict(count()))
        rounds.append(lost)
        print("round", *lost, flush=True)
    raw.remove()
    print(json.dumps(rounds))


if __name__ == "__main__":
    _rounds()
