"""What the controller answers in IPv6: router advertisements, neighbours without room for an answer, DHCPv6; as bytes.

os_ken.lib.packet reads what is read by others; DHCPv6's options, which it leaves alone, are read here.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from os_ken.lib.packet import ethernet, icmpv6, ipv6, packet, udp

from sdn.controller import dhcp6, ra
from sdn.controller.answers import answer
from sdn.model.intent import RouteIntent
from tests.sdn.dual_world import DUAL, DUAL_PORTS, GATEWAY6, ROUTER_LL, WEB_1_IP6, WEB_2_IP6
from tests.sdn.wire import checksum6_is_right, datagram6, ether6, frame_of, ip6, solicitation
from tests.sdn.world import GATEWAY_MAC, OTHERS, WEB_1_MAC, WEB_2_MAC

WEB_1 = DUAL_PORTS[0]
NETWORK = replace(DUAL, domain="payments.pay.internal", mtu=1430)
SLAAC = replace(NETWORK, subnets=tuple(replace(subnet, is_slaac=True) for subnet in NETWORK.subnets))
WEB_1_LL, CLIENT = "fe80::8c1f:73ff:12ab:9d3e", b"\x00\x03\x00\x01\x52\x54\x00\x00\x00\x01"
OURS = dhcp6.server_duid(NETWORK)


def router_question(source: str = WEB_1_LL, hop_limit: int = 255) -> bytes:
    asks = icmpv6.icmpv6(type_=133, data=icmpv6.nd_router_solicit())
    return frame_of(ether6(WEB_1_MAC, "33:33:00:00:00:02"), ip6(source, "ff02::2", hop_limit=hop_limit), asks)


def advertised(frame: bytes | None) -> tuple[ipv6.ipv6, bytes, dict[int, list[bytes]]]:
    """IPv6's header, ICMPv6's, and the options whole (os_ken takes the options of an advertisement one at a time only)."""
    assert frame is not None and checksum6_is_right(frame)
    head, body = ipv6.ipv6.parser(frame[14:])[0], frame[54:]
    assert body[0] == 134 and head.hop_limit == 255
    return head, body[:16], _nd_options(frame)


def prefix_of(options: dict[int, list[bytes]]) -> icmpv6.nd_option_pi:
    return icmpv6.nd_option_pi.parser(options[3][0], 0)


def test_a_router_solicitation_is_answered_with_prefix_mtu_and_flags() -> None:
    frame = answer(router_question(), WEB_1, NETWORK)
    head, router, options = advertised(frame)
    assert frame is not None and ethernet.ethernet.parser(frame)[0].src == GATEWAY_MAC
    assert (head.src, head.dst) == (ROUTER_LL, WEB_1_LL)
    hop_limit, flags, lifetime_s = struct.unpack_from("!BBH", router, 4)
    assert (hop_limit, flags, lifetime_s) == (64, 0xC0, 1800), "addresses and the rest come by DHCPv6"
    prefix = prefix_of(options)
    assert (prefix.prefix, prefix.pl, prefix.res1) == ("fd20::", 64, 4), "on the link, not autonomous"
    assert options[5] == [b"\x05\x01\0\0" + struct.pack("!I", 1430)]
    assert icmpv6.nd_option_sla.parser(options[1][0], 0).hw_src == GATEWAY_MAC
    assert options[25][0][8:] == ip_address(GATEWAY6).packed
    assert b"\x08payments\x03pay\x08internal\x00\x03pay\x08internal\x00" in options[31][0]


def test_a_slaac_subnets_prefix_is_autonomous() -> None:
    _, router, options = advertised(answer(router_question(), WEB_1, SLAAC))
    assert (router[5], prefix_of(options).res1) == (0x40, 6)


def test_a_solicitation_from_nobody_is_answered_to_all_nodes() -> None:
    assert advertised(answer(router_question("::"), WEB_1, NETWORK))[0].dst == "ff02::1"


def test_a_solicitation_that_came_over_a_router_or_with_a_wrong_sum_is_not_answered() -> None:
    assert answer(router_question(hop_limit=64), WEB_1, NETWORK) is None
    frame = bytearray(router_question())
    frame[-1] ^= 1
    assert answer(bytes(frame), WEB_1, NETWORK) is None


def test_a_network_without_ipv6_advertises_nothing() -> None:
    assert answer(router_question(), WEB_1, OTHERS) is None
    assert ra.advertisement(WEB_1, OTHERS) is None


def test_routes_are_told() -> None:
    route = RouteIntent(ip_network("fd77::/48"), ip_address("fd20::5"))
    network = replace(NETWORK, subnets=tuple(replace(subnet, routes=(route,)) for subnet in NETWORK.subnets))
    told = ra.advertisement(WEB_1, network)
    assert told is not None
    assert _nd_options(told)[24][0] == b"\x18\x03\x30\x00" + struct.pack("!I", 1800) + ip_address("fd77::").packed


def test_who_checks_for_a_duplicate_of_a_taken_address_is_told() -> None:
    frame = answer(solicitation(WEB_1_MAC, "::", WEB_2_IP6, sll=None), WEB_1, NETWORK, DUAL_PORTS)
    assert frame is not None
    told = packet.Packet(frame)
    assert (told.get_protocol(ipv6.ipv6).dst, told.get_protocol(icmpv6.icmpv6).data.dst) == ("ff02::1", WEB_2_IP6)
    assert told.get_protocol(icmpv6.icmpv6).data.option.hw_src == WEB_2_MAC
    for free in (WEB_1_IP6, "fd20::99"):
        assert answer(solicitation(WEB_1_MAC, "::", free, sll=None), WEB_1, NETWORK, DUAL_PORTS) is None


def _nd_options(frame: bytes) -> dict[int, list[bytes]]:
    body, found = frame[54 + 16 :], {}
    while body:
        found.setdefault(body[0], []).append(body[: body[1] * 8])
        body = body[body[1] * 8 :]
    return found


def option(code: int, value: bytes = b"") -> bytes:
    return struct.pack("!HH", code, len(value)) + value


def association(*addresses: str, code: int = dhcp6.IA_NA, iaid: bytes = b"abcd") -> bytes:
    inner = b"".join(option(5, ip_address(one).packed + struct.pack("!II", 9, 9)) for one in addresses)
    return option(code, iaid + (b"" if code == dhcp6.IA_TA else struct.pack("!II", 0, 0)) + inner)


def ask(kind: int, *options: bytes, client: bytes | None = CLIENT, server: bytes | None = None) -> bytes | None:
    """What the answer's frame is."""
    body = bytes([kind]) + b"xyz" + (option(1, client) if client else b"") + (option(2, server) if server else b"")
    frame = datagram6(WEB_1_MAC, WEB_1_LL, "33:33:00:01:00:02", "ff02::1:2", (546, 547), body + b"".join(options))
    return answer(frame, WEB_1, NETWORK)


