"""Captured frames in words, joined, and as pcapng; nothing that a guest sends breaks the reading."""

from __future__ import annotations

import struct
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sdn.capture import Captured, format_pcapng, join, packet_as_json, packet_from_json, packet_of, summary_of
from sdn.model.packet import Packet
from sdn.probe import TOKEN_BYTES, build_frame
from tests.sdn.test_probing import six, tcp

TOKEN = bytes(range(TOKEN_BYTES))


def frame(packet: Packet, token: bytes = TOKEN) -> bytes:
    return build_frame(packet, token)


def test_a_frame_is_told_in_one_line() -> None:
    syn = summary_of(frame(tcp(0, 1)))
    assert (syn["protocol"], syn["source"]) == ("TCP", str(tcp(0, 1).ip_src))
    assert syn["what"].startswith("40000 → 22 [SYN] seq 1, 44 bytes, TTL 64")
    assert summary_of(frame(replace(tcp(0, 1), protocol="arp")))["what"].startswith("who has ")
    assert summary_of(frame(six("nd")))["what"].startswith("neighbour solicitation")
    tagged = frame(tcp(0, 1))
    assert summary_of(tagged[:12] + b"\x81\x00\x00\x07" + tagged[12:])["what"].startswith("VLAN 7, 40000")


@given(st.binary(max_size=120), st.integers(0, 90))
def test_no_frame_breaks_the_reading(junk: bytes, cut: int) -> None:
    for one in (junk, frame(tcp(0, 1))[:cut] + junk, frame(six("icmp"))[:cut] + junk):
        summary_of(one)
        join([Captured(0, False, 0.0, one)])
        packet_of(one)


def test_a_frame_is_read_back_as_the_packet_that_it_was_made_of() -> None:
    for packet in (tcp(0, 1), replace(tcp(0, 1), protocol="udp"), replace(tcp(0, 1), protocol="icmp", port_src=0, port_dst=8), six("tcp"), six("udp"), replace(six("icmp"), port_src=0)):  # fmt: skip
        made = frame(packet)
        read = packet_of(made)
        assert read == replace(packet, size_bytes=len(made)), packet.protocol
        assert packet_from_json(packet_as_json(read)) == read
    assert packet_of(frame(replace(tcp(0, 1), protocol="arp"))) is None


def translated(packet: bytes) -> bytes:
    """As routing and NAT change it: MACs, TTL, source address and port, and the checksums with them."""
    return b"\x02" * 12 + packet[12:22] + b"\x3f" + packet[23:24] + b"\0\0" + b"\xc6\x33\x64\x0a" + packet[30:34] + b"\x99\x99" + packet[36:50] + b"\0\0" + packet[52:]  # fmt: skip


def test_the_same_packet_is_found_behind_nat_and_another_is_not() -> None:
    one, other = frame(tcp(0, 1)), frame(tcp(0, 1), TOKEN[::-1])
    seen = [Captured(0, False, 1.0, one), Captured(0, False, 1.1, other), Captured(1, True, 1.002, translated(one))]
    (met,) = join(seen)
    assert [number for number, _ in met.sights] == [0, 2]
    assert 1999 < met.sights[1][1] < 2001


def test_a_packet_sent_again_is_another_one() -> None:
    one = frame(tcp(0, 1))
    seen = [Captured(point, bool(point), at + point / 100, one) for at in (1.0, 2.0) for point in (0, 1)]
    assert [[number for number, _ in met.sights] for met in join(seen)] == [[0, 1], [2, 3]]


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.binary(min_size=1, max_size=70)), max_size=6))
def test_a_file_has_an_interface_for_each_hop_and_every_packet_whole(
    given_packets: list[tuple[int, bool, bytes]],
) -> None:
    names = ("web-1 vnet7", "tunnel of hv1", "ünder0")
    packets = [Captured(point, is_out, 1.5 + number, raw) for number, (point, is_out, raw) in enumerate(given_packets)]
    text = format_pcapng(names, packets)
    blocks = []
    at = 0
    while at < len(text):
        kind, length = struct.unpack_from("<II", text, at)
        assert length % 4 == 0 and struct.unpack_from("<I", text, at + length - 4)[0] == length
        blocks.append((kind, text[at + 8 : at + length - 4]))
        at += length
    assert [kind for kind, _ in blocks] == [0x0A0D0D0A, 1, 1, 1, *[6] * len(packets)]
    assert all(name.encode() in body for name, (_, body) in zip(names, blocks[1:4], strict=True))
    for packet, (_, body) in zip(packets, blocks[4:], strict=True):
        point, high, low, kept, whole = struct.unpack_from("<IIIII", body)
        assert (point, kept, whole) == (packet.point, len(packet.frame), len(packet.frame))
        assert body[20 : 20 + kept] == packet.frame and (high << 32 | low) == round(packet.at_s * 1e6)
