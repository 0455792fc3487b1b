"""What a watcher's VNC client may say: everything that shows, nothing that acts."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.console.rfb import MAX_MESSAGE_BYTES, MESSAGES, ClientFilter, RfbProblem

HELLO = b"RFB 003.008\n\x01\x00"
SHOWS = {
    "pixel format": struct.pack("!B3x16x", 0),
    "encodings": struct.pack("!BxH3i", 2, 3, 0, 1, -223),
    "update request": struct.pack("!BBHHHH", 3, 1, 0, 0, 640, 480),
    "continuous updates": struct.pack("!BBHHHH", 150, 1, 0, 0, 640, 480),
    "fence": struct.pack("!B3xIB", 248, 1, 3) + b"abc",
}
ACTS = {
    "key": struct.pack("!BB2xI", 4, 1, 0x61),
    "pointer": struct.pack("!BBHH", 5, 1, 10, 10),
    "cut text": struct.pack("!B3xi", 6, 5) + b"hello",
    "extended clipboard": struct.pack("!B3xi", 6, -4) + b"\0\0\0\1",
    "power": struct.pack("!BBBB", 250, 0, 1, 2),
    "size": struct.pack("!BxHHBx", 251, 640, 480, 1) + bytes(16),
    "qemu key": struct.pack("!BBHII", 255, 0, 1, 0x61, 30),
    "audio on": struct.pack("!BBH", 255, 1, 0),
    "audio format": struct.pack("!BBHBBI", 255, 1, 2, 0, 2, 44100),
}


def spoken(*pieces: bytes, may_act: bool) -> bytes:
    client = ClientFilter()
    return b"".join(client.feed(piece, may_act) for piece in pieces)


def test_every_kind_of_message_is_in_one_of_the_two_lists() -> None:
    assert {one[0] for one in (*SHOWS.values(), *ACTS.values())} == set(MESSAGES)


def test_the_shared_flag_is_always_set_so_that_nobody_ends_the_others() -> None:
    assert spoken(HELLO, may_act=False) == b"RFB 003.008\n\x01\x01"


@given(st.lists(st.sampled_from([*SHOWS.values(), *ACTS.values()])), st.data())
def test_a_watcher_says_what_shows_and_a_writer_all_however_it_is_cut(
    messages: list[bytes], data: st.DataObject
) -> None:
    whole = HELLO + b"".join(messages)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    hello = b"RFB 003.008\n\x01\x01"
    assert spoken(*pieces, may_act=True) == hello + b"".join(messages)
    shows = [one for one in messages if one in SHOWS.values()]
    assert spoken(*pieces, may_act=False) == hello + b"".join(shows)


def test_a_pen_given_in_the_middle_counts_from_the_next_message() -> None:
    client = ClientFilter()
    client.feed(HELLO, False)
    key = ACTS["key"]
    assert client.feed(key[:3], True) == b""
    assert client.feed(key[3:] + key, False) == b""
    assert client.feed(key, True) == key


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n\r\n", b"RFB 003.003\n", b"RFB 003.008\n\x02", HELLO + b"\x63", HELLO + b"\x01",
        HELLO + struct.pack("!B3xi", 6, MAX_MESSAGE_BYTES), HELLO + struct.pack("!B3xi", 6, -(2**31)),
    ],
)  # fmt: skip
def test_what_is_no_vnc_is_refused(said: bytes) -> None:
    with pytest.raises(RfbProblem):
        spoken(said, may_act=True)
