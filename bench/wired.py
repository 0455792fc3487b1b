"""From a port's row to its flows, by the real controller process, against OVN adding a port: in turn, on the same machine.

Each side has an unprivileged Open vSwitch (dummy datapath) of its own with the ports' interfaces plugged, as libvirt has
plugged them when a row's host is known. Ours: from the commit of the rows until the switch told of the last flow, by its flow
monitor; afterwards its flows must be exactly those that a compile of the rows gives. OVN: `ovn-nbctl --wait=hv`, which
returns when the chassis has what was asked for.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.ovn import Ovn, check_ovn, plug, running_ovn, unplug
from sdn.shadow import Shadow
from sdn.transport.openflow import open_channel

ROOT = Path(__file__).resolve().parent.parent
ROUNDS, HUNDRED_ROUNDS, BEFORE, HUNDRED = 21, 7, 20, 100
QUIET_S, DEADLINE_S = 0.4, 60.0


def wired() -> dict[str, dict[str, object]]:
    """Medians of one port and of a hundred at once."""
    check_ovn()
    with tempfile.TemporaryDirectory(prefix="hs-wired-") as state:
        told = subprocess.run(
            [sys.executable, "-m", "bench.wired"], env=environment(state), cwd=ROOT, capture_output=True, text=True
        )
    if told.returncode:
        raise RuntimeError(told.stderr[-3000:])
    rounds = json.loads(told.stdout.splitlines()[-1])
    how = "median of {} in turn, beside {} ports, from the rows' commit until the switch has the last flow; reference: OVN {}"
    version = subprocess.run(["ovn-nbctl", "--version"], capture_output=True, text=True).stdout.split()[1]
    words = f"{version} ovn-nbctl --wait=hv lsp-add with addresses and port security"
    return {
        "port_wired_ms": _figure(rounds["one"], how.format(ROUNDS, BEFORE, words)),
        "hundred_ports_wired_ms": _figure(rounds["hundred"], how.format(HUNDRED_ROUNDS, BEFORE, words + ", 100 in one command")),
    }  # fmt: skip


def environment(state: str) -> dict[str, str]:
    """A product's settings with a state folder of its own."""
    redis = f"unix://{state}/redis.sock"
    return {
        **os.environ,
        "HOPSIGHT_STATE": state,
        "HOPSIGHT_REDIS": redis,
        "HOPSIGHT_MODE": "fleet",
        "HOPSIGHT_LOG": "WARNING",
    }


def _figure(pairs: list[tuple[float, float]], how: str) -> dict[str, object]:
    ours, reference = (statistics.median(column) * 1000 for column in zip(*pairs, strict=True))
    ratio = round(ours / reference, 2)
    return {"ours": round(ours, 1), "reference": round(reference, 1), "ratio": ratio, "unit": "ms", "how": how}


class FlowClock:
    """When the bridge's flows last changed, as its flow monitor tells."""

    def __init__(self, socket: Path) -> None:
        self.changed_at, self.updates = 0.0, 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._channel = asyncio.run_coroutine_threadsafe(open_channel(str(socket)), self._loop).result(10)
        asyncio.run_coroutine_threadsafe(self._channel.monitor_flows(self._take), self._loop).result(10)

    def _take(self, _: object) -> None:
        self.changed_at = time.perf_counter()
        self.updates += 1

    def dump(self) -> dict[Any, Any]:
        """Every flow of the bridge by its key."""
        flows = asyncio.run_coroutine_threadsafe(self._channel.dump_flows(), self._loop).result(DEADLINE_S)
        return {flow.key: flow for flow in flows}

    def close(self) -> None:
        """End the channel and its thread."""
        self._loop.call_soon_threadsafe(self._channel.close, "measured")
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


