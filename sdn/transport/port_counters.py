"""What every port of a host's datapath has counted, from one call: `dpctl/show -s` over the control socket.

One call tells all bridges' ports, whatever the datapath. Tunnel and patch ports are no ports of the datapath: they count in
their bridge, which tells it by OpenFlow's port statistics. A `?` (the datapath does not count that) is read as 0.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_PORT = re.compile(r"^  port \d+: (\S+)")
_PACKETS = re.compile(r"^\s+([RT]X) packets:(\d+|\?) errors:(\d+|\?) dropped:(\d+|\?)")
_BYTES = re.compile(r"RX bytes:(\d+|\?).*TX bytes:(\d+|\?)")
_UNKNOWN = 0xFFFFFFFFFFFFFFFF
KERNEL_TUNNEL = re.compile(r"^(vxlan|genev|gre)_sys")


@dataclass(frozen=True, slots=True)
class PortCounters:
    """As the switch sees it: rx is what came in by the port, so what a guest sent. `lost` is drops and errors."""

    rx_packets: int = 0
    tx_packets: int = 0
    rx_bytes: int = 0
    tx_bytes: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class PortRate:
    """What changed between two readings, per second."""

    rx_pps: float
    tx_pps: float
    rx_bps: int
    tx_bps: int
    lost_ps: float


def parse_port_counters(text: str) -> dict[str, PortCounters]:
    """Port name → counters, for every datapath in the text; lines of another shape are passed over."""
    found: dict[str, list[int]] = {}
    name = ""
    for line in text.splitlines():
        if port := _PORT.match(line):
            name = port[1]
            found[name] = [0, 0, 0, 0, 0]
        elif not name:
            continue
        elif packets := _PACKETS.match(line):
            found[name][0 if packets[1] == "RX" else 1] = _number(packets[2])
            found[name][4] += _number(packets[3]) + _number(packets[4])
        elif octets := _BYTES.search(line):
            found[name][2], found[name][3] = _number(octets[1]), _number(octets[2])
    return {port: PortCounters(*numbers) for port, numbers in found.items()}


_STATS = struct.Struct("!HxxI8x8Q")  # ofp_port_stats of OpenFlow 1.4; properties follow


def decode_port_stats(body: bytes) -> Iterator[tuple[int, PortCounters]]:
    """ofport → counters, of one part of a multipart reply; what is cut off is passed over."""
    at = 0
    while at + _STATS.size <= len(body):
        length, ofport, *counted = _STATS.unpack_from(body, at)
        rx_packets, tx_packets, rx_bytes, tx_bytes, *lost = (0 if one == _UNKNOWN else one for one in counted)
        yield ofport, PortCounters(rx_packets, tx_packets, rx_bytes, tx_bytes, sum(lost))
        at += max(length, _STATS.size)


def rates_between(
    before: Mapping[str, PortCounters], after: Mapping[str, PortCounters], gap_s: float
) -> dict[str, PortRate]:
    """Rates of the ports that are in both readings; a counter that went back (a port made anew) counts as still."""
    rates = {}
    for name, now in after.items():
        then = before.get(name)
        if then is None or gap_s <= 0:
            continue
        rates[name] = PortRate(
            rx_pps=round(max(now.rx_packets - then.rx_packets, 0) / gap_s, 1),
            tx_pps=round(max(now.tx_packets - then.tx_packets, 0) / gap_s, 1),
            rx_bps=round(max(now.rx_bytes - then.rx_bytes, 0) * 8 / gap_s),
            tx_bps=round(max(now.tx_bytes - then.tx_bytes, 0) * 8 / gap_s),
            lost_ps=round(max(now.lost - then.lost, 0) / gap_s, 1),
        )
    return rates


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0
