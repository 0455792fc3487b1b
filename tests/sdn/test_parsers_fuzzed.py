"""What switches print is read whatever is in it: real text, mangled, and words of newer versions; nothing raises.

`make fuzz` runs the same for longer, with other examples each time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sdn.bundle import parse as bundled
from sdn.linux.conntrack import kernel_conntrack
from sdn.observe.conntrack import connections_of, translated
from sdn.observe.datapath import parse_dump
from sdn.trace.branches import keep_true_branches
from sdn.trace.conntrack import ct_state
from sdn.trace.live import parse_ports
from sdn.trace.near import differences, nearest, parse_flows
from sdn.trace.parser import parse_flow, parse_trace
from sdn.trace.walk import walk_passes
from sdn.transport.flowprint import parse_flow_line

HERE = Path(__file__).parent
TRACES = tuple(path.read_text() for path in sorted((HERE / "trace" / "fixtures").glob("*.txt")))
DUMPS = tuple(path.read_text() for path in sorted((HERE / "observe" / "dumps").glob("*-flows.txt")))
CONNECTIONS = tuple(path.read_text() for path in sorted((HERE / "observe" / "dumps").glob("*-conntrack.txt")))
FLOWS = (
    " cookie=0x4853020000000002, duration=8.2s, table=0, n_packets=1, n_bytes=54, priority=100,in_port=7 actions=load:0x2->NXM_NX_REG0[],goto_table:10\n"
    " cookie=0x0, duration=1s, table=25, n_packets=0, n_bytes=0, idle_age=5, priority=90,ct_state=+new-est+trk,ip,nw_src=10.0.0.0/9 actions=ct(commit,zone=NXM_NX_REG6[0..15]),goto_table:30\n",
)
SHOWN = (
    "system@ovs-system: hit:1 missed:2\n  br-int:\n    br-int 65534/1: (internal)\n    vxlan0 1/3: (vxlan: csum=true)\n",
    " 1(vnet3): addr:fe:54:00:00:00:01\n LOCAL(br-int): addr:5e:54:00:00:00:01\n",
    " port  VLAN  MAC                Age\n    1     0  52:54:00:00:00:01    3\n",
    'Bridge br-int\n    Port "vnet3"\n        tag: 3\n        Interface "vnet3"\n            type: internal\n',
)
WORDS = (
    "frobnicate(x=1,table=9)", "actions=", "priority=²", "priority=-", "table=٣", "cookie=0x", "n_packets=1e9", "9" * 5000, "((", "))", ")", "{", "\0", "\x1b[31m",
    "recirc(0x1) - resume conntrack", 'bridge("', "bucket 1", "clone(", "clone()", "->", ">>>>", "set_field:->", "set_field:0x1/zz->reg1", "load:5->NXM_NX_REG0[9..]",
    "output:²", "output port is 4²", "dec_ttl", "ct(", "is now", "used:1.2.3s", "used:.s", "packets:²", "in_port(", "actions:", "orig=(", "reply=(", "zone=٣", "timeout=²",
    "tun_dst=::::", "0x1/0x1/0x1", "\u2028", "\r", "    ", "999. ", "1. ,priority 5", "nw_ttl=²", "=",
)  # fmt: skip
PACKET = {"tcp": "", "dl_src": "52:54:00:00:00:01", "nw_src": "10.20.0.11", "nw_dst": "10.20.0.12", "tp_src": "4", "tp_dst": "22", "nw_ttl": "64"}  # fmt: skip


@st.composite
def mangled(draw: st.DrawFn, samples: tuple[str, ...]) -> str:
    """A real text with pieces of it gone, doubled, swapped for other words, or for anything."""
    text = draw(st.sampled_from(samples))
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 80)))
        piece = draw(st.one_of(st.sampled_from(WORDS), st.text(max_size=12), st.just(text[start:end] * 2)))
        text = text[:start] + piece + text[end:]
    return text


@given(mangled(TRACES), st.integers(28, 9000))
def test_no_trace_text_breaks_the_reading_or_the_walk(text: str, size: int) -> None:
    passes = parse_trace(text)
    assert passes
    walk = walk_passes(keep_true_branches(passes, size), "br-int")
    assert len(walk.zones) == len(walk.flows)


@given(mangled(FLOWS))
def test_no_flow_text_breaks_the_reading(text: str) -> None:
    for line in text.splitlines():
        parse_flow_line(line)
    flows = list(parse_flows(text))
    nearest(iter(flows), PACKET, lambda flow: True)
    for flow in flows:
        differences(flow.match, PACKET, 99)


TUNNELLED = "ufid:1, recirc_id(0),in_port(vnet1),tunnel(tun_id={}/{}), packets:1, bytes:1, used:1.0s, actions:3\n"
TOO_LONG = "9" * 5000  # digits: Python prints no such number


@given(mangled(DUMPS))
@example(TUNNELLED.format(f"-0x{TOO_LONG}", f"0x{TOO_LONG}"))
@example(TUNNELLED.format(f" 0x{TOO_LONG}", "-1"))
@example(TUNNELLED.format(f"0X{TOO_LONG}", f"0x{TOO_LONG}"))
@example(f"in_port(1),{'encap(' * 3000}{')' * 3000}, actions:3")
@example(f"in_port(1),{'encap(' * 3000}, actions:3")
def test_no_datapath_dump_breaks_the_reading(text: str) -> None:
    for flow in parse_dump(text):
        flow.takes(PACKET)
        assert flow.used_s is None or flow.used_s >= 0


@given(mangled(CONNECTIONS), st.integers(0, 65535))
def test_no_conntrack_dump_breaks_the_reading(text: str, zone: int) -> None:
    assert ct_state(text, PACKET, zone, any_source_port=True).startswith("trk")
    for one in connections_of(text, PACKET):
        translated(one, PACKET)


READERS: tuple[Callable[[str], object], ...] = (
    parse_ports, parse_flow, bundled.parse_ofports, bundled.parse_fdb, bundled.parse_tlv_map, bundled.parse_map, bundled.parse_show,
    lambda text: list(bundled.parse_records(text)), kernel_conntrack,
)  # fmt: skip


@given(mangled((*SHOWN, *CONNECTIONS, *FLOWS)))
@example("    br-int 6²/1: (internal)")
def test_no_listing_breaks_the_reading(text: str) -> None:
    for read in READERS:
        read(text)


UNKNOWN = st.from_regex(r"[a-z]{3,12}_next\([a-z]{1,6}=[0-9a-f]{1,8}(,[a-z]{1,6})?\)", fullmatch=True)


@given(UNKNOWN, st.sampled_from(TRACES))
def test_an_action_of_a_newer_version_is_kept_as_text_in_a_trace(action: str, text: str) -> None:
    at = text.index("    goto_table") if "    goto_table" in text else text.index("    set_field")
    passes = parse_trace(f"{text[:at]}    {action}\n{text[at:]}")
    assert any(action in lookup.actions for one in passes for bridge in one.bridges for lookup in bridge.lookups)


@given(UNKNOWN)
def test_an_action_of_a_newer_version_is_kept_as_text_in_flows_and_datapath_dumps(action: str) -> None:
    line = FLOWS[0].splitlines()[0].replace("goto_table:10", action)
    printed = parse_flow_line(line)
    assert printed is not None and printed.words.actions.endswith(action)
    (flow,) = parse_flows(line)
    assert flow.actions.endswith(action)
    dumped = next(one for one in DUMPS[0].splitlines() if ", actions:" in one)
    head, _, _ = dumped.partition(", actions:")
    (entry,) = parse_dump(f"{head}, actions:{action},3")
    assert entry.actions == (action, "3") and action in entry.text


@pytest.mark.parametrize("samples", [TRACES, DUMPS, CONNECTIONS])
def test_there_is_real_text_to_begin_with(samples: tuple[str, ...]) -> None:
    assert samples and all(len(text) > 100 for text in samples)