def parse(frame: bytes | None) -> tuple[int, dict[int, list[bytes]]]:
    """Type and options by code, after the ends were checked."""
    assert frame is not None and checksum6_is_right(frame)
    told = packet.Packet(frame)
    head, ports = told.get_protocol(ipv6.ipv6), told.get_protocol(udp.udp)
    assert (head.src, head.dst, ports.src_port, ports.dst_port) == (ROUTER_LL, WEB_1_LL, 547, 546)
    body = frame[62:]
    assert body[1:4] == b"xyz"
    return body[0], options_of(body[4:])


def options_of(body: bytes) -> dict[int, list[bytes]]:
    found: dict[int, list[bytes]] = {}
    while body:
        code, size = struct.unpack_from("!HH", body)
        found.setdefault(code, []).append(body[4 : 4 + size])
        body = body[4 + size :]
    return found


def addresses_of(value: bytes) -> dict[str, int]:
    """Address → valid lifetime, of an IA_NA's value."""
    inner = options_of(value[12:]).get(5, [])
    return {str(IPv6Address(one[:16])): struct.unpack_from("!I", one, 20)[0] for one in inner}


def status_of(options: dict[int, list[bytes]]) -> int:
    return int.from_bytes(options[13][0][:2])


def test_a_solicit_is_advertised_the_ports_own_address_with_resolver_and_domains() -> None:
    kind, options = parse(ask(dhcp6.SOLICIT, association()))
    assert kind == dhcp6.ADVERTISE
    assert options[1] == [CLIENT] and options[2] == [OURS] and options[7] == [b"\xff"]
    (given_,) = options[3]
    assert given_[:4] == b"abcd" and struct.unpack_from("!II", given_, 4) == (43200, 69120)
    assert addresses_of(given_) == {WEB_1_IP6: 86400}
    assert options[23] == [ip_address(GATEWAY6).packed]
    assert options[24] == [b"\x08payments\x03pay\x08internal\x00\x03pay\x08internal\x00"]


def test_a_rapid_solicit_is_answered_at_once() -> None:
    kind, options = parse(ask(dhcp6.SOLICIT, association(), option(14)))
    assert kind == dhcp6.REPLY and 14 in options and addresses_of(options[3][0]) == {WEB_1_IP6: 86400}


