"""A bundle whose guests have NICs past Open vSwitch: a packet from or to one ends there, in words.

[db-vf]--VF 0000:3b:10.2--      [db-pool]--libvirt's pool--      [instance-0000000a]--tapweb--[br-int@node-1]
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from sdn.bundle import BundleShadow, read_bundle
from sdn.bundle.nics import bypass_of
from sdn.bundle.parse import parse_network_cards
from sdn.model.bypass import Bypass
from sdn.shadow import Shadow
from tasks.bundles import flow_between, past_endpoints, trace_bundle
from tasks.raw_flows import FlowProblem
from tests.sdn.bundle.neutron import WEB, WEB_MAC, make_node, write_bundle

VF, POOLED, PARENT = "fa:16:3e:0b:00:01", "fa:16:3e:0b:00:02", "fa:16:3e:0b:00:03"
RUNNING = f"""<domstatus><domain><name>db-vf</name><devices>
<interface type='network'><mac address='{VF}'/><source network='sriov-pool'/><actual type='hostdev' managed='yes'>
<source><address type='pci' domain='0x0000' bus='0x3b' slot='0x10' function='0x2'/></source><vlan><tag id='42'/></vlan></actual></interface>
<hostdev mode='subsystem' type='pci'><source><address domain='0x0' bus='0x5e' slot='0x0' function='0x0'/></source></hostdev>
<hostdev mode='subsystem' type='pci'><source><address domain='0x0' bus='0x5f' slot='0x0' function='0x0'/></source></hostdev>
</devices></domain></domstatus>"""
OFF = f"""<domain><name>db-pool</name><devices>
<interface type='network'><mac address='{POOLED}'/><source network='sriov-pool'/></interface>
<interface type='network'><mac address='{PARENT}'/><source network='lan'/></interface></devices></domain>"""
LSPCI = "5e:00.0 Ethernet controller [0200]: Intel [8086:1592]\n5f:00.0 3D controller [0302]: NVIDIA [10de:20b5]\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with Shadow() as node:
        make_node(node)
        folder = write_bundle(node, tmp_path_factory.mktemp("bundle"))
    root = folder / "sosreport-node-1"
    for path, text in {
        "run/libvirt/qemu/db-vf.xml": RUNNING, "etc/libvirt/qemu/db-pool.xml": OFF, "sos_commands/pci/lspci_-nnvv": LSPCI,
        "etc/libvirt/qemu/networks/sriov-pool.xml": "<network><name>sriov-pool</name><forward mode='hostdev'/></network>",
        "etc/libvirt/qemu/networks/lan.xml": "<network><name>lan</name><forward mode='vepa'><interface dev='eth1'/></forward></network>",
    }.items():  # fmt: skip
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return folder


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Iterator[BundleShadow]:
    with BundleShadow(read_bundle(folder)) as shadow:
        yield shadow


def test_libvirts_files_tell_each_nic_and_lspci_which_passed_devices_are_nics(loaded: BundleShadow) -> None:
    found = {(end.name, end.mac): end.chain.bypass for end in past_endpoints(loaded.bundle)}
    assert found == {
        ("db-vf", VF): Bypass("vf", "0000:3b:10.2", vlan="42"), ("db-vf", ""): Bypass("pci", "0000:5e:00.0"),
        ("db-pool", POOLED): Bypass("pool", "sriov-pool"),
        ("db-pool", PARENT): Bypass("macvtap", "a device of libvirt's pool lan", "vepa"),
    }, "and the tap in br-int is none of them"  # fmt: skip


def test_a_packet_from_such_a_nic_ends_at_it(loaded: BundleShadow) -> None:
    trace = trace_bundle(loaded, "br-int", f"tcp,dl_src={VF.upper()},dl_dst={WEB_MAC},nw_dst=10.0.0.11", ())
    assert trace.verdict == "unknown"
    assert trace.reason.startswith("The way ends at db-vf's NIC, SR-IOV virtual function 0000:3b:10.2, VLAN 42: ")
    assert [hop.kind for hop in trace.hops] == ["guest_nic", "backend"]
    assert trace.question is not None and trace.question.source_name == "db-vf"


def test_a_packet_to_it_is_followed_to_where_it_leaves_and_then_told(loaded: BundleShadow) -> None:
    flow = f"in_port={WEB},tcp,dl_src={WEB_MAC},dl_dst={VF},nw_src=10.0.0.11,nw_dst=10.0.0.99,tp_dst=22"
    trace = trace_bundle(loaded, "br-int", flow, ())
    assert any(hop.kind == "bridge" for hop in trace.hops), "by the real switch"
    assert (
        "db-vf's NIC is SR-IOV virtual function 0000:3b:10.2, VLAN 42, which no port of Open vSwitch leads to"
        in trace.reason
    )


def test_they_are_named_like_other_guests(
    folder: Path, loaded: BundleShadow, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"bridge": "br-int", "flags": "", "fields": [], "tcp": 22}
    flow = flow_between(loaded.bundle, {**options, "source": "db-vf", "target": "instance-0000000a"})
    assert "in_port" not in flow and f"dl_src={VF}" in flow
    with pytest.raises(FlowProblem, match=r"macvtap|SR-IOV virtual function out of libvirt's pool sriov-pool"):
        flow_between(loaded.bundle, {**options, "source": "instance-0000000a", "target": "db-pool"})
    with pytest.raises(SystemExit) as ended:
        call_command("trace", "db-vf", "instance-0000000a", "--bundle", str(folder), "--tcp", "22")
    assert ended.value.code == 1 and "VLAN 42" in capsys.readouterr().out


def test_cards_are_read_of_both_of_lspcis_forms() -> None:
    text = "3b:10.2 Ethernet [0200]: a\n0001:5e:00.1 0200: 8086:1592 (rev 02)\n00:1f.0 0601: 8086:a1c1\n\tSubsystem: 0200: x\n"
    assert parse_network_cards(text) == ("0000:3b:10.2", "0001:5e:00.1")


WORDS = st.sampled_from(
    ["", "hostdev", "network", "direct", "vhostuser", "vdpa", "bridge", "user", "ethernet", "novel", "0x", "lan"]
)


@given(
    WORDS, WORDS, st.dictionaries(st.sampled_from(["dev", "mode", "network", "bridge", "path"]), WORDS), st.booleans()
)
def test_any_interface_is_read_without_an_exception(
    kind: str, actual: str, source: dict[str, str], inner: bool
) -> None:
    node = etree.Element("interface", type=kind)
    place = etree.SubElement(node, "actual", type=actual) if inner else node
    etree.SubElement(etree.SubElement(place, "source", source), "address", bus=kind)
    found = bypass_of(node, {"lan": "hostdev"})
    assert found is not None and found.words_from("x") and found.words_to("x")
