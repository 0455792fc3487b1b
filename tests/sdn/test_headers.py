"""Headers in words, of whatever a guest sends."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from os_ken.lib.packet import tcp, udp, vlan

from sdn.transport.headers import read_headers
from tests.sdn.frames import arp_frame, echo, ip_frame

ONE, OTHER = ("52:54:00:00:00:01", "10.20.0.11"), ("52:54:00:00:00:02", "10.20.0.12")


def _words(frame) -> str:  # type: ignore[no-untyped-def]
    frame.serialize()
    return read_headers(bytes(frame.data)).summary


def test_each_protocol_has_its_words() -> None:
    assert (
        _words(ip_frame(ONE, OTHER, tcp.tcp(40000, 22, bits=tcp.TCP_SYN))) == "TCP 10.20.0.11:40000 → 10.20.0.12:22 SYN"
    )
    assert _words(ip_frame(ONE, OTHER, udp.udp(67, 68))) == "UDP 10.20.0.11:67 → 10.20.0.12:68"
    assert _words(ip_frame(ONE, OTHER, echo())) == "ICMP echo request 10.20.0.11 → 10.20.0.12"
    assert _words(arp_frame(1, ONE, OTHER)) == "ARP 10.20.0.11 (52:54:00:00:00:01) asks who has 10.20.0.12"


def test_a_tag_is_a_layer_of_its_own() -> None:
    frame = ip_frame(ONE, OTHER, echo())
    frame.protocols[0].ethertype = 0x8100
    frame.protocols.insert(1, vlan.vlan(pcp=3, vid=42, ethertype=0x0800))
    frame.serialize()
    names = [name for name, _ in read_headers(bytes(frame.data)).layers]
    assert names == ["Ethernet", "VLAN", "IPv4", "ICMP"]


@given(kind=st.sampled_from([0x0800, 0x0806, 0x86DD, 0x8100, 0x1234]), rest=st.binary(max_size=120))
def test_no_frame_is_too_odd_to_read(kind: int, rest: bytes) -> None:
    assert read_headers(b"\x02" * 12 + kind.to_bytes(2) + rest).summary
    assert read_headers(rest).summary
