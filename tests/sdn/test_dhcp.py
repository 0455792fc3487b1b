"""DHCP questions and answers, as bytes."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from sdn.controller import dhcp
from tests.sdn.worlds import make_world

WORLD = make_world(1, 1, [(0, 0)])
PORT, NETWORK = WORLD.ports[0], WORLD.networks[0]


def _question(kind: int, requested: str | None = None, mac: str = PORT.mac) -> bytes:
    hardware = bytes.fromhex(mac.replace(":", ""))
    body = struct.pack("!BBBB4sHH", 1, 1, 6, 0, b"abcd", 0, 0) + b"\0" * 16 + hardware + b"\0" * 10 + b"\0" * 192
    options = bytes([53, 1, kind]) + (bytes([50, 4]) + IPv4Address(requested).packed if requested else b"")
    udp = body + dhcp.MAGIC + options + b"\xff"
    head = b"\xff" * 6 + hardware + b"\x08\x00" + b"\x45" + b"\0" * 19
    return head + struct.pack("!HHHH", 68, 67, 8 + len(udp), 0) + udp


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
