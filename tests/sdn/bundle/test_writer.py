"""A bundle of our own host, written and read back: the shadow answers as the host does, and no secret is in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from portal.hosts.models import Host
from sdn.bundle import BundleShadow, read_bundle
from sdn.shadow import Shadow
from tasks.bundle_writer import clean, clean_domain, write_bundle
from tasks.bundles import trace_bundle
from tests.sdn.bundle.neutron import DB_MAC, WEB, WEB_MAC, make_node

PACKET = f"in_port={WEB},tcp,dl_src={WEB_MAC},dl_dst={DB_MAC},nw_src=10.0.0.11,nw_dst=10.0.0.12,tp_src=40000,tp_dst="


@pytest.fixture(scope="module")
def node() -> Iterator[Shadow]:
    with Shadow() as shadow:
        make_node(shadow)
        shadow.vsctl("set", "interface", "vxlan-c000020c", "options:psk=very-secret")
        yield shadow


def test_what_is_written_is_read_back_and_answers_alike(node: Shadow, tmp_path: Path) -> None:
    host = Host(name="node-1", libvirt_uri="test:///default", ovsdb=f"unix:{node.rundir}/db.sock", ovs_rundir=str(node.rundir))  # fmt: skip
    write_bundle(host, tmp_path)
    text = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert "very-secret" not in text
    with BundleShadow(read_bundle(tmp_path)) as loaded:
        assert loaded.bundle.host == "node-1"
        assert trace_bundle(loaded, "br-int", PACKET + "5432", ()).verdict == "delivered"
        assert trace_bundle(loaded, "br-int", PACKET + "22", ()).verdict == "dropped"


def test_passwords_keys_and_metadata_are_left_out() -> None:
    domain = "<domain><metadata><m owner='carol'/></metadata><devices><graphics type='vnc' passwd='hunter2'/></devices></domain>"  # fmt: skip
    assert "hunter2" not in clean_domain(domain) and "carol" not in clean_domain(domain)
    assert clean('{private_key="/etc/key", remote_ip="192.0.2.1"}') == '{private_key=(left out), remote_ip="192.0.2.1"}'
