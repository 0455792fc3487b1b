"""What lldpcli prints is read whatever a neighbour says of itself, and what it says is a stranger's word."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sdn.linux.lldp import LONGEST, MOST_NEIGHBOURS, Neighbour, parse_neighbours
from sdn.transport.lldpd import find_lldpd_socket

KEYS = (
    "lldp",
    "interface",
    "name",
    "via",
    "chassis",
    "port",
    "id",
    "value",
    "descr",
    "mgmt-ip",
    "vlan",
    "vlan-id",
    "pvid",
)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=30,
)


def heard(nic: str = "eth0", system: str = "leaf-1", port: str = "Gi1/0/3", **more: Any) -> dict[str, Any]:
    """An interface of lldpcli's json0."""
    chassis = {"id": [{"type": "mac", "value": "02:00:00:00:0a:01"}], "name": [{"value": system}]}
    own = {"id": [{"type": "ifname", "value": port}], "descr": [{"value": "to hv1"}]}
    return {"name": nic, "via": "LLDP", "chassis": [chassis | more.pop("chassis", {})], "port": [own]} | more


def parsed(*interfaces: dict[str, Any]) -> tuple[Neighbour, ...]:
    return parse_neighbours(json.dumps({"lldp": [{"interface": list(interfaces)}]})) or ()


def test_recorded_output_of_lldpd_1_0_16_is_read_whole() -> None:
    recorded = Path(__file__).with_name("lldpd-1.0.16.json").read_text()
    assert parse_neighbours(recorded) == (
        Neighbour(
            "uplink0", "LLDP", "leaf-1", "02:00:00:00:0a:01", "Gi1/0/3", "to hv1", 200, (200,), ("198.51.100.7",)
        ),
    )


def test_no_neighbour_is_none_and_no_output_is_not_known() -> None:
    assert parse_neighbours('{"lldp": [{}]}') == parse_neighbours('{"lldp": {}}') == ()
    assert [parse_neighbours(text) for text in ("", "[]", "{}", "{", "null", "[" * 100_000)] == [None] * 6


@given(JUNK)
def test_no_json_raises_and_all_that_is_read_is_bounded_text(value: Any) -> None:
    for text in (json.dumps(value), json.dumps({"lldp": value}), json.dumps({"lldp": [{"interface": value}]})):
        for one in parse_neighbours(text) or ():
            assert one.nic and (one.system or one.chassis) and 0 <= one.vlan < 4095


@given(st.text(), st.text(), st.text())
def test_a_neighbours_words_are_printable_and_short(system: str, port: str, vlan: str) -> None:
    for one in parsed(heard(system=system * 40, port=port, vlan=[{"vlan-id": vlan, "pvid": True}])):
        for word in (one.nic, one.system, one.port, one.description):
            assert len(word) <= LONGEST and (word.isprintable() or not word)


def test_neighbours_are_ordered_bounded_and_told_once() -> None:
    many = [heard(f"eth{number:04}") for number in range(MOST_NEIGHBOURS + 50)]
    found = parsed(*reversed(many), *many)
    assert [one.nic for one in found] == [f"eth{number:04}" for number in range(MOST_NEIGHBOURS)]


def test_vlans_are_numbers_and_only_the_untagged_one_is_the_ports() -> None:
    told = [{"vlan-id": "10", "pvid": False, "value": "voice"}, {"vlan-id": "20", "pvid": True}, {"vlan-id": "4095"}]
    (one,) = parsed(heard(vlan=told))
    assert (one.vlan, one.vlans) == (20, (10, 20))
    assert parsed(heard(vlan=told[:1]))[0].vlan == 0


def test_addresses_are_addresses_that_lead_somewhere() -> None:
    told = [
        {"value": word} for word in ("198.51.100.7", "fe80::1", "javascript:alert(1)", "2001:db8::7", "198.51.100.7")
    ]
    assert parsed(heard(chassis={"mgmt-ip": told}))[0].addresses == ("198.51.100.7", "2001:db8::7")


def test_a_hosts_lldpd_is_never_looked_for_in_a_folder_that_hosts_may_share(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "lldpd.socket"))
    for folder in ("openvswitch", "hv7"):
        (tmp_path / folder).mkdir()
    assert find_lldpd_socket(tmp_path / "openvswitch") == tmp_path / "lldpd.socket"
    assert find_lldpd_socket(tmp_path / "hv7") is None
    assert find_lldpd_socket(tmp_path) == tmp_path / "lldpd.socket"
    assert find_lldpd_socket(tmp_path / "nowhere" / "openvswitch") is None
