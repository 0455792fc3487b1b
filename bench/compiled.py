"""A world of 10,000 ports: the whole compiled, one port's change followed, and what the controller process needs for it.

The world: 200 teams' networks of 50 ports, each with its router and the default rules (IPv4 and IPv6 out, in from the same
group, SSH), on 20 hosts, each network on five of them.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from bench.ovn import plug
from bench.wired import controller_process, environment, host_row
from sdn.compiler import HostCompiler, Memo, index_intent
from sdn.model.addresses import HostName, IfaceId, Mac, Vni
from sdn.model.intent import (
    HostIntent,
    HostView,
    IntentSnapshot,
    NetworkIntent,
    PortIntent,
    RouterIntent,
    RouterPortIntent,
    RuleIntent,
    SecurityGroupIntent,
    SubnetIntent,
)
from sdn.reconcile import WireFlow
from sdn.shadow import Shadow, ShadowError
from sdn.transport.codec import encode_flow

ROOT = Path(__file__).resolve().parent.parent
HOSTS, NETWORKS, PORTS, SPREAD, CHANGES = 20, 200, 50, 5, 20
WHOLE_LIMIT_S, ONE_LIMIT_MS, MEMORY_LIMIT_MIB = 10.0, 20.0, 500
REAL_HOSTS, REAL_NETWORKS = 20, 200
SETTLE_S, FILL_DEADLINE_S = 5.0, 600.0


def make_world() -> IntentSnapshot:
    """10,000 ports as the module says."""
    hosts = tuple(HostIntent(n + 1, HostName(f"hv{n + 1}"), IPv4Address("192.0.2.0") + n + 1) for n in range(HOSTS))
    networks, groups, routers, ports = [], [], [], []
    for n in range(1, NETWORKS + 1):
        cidr = IPv4Network(f"10.{n // 250}.{n % 250}.0/24")
        mac = Mac(f"52:54:00:ff:{n >> 8:02x}:{n & 255:02x}")
        subnet = SubnetIntent(n, cidr, cidr[1], ())
        networks.append(
            NetworkIntent(n, f"net-{n}", Vni(0x1000 + n), 1450, mac, (subnet,), f"net-{n}.team-{n}.internal")
        )
        groups.append(_default_group(n))
        routers.append(RouterIntent(n, f"router-{n}", Vni(0x400000 + n), 60000 - n, (RouterPortIntent(n, n),)))
        ports += [_port(n, k, cidr, hosts) for k in range(PORTS)]
    return IntentSnapshot(1, hosts, tuple(networks), tuple(ports), tuple(groups), tuple(routers))


def _default_group(n: int) -> SecurityGroupIntent:
    out = (RuleIntent(10 * n + 1, "egress", 4, "any"), RuleIntent(10 * n + 2, "egress", 6, "any"))
    own = (
        RuleIntent(10 * n + 3, "ingress", 4, "any", group_id=n),
        RuleIntent(10 * n + 4, "ingress", 6, "any", group_id=n),
    )
    return SecurityGroupIntent(n, "default", (*out, *own, RuleIntent(10 * n + 5, "ingress", 4, "tcp", (22, 22))))


def _port(n: int, k: int, cidr: IPv4Network, hosts: tuple[HostIntent, ...]) -> PortIntent:
    row_id = (n - 1) * PORTS + k + 1
    host = hosts[(n * SPREAD + k % SPREAD) % HOSTS].name
    mac = Mac(f"52:54:00:{row_id >> 16:02x}:{row_id >> 8 & 255:02x}:{row_id & 255:02x}")
    return PortIntent(row_id, IfaceId(f"port-{row_id}"), n, host, mac, (cidr[k + 10],), f"vm-{row_id}", (n,))


def make_views(world: IntentSnapshot) -> list[HostView]:
    """Every port plugged where it is bound."""
    plugged: dict[str, list[tuple[IfaceId, int]]] = {}
    for port in world.ports:
        plugged.setdefault(str(port.host), []).append((port.iface_id, 100 + port.id))
    return [HostView(host.name, tuple(sorted(plugged[host.name])), 1) for host in world.hosts]


def compile_10k_ports_s() -> dict[str, dict[str, object]]:
    """The whole world for every host, encoded, in a process of its own; then one port's new address, index and all hosts."""
    argv = [sys.executable, "-m", "bench.compiled", "compile"]
    told = json.loads(subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    world = f"{NETWORKS * PORTS} ports in {NETWORKS} networks on {HOSTS} hosts, {told['flows']} flows encoded, CPU time"
    whole = _limited(told["whole_s"], WHOLE_LIMIT_S, "s", f"{world}; reference: the limit")
    one = _limited(told["one_ms"], ONE_LIMIT_MS, "ms", f"median of {CHANGES} ports' new addresses, each for all hosts, in the same world, CPU time; reference: the limit")  # fmt: skip
    return {"compile_10k_ports_s": whole, "compile_one_of_10k_ports_ms": one}


def _limited(ours: float, limit: float, unit: str, how: str) -> dict[str, object]:
    return {"ours": round(ours, 2), "reference": limit, "ratio": round(ours / limit, 2), "unit": unit, "how": how}


def _compile() -> None:
    from tasks.process import settle_process

    settle_process()
    world = make_world()
    views, memo = make_views(world), Memo[WireFlow]()
    compilers = {view.host: HostCompiler(encode_flow, memo) for view in views}
    began = time.process_time()
    index = index_intent(world)
    for view in views:
        compilers[view.host].update(index, view)
    whole_s = time.process_time() - began
    ones = []
    for number in range(CHANGES):
        at = number * 499
        moved = replace(world.ports[at], addresses=(world.ports[at].addresses[0] + 100,))  # type: ignore[operator]
        world = replace(world, ports=(*world.ports[:at], moved, *world.ports[at + 1 :]))
        began = time.process_time()
        index = index_intent(world, index)
        touched = sum(len(compilers[view.host].update(index, view)) for view in views)
        ones.append((time.process_time() - began) * 1000)
        assert touched > SPREAD, "a new address changes flows on every host of the network"
    flows = sum(len(compiler.flows) for compiler in compilers.values())
    print(json.dumps({"whole_s": whole_s, "one_ms": statistics.median(ones), "flows": flows}))


def controller_memory_10k_ports() -> dict[str, object]:
    """Resident memory of `manage.py controller` that keeps 10,000 plugged ports on twenty real switches, once it is in step."""
    with tempfile.TemporaryDirectory(prefix="hs-memory-") as state:
        argv = [sys.executable, "-m", "bench.compiled", "memory"]
        told = subprocess.run(argv, env=environment(state), cwd=ROOT, capture_output=True, text=True)
    if told.returncode:
        raise RuntimeError(told.stderr[-3000:])
    found = json.loads(told.stdout.splitlines()[-1])
    how = f"{found['ports']} plugged ports in {REAL_NETWORKS} networks on {REAL_HOSTS} switches, {found['flows']} flows on them; peak {found['peak_mib']} MiB; reference: the limit"  # fmt: skip
    return _limited(found["rss_mib"], MEMORY_LIMIT_MIB, "MiB", how)


def _memory() -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.config.settings")
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    with ExitStack() as stack:
        shadows = [stack.enter_context(Shadow()) for _ in range(REAL_HOSTS)]
        plugged = _fill(shadows)
        for shadow, ports in zip(shadows, plugged, strict=True):
            shadow.vsctl("add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=dummy", "fail_mode=secure")
            plug(shadow, ports)
        controller = stack.enter_context(controller_process(Path(os.environ["HOPSIGHT_STATE"])))
        flows = _steady(lambda: [_flow_count(shadow) for shadow in shadows])
        status = dict(_status(controller.pid))
        ports = sum(map(len, plugged))
        print(
            json.dumps({"rss_mib": status["VmRSS"], "peak_mib": status["VmHWM"], "flows": sum(flows), "ports": ports})
        )


def _fill(shadows: list[Shadow]) -> list[dict[str, str]]:
    """Rows of the world, on as many hosts as there are switches; each host's interfaces, by name."""
    import uuid

    from portal.accounts.models import Team
    from portal.networks.groups import default_group
    from portal.networks.models import FixedAddress, Network, Port, Subnet

    hosts = [host_row(shadow, f"hv{number}", number) for number, shadow in enumerate(shadows, 1)]
    plugged: list[dict[str, str]] = [{} for _ in hosts]
    for n in range(1, REAL_NETWORKS + 1):
        team = Team.objects.create(name=f"Team {n}", slug=f"team-{n}")
        mac = f"52:54:00:ff:{n >> 8:02x}:{n & 255:02x}"
        network = Network.objects.create(team=team, name=f"net-{n}", vni=0x1000 + n, router_mac=mac)
        cidr = IPv4Network(f"10.{n // 250}.{n % 250}.0/24")
        subnet = Subnet.objects.create(network=network, cidr=str(cidr), gateway=str(cidr[1]), pool_start=str(cidr[10]), pool_end=str(cidr[250]))  # fmt: skip
        group = default_group(team.pk)
        rows = []
        for k in range(PORTS):
            at = (n * SPREAD + k % SPREAD) % len(hosts)
            one = uuid.uuid4()
            tail = n * PORTS + k
            own = f"52:54:00:{tail >> 16:02x}:{tail >> 8 & 255:02x}:{tail & 255:02x}"
            rows.append(Port(uuid=one, network=network, host=hosts[at], name=f"vm-{tail}", mac=own))
            plugged[at][f"i{tail}"] = str(one)
        Port.objects.bulk_create(rows)
        for k, port in enumerate(rows):
            FixedAddress.objects.create(port=port, subnet=subnet, address=str(cidr[10 + k]))
        group.ports.add(*rows)
    return plugged


def _flow_count(shadow: Shadow) -> int:
    try:
        text = shadow.ofctl_words("dump-aggregate", "br-int")
    except ShadowError:
        return -1  # a switch that takes 100,000 flows may be too busy to say how many it has
    return int(text.partition("flow_count=")[2].split()[0])


def _steady(look: Any) -> list[int]:
    """What is looked at, once it is large and has stayed the same for some seconds."""
    deadline, before, since = time.monotonic() + FILL_DEADLINE_S, [], time.monotonic()
    while time.monotonic() < deadline:
        now = look()
        if now != before:
            before, since = now, time.monotonic()
        elif min(now) > 1000 and time.monotonic() - since > SETTLE_S:
            return now
        time.sleep(0.5)
    raise RuntimeError(f"the switches were not in step within {FILL_DEADLINE_S:.0f} s: {before} flows")


def _status(pid: int) -> Iterator[tuple[str, int]]:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("VmRSS", "VmHWM"):
            yield name, int(value.split()[0]) // 1024


if __name__ == "__main__":
    {"compile": _compile, "memory": _memory}[sys.argv[1]]()