@pytest.mark.parametrize(("kind", "server"), [(dhcp6.REQUEST, OURS), (dhcp6.RENEW, OURS), (dhcp6.REBIND, None)])
def test_a_request_renew_or_rebind_gets_the_address(kind: int, server: bytes | None) -> None:
    replied, options = parse(ask(kind, association(WEB_1_IP6), server=server))
    assert replied == dhcp6.REPLY and addresses_of(options[3][0]) == {WEB_1_IP6: 86400}


def test_what_is_not_the_ports_own_must_no_longer_be_used() -> None:
    _, options = parse(ask(dhcp6.RENEW, association(WEB_2_IP6), server=OURS))
    assert addresses_of(options[3][0]) == {WEB_1_IP6: 86400, WEB_2_IP6: 0}


def test_a_second_association_a_temporary_one_and_a_prefix_get_nothing() -> None:
    asked = (
        association(),
        association(iaid=b"2222"),
        association(code=4, iaid=b"3333"),
        association(code=25, iaid=b"4444"),
    )
    _, options = parse(ask(dhcp6.SOLICIT, *asked))
    assert [len(addresses_of(one)) for one in options[3]] == [1, 0]
    assert status_of(options_of(options[3][1][12:])) == dhcp6.NO_ADDRESSES
    assert status_of(options_of(options[4][0][4:])) == dhcp6.NO_ADDRESSES
    assert status_of(options_of(options[25][0][12:])) == dhcp6.NO_PREFIXES


@pytest.mark.parametrize(("address", "code"), [(WEB_2_IP6, dhcp6.SUCCESS), ("fd99::1", dhcp6.NOT_ON_LINK)])
def test_a_confirm_says_whether_the_addresses_are_of_this_link(address: str, code: int) -> None:
    kind, options = parse(ask(dhcp6.CONFIRM, association(address)))
    assert (kind, status_of(options)) == (dhcp6.REPLY, code)
    assert ask(dhcp6.CONFIRM, association()) is None


@pytest.mark.parametrize("kind", [dhcp6.RELEASE, dhcp6.DECLINE])
def test_a_release_or_decline_is_acknowledged_and_changes_nothing(kind: int) -> None:
    _, options = parse(ask(kind, association(WEB_1_IP6), server=OURS))
    assert status_of(options) == dhcp6.SUCCESS
    assert addresses_of(parse(ask(dhcp6.SOLICIT, association()))[1][3][0]) == {WEB_1_IP6: 86400}


def test_an_information_request_gets_the_settings_alone() -> None:
    _, options = parse(ask(dhcp6.INFORMATION_REQUEST, client=None))
    assert 23 in options and 3 not in options and options[32] == [struct.pack("!I", 86400)]
    assert ask(dhcp6.INFORMATION_REQUEST, association()) is None


@pytest.mark.parametrize(
    ("kind", "client", "server"),
    [
        (dhcp6.SOLICIT, None, None), (dhcp6.SOLICIT, CLIENT, OURS), (dhcp6.REQUEST, CLIENT, None),
        (dhcp6.REQUEST, CLIENT, CLIENT), (dhcp6.REBIND, CLIENT, OURS), (dhcp6.ADVERTISE, CLIENT, OURS), (12, CLIENT, None),
    ],
)  # fmt: skip
def test_a_message_that_names_the_wrong_server_or_no_client_is_not_answered(
    kind: int, client: bytes | None, server: bytes | None
) -> None:
    assert ask(kind, association(), client=client, server=server) is None


def test_a_port_without_an_ipv6_address_is_told_so() -> None:
    body = bytes([dhcp6.SOLICIT]) + b"xyz" + option(1, CLIENT) + association()
    frame = datagram6(WEB_1_MAC, WEB_1_LL, "33:33:00:01:00:02", "ff02::1:2", (546, 547), body)
    _, options = parse(answer(frame, replace(WEB_1, addresses=WEB_1.addresses[:1]), NETWORK))
    assert status_of(options_of(options[3][0][12:])) == dhcp6.NO_ADDRESSES


@given(st.binary(max_size=300))
def test_junk_gets_no_answer_and_no_exception(junk: bytes) -> None:
    assert answer(junk, WEB_1, NETWORK, DUAL_PORTS) is None


@given(st.integers(0, 255), st.binary(max_size=200))
def test_a_dhcp_message_of_junk_never_raises(kind: int, junk: bytes) -> None:
    ask(kind, junk)
    ask(kind, association(), junk, server=OURS)


@given(st.sampled_from([133, 134, 135, 136]), st.binary(max_size=120))
def test_neighbour_discovery_of_junk_never_raises(kind: int, junk: bytes) -> None:
    frame = frame_of(ether6(WEB_1_MAC, "33:33:00:00:00:02"), ip6(WEB_1_LL, "ff02::2"), bytes([kind, 0, 0, 0]) + junk)
    answer(frame, WEB_1, NETWORK, DUAL_PORTS)
