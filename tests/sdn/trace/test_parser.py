"""Reading ofproto/trace's text: real ones whole, and anything without an exception."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from sdn.linux.bridges import BridgeReading
from sdn.model.addresses import Mac
from sdn.model.packet import Packet
from sdn.model.trace import Trace
from sdn.trace import Endpoint, Question, TraceHost, TraceWorld, predict
from sdn.trace.parser import parse_flow, parse_trace
from sdn.trace.question import PortFacts
from sdn.trace.walk import walk_passes

FIXTURES = Path(__file__).parent / "fixtures"
REAL = (FIXTURES / "native-tunnel.txt").read_text()


def test_each_look_up_keeps_its_place_in_the_text() -> None:
    lookups = [lookup for one in parse_trace(REAL) for visit in one.bridges for lookup in visit.lookups]
    assert lookups
    for lookup in lookups:
        line = REAL[lookup.start : lookup.end or None].splitlines()[0]
        assert f"{lookup.table}. " in line
        assert f"priority {lookup.priority}" in line


def test_a_native_tunnel_is_seen_with_its_far_end() -> None:
    passes = parse_trace(REAL)
    assert any("tnl_push" in one.datapath_actions for one in passes)
    assert walk_passes(passes, passes[0].bridges[0].name, None).outputs


@given(st.text(max_size=400))
def test_any_text_is_read_without_an_exception(text: str) -> None:
    walk_passes(parse_trace(text), "br-int", 1)
    parse_flow(text)


@given(st.integers(0, len(REAL)), st.integers(0, 60), st.text(max_size=20))
def test_a_real_trace_cut_anywhere_and_mended_with_anything_is_read(at: int, size: int, text: str) -> None:
    walk_passes(parse_trace(REAL[:at] + text + REAL[at + size :]), "br-int", 1)


class _Arp(TraceWorld):
    """A switch that learns its neighbour's MAC after `misses` questions, as the real one that these texts are of."""

    def __init__(self, misses: int) -> None:
        self.left = misses

    def ofproto_trace(self, host: str, bridge: str, flow: str, ct_next: tuple[str, ...]) -> str:
        self.left -= 1
        return (FIXTURES / "native-neighbour-miss.txt").read_text() if self.left >= 0 else REAL

    def conntrack(self, host: str, zone: int) -> str:
        return ""

    def ports(self, host: str) -> tuple[PortFacts, ...]:
        return (PortFacts("br-int", 1, "vxlan0", "vxlan", "4"),)

    def flows(self, host: str, bridge: str, table: int) -> str:
        return ""

    def linux_bridge(self, host: str, bridge: str) -> BridgeReading:
        return BridgeReading(bridge)

    def wait_for_neighbour(self, host: str, attempt: int) -> bool:
        return attempt < 5


def _first_packet(misses: int) -> Trace:
    here = Endpoint("web-1", "eth0", "52:54:00:4a:1b:11", IPv4Address("10.20.0.11"), "hv1", "vnet0", 7, "virtio", "qemu", "hs-1")  # fmt: skip
    packet = Packet(
        "udp", Mac(here.mac), Mac("52:54:00:4a:1b:12"), IPv4Address("10.20.0.11"), IPv4Address("10.20.0.12")
    )
    host = TraceHost("hv1", "192.0.2.11", None, {7: here})
    return predict(Question("1", here, None, packet, (host,), 1, ""), _Arp(misses), lambda causes: {})


def test_a_tunnels_far_end_that_is_not_known_yet_is_waited_for_and_told() -> None:
    """[web-1]--[br-int@hv1]==who has 192.0.2.12?=="""
    soon = _first_packet(2)
    assert "leaves hv1 for 192.0.2.12" in soon.reason
    assert "had to ask for the other host's MAC by ARP" in soon.findings[0]
    never = _first_packet(99)
    assert never.verdict == "dropped" and "the host does not know the other host's MAC yet" in never.reason
