"""Packet-ins and DHCP answers a second: ours against an app on os-ken's framework, the same bytes from the same switch."""

from __future__ import annotations

import socket
import statistics
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.fake_switch import FakeSwitch, packet_in

ROOT = Path(__file__).resolve().parent.parent
COUNT, ACK_EVERY, ROUNDS, GUESTS = 20_000, 1000, 3, 200
QUESTIONS = 2_000


def discover(number: int) -> bytes:
    """The DISCOVER of the guest at port `number` of `tests.sdn.worlds.make_world`."""
    mac = bytes.fromhex(f"52540000{number + 16 >> 8:02x}{number + 16 & 255:02x}")
    dhcp = (
        struct.pack("!BBBBIHH", 1, 1, 6, 0, number, 0, 0x8000) + bytes(16) + mac + bytes(10 + 192) + b"\x63\x82\x53\x63"
    )
    dhcp += b"\x35\x01\x01\x37\x04\x01\x03\x06\x1a\xff" + bytes(50)
    udp = struct.pack("!HHHH", 68, 67, 8 + len(dhcp), 0) + dhcp
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, bytes(4), b"\xff" * 4)
    return b"\xff" * 6 + mac + b"\x08\x00" + ip + udp


def packet_ins() -> dict[str, dict[str, object]]:
    """Medians of both figures, measured in turn."""
    plain = [packet_in(1, {0: 1}, discover(0))] * COUNT
    asked = [packet_in(1 + n % GUESTS, {0: 1 + n % GUESTS}, discover(n % GUESTS)) for n in range(QUESTIONS)]
    return {
        "packet_in_per_s": _figure(
            "count", plain, COUNT // ACK_EVERY, f"{COUNT} packet-ins of 350 bytes, each decoded"
        ),
        "dhcp_answers_per_s": _figure("dhcp", asked, QUESTIONS, f"{QUESTIONS} DISCOVERs of {GUESTS} guests"),
    }


def _figure(mode: str, packets: Sequence[bytes], answers: int, what: str) -> dict[str, object]:
    ours, reference = [], []
    for _ in range(ROUNDS):
        ours.append(_rate("bench.packet_in_ours", mode, packets, answers))
        reference.append(_rate("bench.packet_in_osken", mode, packets, answers))
    mine, theirs = statistics.median(ours), statistics.median(reference)
    how = f"median of {ROUNDS}, {what}; reference: an app on os-ken's framework, the same bytes over the same socket"
    return {"ours": round(mine), "reference": round(theirs), "ratio": round(mine / theirs, 2), "unit": "/s", "how": how}


def _rate(module: str, mode: str, packets: Sequence[bytes], answers: int) -> float:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-m", module, str(port), mode], cwd=ROOT)
    try:
        switch = FakeSwitch(port)
        switch.flood(packets[: len(packets) // 10], answers // 10)  # warm
        took_s = switch.flood(packets, answers)
        switch.close()
        return len(packets) / took_s
    finally:
        process.kill()
        process.wait()
