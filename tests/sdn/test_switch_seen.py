"""What is on a switch is discovered from its own database, and its ports' counters from its datapath."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from ovs.db.idl import Transaction

from sdn.model.addresses import HostName
from sdn.model.switch import InterfaceSeen, switch_from_json, switch_to_json
from sdn.shadow import Shadow
from sdn.transport.openflow import open_channel
from sdn.transport.ovsdb import HostDatabase
from sdn.transport.port_counters import PortCounters, decode_port_stats, parse_port_counters, rates_between
from sdn.transport.unixctl import UnixctlClient
from tests.sdn.switch import Switch
from tests.waiting import wait_for

SHOWN = """\
system@ovs-system:
  lookups: hit:1 missed:2 lost:0
  port 0: ovs-system (internal)
  port 3: vnet0
    RX packets:10 errors:1 dropped:2 overruns:0 frame:0
    TX packets:20 errors:? dropped:4 aborted:0 carrier:0
    collisions:0
    RX bytes:1500 (1.5 KiB)  TX bytes:3000 (2.9 KiB)
"""


@pytest.fixture(scope="module")
def database() -> Iterator[tuple[Switch, HostDatabase]]:
    with Shadow() as shadow:
        switch = Switch(shadow)
        for bridge in ("br-int", "br-foreign"):
            switch.vsctl("add-br", bridge, "--", "set", "Bridge", bridge, "datapath_type=dummy")
        found = HostDatabase(HostName("hv1"), f"unix:{shadow.rundir}/db.sock", lambda: None)
        try:
            yield switch, found
        finally:
            found.close()


def test_bridges_ports_cables_tunnels_and_bonds_are_discovered(database: tuple[Switch, HostDatabase]) -> None:
    switch, found = database
    switch.vsctl(
        "--", "add-port", "br-int", "to-f", "--", "set", "Interface", "to-f", "type=patch", "options:peer=to-i",
        "--", "add-port", "br-foreign", "to-i", "tag=200", "--", "set", "Interface", "to-i", "type=patch", "options:peer=to-f",
        "--", "add-port", "br-int", "vxlan0", "--", "set", "Interface", "vxlan0", "type=vxlan", "options:remote_ip=flow",
        "--", "add-port", "br-int", "vnet0", "--", "set", "Interface", "vnet0", "type=dummy", "external_ids:vm-id=v1",
        "external_ids:iface-id=p1",
        "--", "add-bond", "br-foreign", "bond0", "n1", "n2", "bond_mode=balance-slb", "--", "set", "Interface", "n1", "type=dummy",
        "--", "set", "Interface", "n2", "type=dummy",
    )  # fmt: skip
    seen = wait_for(lambda: _with_ports(found, 3), 5, "the replica has every port")
    bridges = {bridge.name: {port.name: port for port in bridge.ports} for bridge in seen.bridges}
    assert bridges["br-int"]["to-f"].interfaces[0].peer == "to-i"
    assert bridges["br-foreign"]["to-i"].tag == 200
    assert [bridges["br-int"][name].interfaces[0].kind for name in ("to-f", "vxlan0", "vnet0")] == [
        "patch",
        "tunnel",
        "tap",
    ]
    assert bridges["br-int"]["vnet0"].interfaces[0].vm_id == "v1"
    assert [one.name for one in bridges["br-foreign"]["bond0"].interfaces] == ["n1", "n2"]
    assert bridges["br-foreign"]["bond0"].bond_mode == "balance-slb"
    assert switch_from_json(switch_to_json(seen)) == seen
    client = UnixctlClient(switch.shadow.unixctl)
    assert {"vxlan0", "vnet0", "n1"} <= set(parse_port_counters(client.run("dpctl/show", "-s")))
    client.close()


def _with_ports(found: HostDatabase, count: int):  # type: ignore[no-untyped-def]
    seen = found.switch_seen()
    taps = [
        port
        for bridge in (seen.bridges if seen else ())
        for port in bridge.ports
        if port.interfaces and port.interfaces[0].ofport
    ]
    return seen if len(taps) >= count + 2 else None


@pytest.mark.parametrize(
    ("type_", "driver", "vm_id", "kind"),
    [
        ("", "tun", "", "tap"), ("", "", "v1", "tap"), ("", "veth", "", "veth"), ("", "virtio_net", "", "nic"),
        ("geneve", "", "", "tunnel"), ("internal", "", "", "internal"), ("dpdkvhostuserclient", "", "", "vhost-user"),
    ],
)  # fmt: skip
def test_an_interface_is_named_by_what_it_is(type_: str, driver: str, vm_id: str, kind: str) -> None:
    assert InterfaceSeen("x", type_, 1, driver=driver, vm_id=vm_id).kind == kind


def test_counters_become_rates_and_a_port_made_anew_counts_as_still() -> None:
    read = parse_port_counters(SHOWN)
    assert read == {"ovs-system": PortCounters(), "vnet0": PortCounters(10, 20, 1500, 3000, 7)}
    rates = rates_between({"vnet0": PortCounters(5, 20, 1000, 3000, 6)}, read, 0.5)
    assert rates["vnet0"].rx_pps == 10 and rates["vnet0"].rx_bps == 8000 and rates["vnet0"].lost_ps == 2
    assert rates_between(read, {"vnet0": PortCounters()}, 1.0)["vnet0"].rx_pps == 0
    assert parse_port_counters("\x00 junk\n  port x: y\n    RX packets:1 errors:0 dropped:0") == {}


async def test_tunnel_and_patch_ports_count_in_their_bridge(database: tuple[Switch, HostDatabase]) -> None:
    """[packet-out]--[br-int]--patch--[br-foreign]"""
    switch, _ = database
    switch.vsctl(
        "--may-exist", "add-port", "br-int", "c-i", "--", "set", "Interface", "c-i", "type=patch", "options:peer=c-f", "ofport_request=77",
        "--", "--may-exist", "add-port", "br-foreign", "c-f", "--", "set", "Interface", "c-f", "type=patch", "options:peer=c-i",
    )  # fmt: skip
    channel = await open_channel(f"{switch.rundir}/br-int.mgmt")
    try:
        before = (await channel.dump_ports())[77]
        frame = "ffffffffffff525400000001080045000014000000000001f7ac0a0000010a000002"
        switch.ofctl("packet-out", f"in_port=controller,packet={frame},actions=output:77")
        after = (await channel.dump_ports())[77]
        assert (after.tx_packets - before.tx_packets, after.rx_packets) == (1, before.rx_packets)
    finally:
        channel.close("the test ends")


def test_port_statistics_that_are_cut_off_or_unknown_do_no_harm() -> None:
    row = struct.pack("!HxxI8x8Q", 80, 5, 1, 2, 3, 4, 0, 1, 2**64 - 1, 0)
    assert list(decode_port_stats(row + row[:40])) == [(5, PortCounters(1, 2, 3, 4, 1))]
    assert list(decode_port_stats(b"")) == []


def test_rows_that_a_transaction_is_inserting_are_not_there_yet(database: tuple[Switch, HostDatabase]) -> None:
    """Another thread's transaction holds them in the replica, without columns, until it is committed."""
    _, found = database
    before, idl = found.switch_seen(), found._connection.idl
    txn = Transaction(idl)
    try:
        interface, port = txn.insert(idl.tables["Interface"]), txn.insert(idl.tables["Port"])
        interface.name, port.name, port.interfaces = "half", "half", [interface]
        bridge = next(row for row in idl.tables["Bridge"].rows.values() if row.name == "br-int")
        bridge.ports = [*bridge.ports, port]
        with pytest.raises(AttributeError, match="no attribute 'options'"):
            print(interface.options)
        assert found.switch_seen() == before
        assert found.observe() is not None
    finally:
        txn.abort()
    assert found.switch_seen() == before
