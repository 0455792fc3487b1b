"""Two hosts as shadows, with the flows of the tests' world, as a trace sees them.

[web-1]--11--[br-int@hv1]==vni 4097==[br-int@hv2]--31--[db-1]
[web-2]--12--/          \\--21--[dana-1, another network, web-1's address]
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

import pytest

from sdn.compiler import compile_host
from sdn.model.addresses import IfaceId, Mac
from sdn.model.flow import format_flow
from sdn.model.intent import HostView, IntentSnapshot, PortIntent
from sdn.model.packet import Packet
from sdn.model.trace import Trace
from sdn.shadow import Shadow, ShadowBridge, ShadowPort
from sdn.trace import Endpoint, LiveWorld, Question, TraceHost, predict
from tests.sdn.world import DANA, DB_1_MAC, GATEWAY_MAC, HV2, PORTS, SNAPSHOT, TUNNEL, VIEW, WEB_1, WEB_2

DB_1 = 31
OFPORTS = {"web-1": WEB_1, "web-2": WEB_2, "dana-1": DANA, "db-1": DB_1}
VIEW_2 = HostView(HV2, ((IfaceId("iface-db-1"), DB_1),), TUNNEL)
BROADCAST = Mac("ff:ff:ff:ff:ff:ff")


def endpoint(port: PortIntent) -> Endpoint:
    """A port of the world as a trace's end."""
    host = str(port.host) if port.host else ""
    ofport = OFPORTS.get(port.name)
    return Endpoint(port.name, "eth0", port.mac, port.addresses[0], host, f"p{ofport}", ofport, "virtio", "qemu", f"hs-{port.name}", 1450)  # fmt: skip


ENDS = {port.name: endpoint(port) for port in PORTS}


@dataclass
class Hosts:
    """The two switches and how to ask about them."""

    shadows: dict[str, Shadow]
    underlay_mtu: int = 1600

    def world(self, deadline_s: float = 5.0) -> LiveWorld:
        return LiveWorld({name: shadow.rundir for name, shadow in self.shadows.items()}, deadline_s)

    def trace_hosts(self) -> tuple[TraceHost, ...]:
        found = []
        for host in SNAPSHOT.hosts:
            here = {end.ofport: end for end in ENDS.values() if end.host == host.name and end.ofport is not None}
            found.append(TraceHost(str(host.name), str(host.underlay_ip), TUNNEL, here, self.underlay_mtu))
        return tuple(found)

    def trace(self, source: str, target: str, protocol: str = "tcp", *, deadline_s: float = 5.0, **asked: Any) -> Trace:
        """The predicted trace between two of the world, `asked` laid over the packet or the question."""
        world = self.world(deadline_s)
        try:
            return predict(self.question(source, target, protocol, **asked), world, lambda causes: {})
        finally:
            world.close()

    def question(self, source: str, target: str, protocol: str = "tcp", **asked: Any) -> Question:
        here, there = ENDS[source], ENDS.get(target)
        packet: dict[str, Any] = {
            "eth_src": Mac(here.mac), "eth_dst": Mac(there.mac) if there else GATEWAY_MAC, "ip_src": here.address,
            "ip_dst": there.address if there else IPv4Address(target), "port_src": 40000, "port_dst": 22,
        }  # fmt: skip
        if protocol == "icmp":
            packet |= {"port_src": 0, "port_dst": 8}
        of_packet = {name: asked.pop(name) for name in list(asked) if name in Packet.__slots__}
        question: dict[str, Any] = {"generation": 1, "started_at": "2026-01-01T00:00:00Z", **asked}
        return Question("1", here, there, Packet(protocol, **(packet | of_packet)), self.trace_hosts(), **question)  # type: ignore[arg-type]

    def send(self, host: str, ofport: int, flow: str) -> None:
        """A real packet into the port, through the shadow's own datapath."""
        shadow = self.shadows[host]
        argv = ["ovs-appctl", "-t", str(shadow.unixctl), "netdev-dummy/receive", f"p{ofport}", flow]
        subprocess.run(argv, check=True, capture_output=True, timeout=20)


def load_hosts(hosts: Hosts, snapshot: IntentSnapshot) -> None:
    """Give both switches that intent's flows."""
    _load(hosts.shadows["hv1"], VIEW, (TUNNEL, WEB_1, WEB_2, DANA), snapshot)
    _load(hosts.shadows["hv2"], VIEW_2, (TUNNEL, DB_1), snapshot)


def _load(shadow: Shadow, view: HostView, ofports: tuple[int, ...], snapshot: IntentSnapshot = SNAPSHOT) -> None:
    lines = "\n".join(format_flow(flow) for flow in compile_host(snapshot, view))
    shadow.load([ShadowBridge("br-int", tuple(ShadowPort(f"p{number}", number) for number in ofports), lines)])


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    with Shadow() as first, Shadow() as second:
        _load(first, VIEW, (TUNNEL, WEB_1, WEB_2, DANA))
        _load(second, VIEW_2, (TUNNEL, DB_1))
        yield Hosts({"hv1": first, "hv2": second})


__all__ = ["DB_1_MAC", "Hosts", "hosts"]
