"""A foreign node's support bundle, loaded and asked; the answers are those of the node itself.

[instance-0000000a]--tapweb--[br-int@node-1]--tapdb--[port-db], and --patch--[br-tun]==192.0.2.12
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st

from sdn.bundle import BundleError, BundleShadow, parse, read_bundle
from sdn.linux.conntrack import kernel_conntrack
from sdn.model.trace import Trace, from_json
from sdn.shadow import Shadow
from tasks.bundles import flow_between, trace_bundle
from tasks.raw_flows import FlowProblem
from tests.sdn.bundle.neutron import AWAY_MAC, DB_MAC, WEB, WEB_MAC, make_node, write_bundle

ENDS = f"in_port={WEB},tcp,dl_src={WEB_MAC},dl_dst={DB_MAC},nw_src=10.0.0.11,nw_dst=10.0.0.12"
TO_DB = f"{ENDS},tp_src=40000,tp_dst=5432"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with Shadow() as node:
        make_node(node)
        return write_bundle(node, tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Iterator[BundleShadow]:
    with BundleShadow(read_bundle(folder)) as shadow:
        yield shadow


def ask(loaded: BundleShadow, flow: str, *ct_next: str, bridge: str = "br-int") -> Trace:
    return trace_bundle(loaded, bridge, flow, ct_next)


def test_everything_of_the_node_is_loaded(folder: Path, loaded: BundleShadow) -> None:
    bundle = read_bundle(folder)
    assert [bridge.name for bridge in bundle.bridges] == ["br-int", "br-tun"]
    assert [len(bridge.flows) for bridge in bundle.bridges] == [28, 6]
    assert loaded.problems == ["no conntrack dump: each connection counts as not there yet"]


def test_what_the_rules_allow_is_delivered(loaded: BundleShadow) -> None:
    trace = ask(loaded, TO_DB)
    assert trace.verdict == "delivered", trace.reason
    assert trace.hops[0].object == "tapweb" and trace.hops[0].host == "node-1"
    tables = [step.table for hop in trace.hops for step in hop.steps]
    assert tables == [0, 25, 60, 71, 72, 73, 81, 82]


def test_what_no_rule_allows_is_dropped_in_the_rules_table_with_what_almost_matched(loaded: BundleShadow) -> None:
    trace = ask(loaded, f"{ENDS},tp_src=40000,tp_dst=22")
    assert trace.verdict == "dropped"
    assert "table 82" in trace.reason
    assert any(field == "tp_dst" for near in trace.nearest for field, _, _ in near.differs), trace.nearest


def test_a_spoofed_sender_is_dropped_by_anti_spoofing(loaded: BundleShadow) -> None:
    trace = ask(loaded, TO_DB.replace("nw_src=10.0.0.11", "nw_src=10.0.0.99"))
    assert trace.verdict == "dropped" and "table 71" in trace.reason


def test_an_established_reply_passes_only_with_the_state_given(loaded: BundleShadow) -> None:
    reply = f"in_port=6,tcp,dl_src={DB_MAC},dl_dst={WEB_MAC},nw_src=10.0.0.12,nw_dst=10.0.0.11,tp_src=5432,tp_dst=40000"
    assert ask(loaded, reply).verdict == "dropped"
    assert ask(loaded, reply, "trk,est,rpl").verdict != "dropped"


def test_it_is_followed_over_the_patch_ports_to_the_tunnel(loaded: BundleShadow) -> None:
    """br-int's NORMAL floods VLAN 2 to br-tun, where the MAC's own flow sends it into the tunnel."""
    trace = ask(loaded, TO_DB.replace(DB_MAC, AWAY_MAC))
    assert trace.verdict in ("delivered", "flooded"), trace.reason
    told = trace.reason + " ".join(branch.reason + branch.where for branch in trace.branches)
    assert "vxlan-c000020c" in told, trace


@pytest.mark.parametrize(
    ("flow", "words"),
    [
        ("tcp,nw_dst=10.0.0.12", "no in_port"),
        ("in_port=77,tcp", "br-int has the ports"),
        ("in_port=tapnone,tcp", "tapweb"),
        ("in_port=5,no_such_field=7", "does not take the flow"),
    ],
)
def test_a_packet_that_cannot_be_asked_about_is_refused_in_words(loaded: BundleShadow, flow: str, words: str) -> None:
    with pytest.raises(FlowProblem, match=words):
        ask(loaded, flow)


def test_an_in_port_may_be_given_by_name(loaded: BundleShadow) -> None:
    assert ask(loaded, TO_DB.replace(f"in_port={WEB}", "in_port=tapweb")).verdict == "delivered"


def test_the_command_prints_the_schema_and_tells_by_its_exit_status(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    call_command("trace", "--bundle", str(folder), "--bridge", "br-int", "--flow", TO_DB, "--json")
    told = capsys.readouterr()
    trace = from_json(json.loads(told.out))
    assert trace.verdict == "delivered" and trace.question is not None
    assert (trace.question.flow, trace.question.bridge, trace.question.family) == (TO_DB, "br-int", 4)
    assert "no conntrack dump" in told.err
    with pytest.raises(SystemExit) as ended:
        call_command("trace", "--bundle", str(folder), "--flow", TO_DB, "--json", "--expect", "dropped")
    assert ended.value.code == 1
    with pytest.raises(CommandError) as refused:
        call_command("trace", "--bundle", str(folder), "--bridge", "br-none", "--flow", TO_DB)
    assert refused.value.returncode == 2 and "br-int, br-tun" in str(refused.value)
    with pytest.raises(CommandError, match=r"--dns, --at, --return with --bundle: that is asked of live hosts"):
        call_command("trace", "--bundle", str(folder), "--dns", "--at", "2026-11-26 03:10", "--return")


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ({"tcp": 5432, "flags": "fin|ack"}, "tcp,tp_src=49152,tp_dst=5432,tcp_flags=fin|ack"),
        ({"sctp": 7, "fields": ["nw_tos=184"]}, "sctp,tp_src=49152,tp_dst=7,nw_tos=184"), ({"arp": True}, "arp,arp_op=1"), ({}, "icmp,icmp_type=8"),
    ],
)  # fmt: skip
def test_a_packet_between_two_guests_is_written_for_the_asker(loaded: BundleShadow, typed: dict[str, Any], told: str) -> None:  # fmt: skip
    web = next(guest for guest in loaded.bundle.guests if guest.tap == "tapweb")
    bundle = replace(loaded.bundle, guests=(web, replace(web, domain="db", tap="tapdb", mac=DB_MAC, interface_id="")))
    options = {"bridge": "br-int", "source": web.domain, "target": "db", "flags": "", "fields": []} | typed
    flow = flow_between(bundle, options)
    assert set(told.split(",")) <= set(flow.split(",")), flow
    assert ask(loaded, flow).hops[0].object == "tapweb", "and Open vSwitch takes it"


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="sos_commands"):
        read_bundle(tmp_path)


def test_what_open_vswitch_does_not_take_is_listed_and_the_rest_is_loaded(folder: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    flows = next(copy.rglob("ovs-ofctl_-O_OpenFlow13_dump-flows_br-int"))
    newer = " cookie=0x1, duration=1s, table=0, n_packets=0, n_bytes=0, priority=99,tcp,tp_dst=99 actions=action_of_2031(1)\n"
    metered = " cookie=0x1, duration=1s, table=0, n_packets=0, n_bytes=0, priority=98,udp actions=meter:7,drop\n"
    flows.write_text(flows.read_text() + newer + metered)
    with BundleShadow(read_bundle(copy)) as loaded:
        assert any("action_of_2031" in problem for problem in loaded.problems)
        assert any("meter 7" in problem for problem in loaded.problems)
        assert ask(loaded, TO_DB).verdict == "delivered"


@given(st.text())
def test_any_text_is_read_without_an_exception(text: str) -> None:
    parse.clean_flows(text)
    parse.clean_groups(text)
    parse.parse_fdb(text)
    parse.parse_ofports(text)
    parse.parse_show(text)
    parse.parse_tlv_map(text)
    kernel_conntrack(text)
    list(parse.parse_records(text))