@contextmanager
def controller_process(state: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A private Redis and `manage.py controller` over the rows of this process's settings."""
    quiet = subprocess.DEVNULL
    argv = ["redis-server", "--port", "0", "--unixsocket", str(state / "redis.sock"), "--save", "", "--dir", str(state)]
    redis = subprocess.Popen(argv, stdout=quiet)
    controller = subprocess.Popen([sys.executable, str(ROOT / "manage.py"), "controller"], cwd=ROOT)
    try:
        yield controller
    finally:
        for process in (controller, redis):
            process.terminate()
            process.wait(30)


def host_row(shadow: Shadow, name: str, number: int) -> Any:
    """A host whose switch the shadow is."""
    from portal.hosts.models import Host

    return Host.objects.create(
        name=name, libvirt_uri="test:///default", ovsdb=f"unix:{shadow.rundir}/db.sock", ovs_rundir=str(shadow.rundir),
        controller_target=f"unix:{shadow.rundir}/hopsight.sock", disks_dir="/nowhere", datapath_type="dummy",
        underlay_ip=f"127.0.0.{number}", vcpus=8, ram_mib=8192,
    )  # fmt: skip


class Ours:
    """Ports of the seeded team's network, on one host."""

    def __init__(self, shadow: Shadow, host: Any, clock: FlowClock) -> None:
        from portal.networks.groups import default_group
        from portal.networks.models import Network

        self._shadow, self._host, self._clock = shadow, host, clock
        self._network = Network.objects.get(name="payments-net")
        self._subnet = self._network.subnets.get(cidr="10.20.0.0/24")
        self._group = default_group(self._network.team_id)

    def add(self, count: int) -> tuple[float, list[int]]:
        """The seconds from the commit of as many ports until their last flow, and the ports' ids."""
        from django.db import transaction

        from portal.networks.intent import bump_generation, only_ports
        from portal.networks.models import FixedAddress, Port

        committed: list[float] = []
        ids = [str(uuid.uuid4()) for _ in range(count)]
        plug(self._shadow, {f"i{one[:8]}": one for one in ids})
        time.sleep(QUIET_S)  # the controller has seen the interfaces, as OVN's has
        self._settle()
        with transaction.atomic():
            transaction.on_commit(lambda: committed.append(time.perf_counter()))
            taken = set(FixedAddress.objects.filter(subnet=self._subnet).values_list("address", flat=True))
            free = (address for number in range(20, 250) if (address := f"10.20.0.{number}") not in taken)
            ports = []
            for number, one in enumerate(ids):
                mac = "52:54:" + ":".join(one[at : at + 2] for at in (0, 2, 4, 6))
                port = Port.objects.create(
                    uuid=one, network=self._network, host=self._host, name=f"vm-{number}-{one[:4]}", mac=mac
                )
                FixedAddress.objects.create(port=port, subnet=self._subnet, address=next(free))
                port.groups.add(self._group)
                ports.append(port.id)
            bump_generation(only_ports(ports))
        self._settle(committed[0])
        self._check()
        return self._clock.changed_at - committed[0], ports

    def remove(self, ports: Sequence[int]) -> None:
        """Rows and interfaces gone, and their flows."""
        from django.db import transaction

        from portal.networks.intent import Touched, bump_generation
        from portal.networks.models import FixedAddress, Port

        began = time.perf_counter()
        with transaction.atomic():
            names = [f"i{str(one)[:8]}" for one in Port.objects.filter(id__in=ports).values_list("uuid", flat=True)]
            FixedAddress.objects.filter(port__in=ports).delete()
            Port.objects.filter(id__in=ports).delete()
            bump_generation(Touched(frozenset(ports)))
        self._settle(began)
        unplug(self._shadow, names)
        self._settle()
        self._check()

    def _settle(self, since: float = 0.0) -> None:
        """Until the flows changed after `since`, and then nothing more happened for a while."""
        deadline = time.monotonic() + DEADLINE_S
        while self._clock.changed_at < since or time.perf_counter() - self._clock.changed_at < QUIET_S:
            if time.monotonic() > deadline:
                raise RuntimeError("the controller changed no flow")
            time.sleep(0.02)

    def _check(self) -> None:
        """The switch has exactly what the rows come to."""
        from portal.networks.intent import load_snapshot
        from sdn.compiler import compile_host
        from sdn.model.addresses import HostName
        from sdn.transport.codec import encode_flow
        from sdn.transport.ovsdb import HostDatabase

        database = HostDatabase(HostName(self._host.name), self._host.ovsdb, lambda: None)
        facts = database.observe()
        database.close()
        assert facts is not None
        desired = {flow.key: flow for flow in map(encode_flow, compile_host(load_snapshot(), facts.view))}
        assert self._clock.dump() == desired, "the switch has other flows than the rows say"


def _rounds(state: Path) -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.config.settings")
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    call_command("seed", stdout=sys.stderr)
    with running_ovn() as ovn, Shadow() as shadow:
        host = host_row(shadow, "hv1", 1)
        with controller_process(state):
            socket = shadow.rundir / "br-int.mgmt"
            deadline = time.monotonic() + DEADLINE_S
            while not socket.exists():
                if time.monotonic() > deadline:
                    raise RuntimeError("the controller made no br-int")
                time.sleep(0.05)
            clock = FlowClock(socket)
            try:
                ours = Ours(shadow, host, clock)
                print(json.dumps(_in_turn(ours, ovn)), flush=True)
            finally:
                clock.close()


def _in_turn(ours: Ours, ovn: Ovn) -> dict[str, list[tuple[float, float]]]:
    ours.add(BEFORE)
    _add(ovn, "before", BEFORE)
    found: dict[str, list[tuple[float, float]]] = {"one": [], "hundred": []}
    for key, count, rounds in (("one", 1, ROUNDS), ("hundred", HUNDRED, HUNDRED_ROUNDS)):
        for number in range(rounds + 1):
            mine, ports = ours.add(count)
            ours.remove(ports)
            names, theirs = _add(ovn, f"{key}{number}", count)
            ovn.remove(names)
            unplug(ovn.shadow, names)
            if number:  # the first is to warm both
                found[key].append((mine, theirs))
                print(f"{key} ours {mine * 1000:.1f} ms, OVN {theirs * 1000:.1f} ms", file=sys.stderr, flush=True)
    return found


def _add(ovn: Ovn, prefix: str, count: int) -> tuple[list[str], float]:
    names = [f"{prefix}-{number}" for number in range(count)]
    ovn.plug(names)
    base = 30 if prefix != "before" else 200
    ports = [
        (name, f"52:54:00:aa:{base:02x}:{number:02x}", f"10.20.0.{base + number}") for number, name in enumerate(names)
    ]
    time.sleep(QUIET_S)
    return names, ovn.add(ports)


if __name__ == "__main__":
    _rounds(Path(os.environ["HOPSIGHT_STATE"]))
