"""What `ip` and `lsns` print of namespaces is read whatever it is, and a cable is known by both its ends.

[host: p1, p2, p3]  p1====eth0 [blue]  p2====eth0 [pid 77]  p3 leads nowhere any more
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sdn.linux.namespaces import (
    MOST_ADDRESSES,
    MOST_INTERFACES,
    Link,
    NamespacesSeen,
    Place,
    cabled_nsids,
    join,
    moved_away,
    parse_addresses,
    parse_inhabited,
    parse_names,
)

HOST = (
    Link("p1", 11, "veth", peer_index=2, peer_nsid=0),
    Link("p2", 12, "veth", master="br-lan", peer_index=2, peer_nsid=1),
    Link("p3", 13, "veth", peer_index=9, peer_nsid=0),
    Link("eth0", 2),
)
BLUE, NAMELESS = Place("blue", "/run/netns/blue", 0, "dnsmasq"), Place("pid 77", "/proc/77/ns/net", 1, "sleep")
IN_BLUE = (
    Link("lo", 1),
    Link("eth0", 2, "veth", "02:00:00:00:00:05", ("10.0.0.5/24",), "UP", peer_index=11, peer_nsid=0),
)
IN_NAMELESS = (Link("eth0", 2, "veth", peer_index=12, peer_nsid=0), Link("dhcp0", 9, "openvswitch"))
REAL = json.dumps(
    [
        {"ifindex": 1, "ifname": "lo", "flags": ["LOOPBACK"], "operstate": "DOWN", "addr_info": []},
        {
            "ifindex": 2, "link_index": 5, "ifname": "zv1", "flags": ["UP", "LOWER_UP"], "mtu": 1500, "operstate": "UP", "address": "7a:86:6a:c0:9c:01",
            "link_netnsid": 0, "linkinfo": {"info_kind": "veth"}, "master": "br0",
            "addr_info": [{"local": "10.9.0.5", "prefixlen": 24}, {"local": "fe80::1", "prefixlen": 64}, {"local": "fd00::5", "prefixlen": 64}],
        },
    ]
)  # fmt: skip
NAMES = '[{"name":"blue","id":0},{"name":"green"},{"name":"../x"},{"name":7},{"name":"..","id":3}]'
LSNS = '{"namespaces":[{"ns":4026532177,"netnsid":"1","pid":77,"command":"/usr/sbin/dnsmasq -k","nsfs":null},{"ns":"42","netnsid":"unassigned","pid":"1"},{"ns":null}]}'  # fmt: skip
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(["ifname", "ifindex", "link_index", "link_netnsid", "addr_info", "local", "prefixlen", "linkinfo", "name", "id", "namespaces", "ns", "pid", "netnsid"]),
        inner,
        max_size=6,
    ),
    max_leaves=10,
)  # fmt: skip


def seen(*inside: tuple[Place, tuple[Link, ...]], moved: tuple[str, ...] = (), **how: Any) -> NamespacesSeen:
    return NamespacesSeen("read", "", join(HOST, inside, moved, **{"with_uncabled": False, **how}))


def test_a_cable_is_known_by_both_its_ends_though_numbers_are_alike_in_two_namespaces() -> None:
    found = seen((BLUE, IN_BLUE), (NAMELESS, IN_NAMELESS))
    blue, nameless = found.behind("p1"), found.behind("p2")
    assert blue is not None and blue.words == "namespace blue, interface eth0 10.0.0.5/24"
    assert nameless is not None and nameless.words == "namespace pid 77, interface eth0 without an address"
    assert nameless.interface.port_bridge == "br-lan" and nameless.namespace.process == "sleep"
    assert found.behind("p3") is None and found.behind("eth0") is None and found.behind("") is None
    assert [one.name for one in found.namespaces[0].interfaces] == ["eth0"], "the loopback says nothing"


def test_a_number_that_was_given_to_another_since_is_no_cable() -> None:
    other = (Link("eth0", 2, "veth", peer_index=99, peer_nsid=0),)
    assert seen((BLUE, other)).namespaces == ()
    assert seen((Place("blue", "/run/netns/blue", None), IN_BLUE)).namespaces == (), "the host counts it not"


def test_one_that_nothing_leads_to_is_told_only_where_it_is_asked_for() -> None:
    alone = (Place("alone", "/run/netns/alone"), (Link("lo", 1), Link("dummy0", 2)))
    assert seen(alone).namespaces == ()
    assert [one.name for one in seen(alone, with_uncabled=True).namespaces] == ["alone"]


def test_an_internal_port_that_was_moved_is_found_by_its_name_and_kind() -> None:
    assert moved_away(["dhcp0", "eth0"], HOST) == {"dhcp0"}
    found = seen((NAMELESS, IN_NAMELESS), moved=("dhcp0",)).behind("dhcp0")
    assert found is not None and found.interface.name == "dhcp0"
    veth = (Link("dhcp0", 9, "veth"),)
    assert seen((NAMELESS, veth), moved=("dhcp0",)).behind("dhcp0") is None, "somebody else's of that name"
    twice = seen((NAMELESS, IN_NAMELESS), (BLUE, (*IN_BLUE, Link("dhcp0", 3, "tun"))), moved=("dhcp0",))
    assert twice.behind("dhcp0") is None, "nobody can tell which of the two it is"


def test_what_is_printed_is_read_and_cut_to_size() -> None:
    _, link = parse_addresses(REAL)
    assert (link.name, link.index, link.peer_index, link.peer_nsid, link.kind, link.master, link.state) == (
        "zv1", 2, 5, 0, "veth", "br0", "UP",
    )  # fmt: skip
    assert link.addresses == ("10.9.0.5/24", "fd00::5/64"), "every interface has a link-local one"
    assert parse_names(NAMES) == (("blue", 0), ("green", None)) and parse_names("") == ()
    one, other = parse_inhabited(LSNS)
    assert (one.inode, one.pid, one.command, one.nsid) == (4026532177, 77, "dnsmasq", 1)
    assert (other.inode, other.pid, other.nsid) == (42, 1, None)
    addresses = [{"local": f"10.0.{at}.1", "prefixlen": 24} for at in range(99)]
    (much,) = parse_addresses(json.dumps([{"ifname": "a\nb\x1b" * 90, "ifindex": 1, "addr_info": addresses}]))
    assert len(much.addresses) == MOST_ADDRESSES and "\n" not in much.name and len(much.name) <= 64
    many = tuple(Link(f"e{at}", at + 50) for at in range(300)) + IN_BLUE
    (space,) = seen((BLUE, many)).namespaces
    assert len(space.interfaces) == MOST_INTERFACES and space.interfaces[0].port == "p1", "cabled ones come first"


@given(st.text(max_size=60) | JUNK.map(json.dumps), st.integers(0, len(REAL)), st.integers(0, 40))
def test_anything_is_read_without_an_exception(junk: str, at: int, size: int) -> None:
    for text in (junk, REAL[:at] + junk + REAL[at + size :]):
        links = parse_addresses(text)
        cabled_nsids(links)
        places = [(Place(name, "/x", nsid), links) for name, nsid in parse_names(text)] + [(BLUE, links)]
        for space in join(links, places, ("zv1",), with_uncabled=True):
            assert space.name and all(one.name for one in space.interfaces)
    parse_inhabited(junk), parse_inhabited(LSNS[:at] + junk + LSNS[at + size :])
