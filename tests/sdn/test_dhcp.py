"""DHCP questions and answers, as bytes."""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from sdn.controller import dhcp
from sdn.controller.datagrams import Datagram, format_datagram
from sdn.model.intent import RouteIntent
from tests.sdn.worlds import make_world

WORLD = make_world(1, 1, [(0, 0)])
PORT, NETWORK = WORLD.ports[0], WORLD.networks[0]


def _question(
    kind: int, requested: str | None = None, mac: str = PORT.mac, ciaddr: str = "0.0.0.0", server: str | None = None
) -> bytes:
    hardware = bytes.fromhex(mac.replace(":", ""))
    body = struct.pack("!BBBB4sHH", 1, 1, 6, 0, b"abcd", 0, 0) + IPv4Address(ciaddr).packed + b"\0" * 12
    body += hardware + b"\0" * 10 + b"\0" * 192
    options = bytes([53, 1, kind])
    for code, value in ((50, requested), (54, server)):
        options += bytes([code, 4]) + IPv4Address(value).packed if value else b""
    asked = Datagram(hardware, dhcp.NOBODY, dhcp.EVERYBODY, (68, 67), body + dhcp.MAGIC + options + b"\xff")
    return format_datagram(asked, b"\xff" * 6)


def _options(frame: bytes) -> dict[int, bytes]:
    return dhcp._options(frame[dhcp.ETHERNET_IPV4_UDP + 240 :])


def test_a_discover_is_offered_the_ports_own_address_with_router_mtu_and_name() -> None:
    offer = dhcp.answer(_question(dhcp.DISCOVER), PORT, NETWORK)
    assert offer is not None
    options = _options(offer)
    assert options[53] == bytes([dhcp.OFFER])
    assert offer[dhcp.ETHERNET_IPV4_UDP + 16 :][:4] == IPv4Address("10.20.0.10").packed
    assert options[3] == IPv4Address("10.20.0.1").packed
    assert struct.unpack("!H", options[26]) == (1450,)
    assert options[12] == b"vm-0"


def test_a_request_for_the_address_is_acknowledged_and_for_another_one_refused() -> None:
    kinds = [
        _options(dhcp.answer(_question(3, wanted), PORT, NETWORK) or b"")[53][0]
        for wanted in ("10.20.0.10", "10.20.0.99")
    ]
    assert kinds == [dhcp.ACK, dhcp.NAK]


def test_a_question_with_another_mac_gets_no_answer() -> None:
    assert dhcp.answer(_question(dhcp.DISCOVER, mac="52:54:00:99:99:99"), PORT, NETWORK) is None


@given(st.binary(max_size=600))
def test_junk_gets_no_answer_and_no_exception(junk: bytes) -> None:
    assert dhcp.answer(junk, PORT, NETWORK) is None


@given(st.binary(max_size=80))
def test_junk_options_of_a_real_question_never_raise(junk: bytes) -> None:
    dhcp.answer(_question(dhcp.DISCOVER)[:-1] + junk, PORT, NETWORK)


def _reply(frame: bytes | None) -> tuple[dict[int, bytes], str, str]:
    """Options, the frame's IPv4 target, and yiaddr."""
    assert frame is not None
    body = frame[dhcp.ETHERNET_IPV4_UDP :]
    return _options(frame), str(IPv4Address(frame[30:34])), str(IPv4Address(body[16:20]))


def test_routes_domain_and_times_are_told() -> None:
    route = RouteIntent(IPv4Network("10.30.0.0/22"), IPv4Address("10.20.0.7"))
    subnet = replace(NETWORK.subnets[0], routes=(route,), dns=(IPv4Address("9.9.9.9"),))
    network = replace(NETWORK, subnets=(subnet,), domain="net-0.payments.internal")
    options, _, _ = _reply(dhcp.answer(_question(dhcp.DISCOVER), PORT, network))
    # RFC 3442: the default route is told here too
    assert options[121] == bytes([22, 10, 30, 0, 10, 20, 0, 7, 0, 10, 20, 0, 1])
    assert options[15] == b"net-0.payments.internal"
    assert options[119] == b"\x05net-0\x08payments\x08internal\x00\x08payments\x08internal\x00"
    assert [struct.unpack("!I", options[code])[0] for code in (51, 58, 59)] == [86400, 43200, 75600]
    assert options[6] == IPv4Address("10.20.0.1").packed + IPv4Address("9.9.9.9").packed


def test_a_client_that_was_elsewhere_before_is_refused_when_it_boots() -> None:
    """INIT-REBOOT: it asks for the address that it had, without naming a server (RFC 2131, 4.3.2)."""
    options, target, yours = _reply(dhcp.answer(_question(dhcp.REQUEST, "192.168.7.7"), PORT, NETWORK))
    assert (options[53], target, yours) == (bytes([dhcp.NAK]), "255.255.255.255", "0.0.0.0")
    assert 51 not in options


def test_a_renewal_is_answered_at_the_clients_address() -> None:
    options, target, yours = _reply(dhcp.answer(_question(dhcp.REQUEST, ciaddr="10.20.0.10"), PORT, NETWORK))
    assert (options[53], target, yours) == (bytes([dhcp.ACK]), "10.20.0.10", "10.20.0.10")


def test_an_inform_gets_the_settings_and_no_lease() -> None:
    options, target, yours = _reply(dhcp.answer(_question(dhcp.INFORM, ciaddr="10.20.0.10"), PORT, NETWORK))
    assert (options[53], target, yours) == (bytes([dhcp.ACK]), "10.20.0.10", "0.0.0.0")
    assert 51 not in options and 3 in options


def test_a_client_that_took_another_servers_offer_gets_no_answer() -> None:
    assert dhcp.answer(_question(dhcp.REQUEST, "10.20.0.10", server="10.20.0.66"), PORT, NETWORK) is None
    assert dhcp.answer(_question(dhcp.REQUEST, "10.20.0.10", server="10.20.0.1"), PORT, NETWORK) is not None


def test_a_long_list_of_routes_is_told_in_parts() -> None:
    routes = tuple(RouteIntent(IPv4Network(f"10.{number}.0.0/16"), IPv4Address("10.20.0.7")) for number in range(60))
    network = replace(NETWORK, subnets=(replace(NETWORK.subnets[0], routes=routes),))
    options, _, _ = _reply(dhcp.answer(_question(dhcp.DISCOVER), PORT, network))
    assert len(options[121]) == 60 * 7 + 5
    assert options[26] == struct.pack("!H", NETWORK.mtu)
