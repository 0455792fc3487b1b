"""A switch that only speaks: OpenFlow 1.4 over TCP, packet-ins as fast as they are taken, packet-outs counted.

It drives our channel and os-ken's alike, so that both get the same bytes at the same pace.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

HELLO, ECHO_REQUEST, FEATURES_REQUEST, MULTIPART, BARRIER, PACKET_OUT = 0, 2, 5, 18, 20, 13
DPID = 0x4853
DEADLINE_S = 120.0
SETTLE_S = 1.0  # os-ken drops packet-ins until it has been through its own hand-shake, which nothing tells the end of


def message(type_: int, xid: int, body: bytes) -> bytes:
    """An OpenFlow 1.4 message."""
    return struct.pack("!BBHI", 5, type_, 8 + len(body), xid) + body


def packet_in(in_port: int, registers: dict[int, int], frame: bytes) -> bytes:
    """OFPT_PACKET_IN (7.4.1) of a frame that an apply-actions sent up, with the pipeline's registers."""
    match = struct.pack("!HBBI", 0x8000, 0, 4, in_port)
    match += b"".join(struct.pack("!HBBI", 1, number << 1, 4, value) for number, value in sorted(registers.items()))
    length = 4 + len(match)
    body = struct.pack("!IHBBQHH", 0xFFFFFFFF, len(frame), 1, 30, 0x4853020000000001, 1, length)
    return message(10, 0, body + match + bytes(-length % 8) + b"\0\0" + frame)


@dataclass
class FakeSwitch:
    """Connected to a controller on loopback; `flood` sends and waits for that many packet-outs."""

    port: int

    def __post_init__(self) -> None:
        end = time.monotonic() + 30
        while True:
            try:
                self._socket = socket.create_connection(("127.0.0.1", self.port), timeout=5)
                break
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
        self._socket.settimeout(DEADLINE_S)
        self._send_lock = threading.Lock()
        self._ready, self._outs, self._wanted, self._done = threading.Event(), 0, 0, threading.Event()
        threading.Thread(target=self._read, daemon=True).start()
        self._send(message(HELLO, 0, struct.pack("!HHI", 1, 8, 1 << 5)))
        assert self._ready.wait(30), "the controller asked for no features"
        time.sleep(SETTLE_S)

    def flood(self, packets: Sequence[bytes], packet_outs: int) -> float:
        """Seconds from the first packet-in to the last of so many packet-outs."""
        self._wanted, self._done = self._outs + packet_outs, threading.Event()
        began = time.perf_counter()
        for at in range(0, len(packets), 200):
            self._send(b"".join(packets[at : at + 200]))
        if not self._done.wait(DEADLINE_S):
            raise TimeoutError(f"{self._wanted - self._outs} of {packet_outs} packet-outs did not come")
        return time.perf_counter() - began

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def _send(self, data: bytes) -> None:
        with self._send_lock:
            self._socket.sendall(data)

    def _read(self) -> None:
        buffer = b""
        while True:
            try:
                data = self._socket.recv(1 << 18)
            except OSError:
                return
            if not data:
                return
            buffer += data
            at = 0
            while len(buffer) - at >= 8:
                _, type_, length, xid = struct.unpack_from("!BBHI", buffer, at)
                if len(buffer) - at < length:
                    break
                self._take(type_, xid, buffer[at + 8 : at + length])
                at += length
            buffer = buffer[at:]

    def _take(self, type_: int, xid: int, body: bytes) -> None:
        if type_ == PACKET_OUT:
            self._outs += 1
            if self._outs >= self._wanted:
                self._done.set()
        elif type_ == FEATURES_REQUEST:
            self._send(message(6, xid, struct.pack("!QIBBxxII", DPID, 0, 254, 0, 0x4F, 0)))
            self._ready.set()
        elif type_ == ECHO_REQUEST:
            self._send(message(3, xid, body))
        elif type_ == BARRIER:
            self._send(message(21, xid, b""))
        elif type_ == MULTIPART:
            self._send(message(19, xid, body[:2] + b"\0" * 6))
