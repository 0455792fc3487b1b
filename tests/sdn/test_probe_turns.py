"""A switch that is held up within a turn of its main loop still reports before the probe is judged.

probe --[br-int@hv1]== report in the next turn, and on to [br-int@hv2]-- report at once
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any

from sdn.controller.probing import Probes
from sdn.model.addresses import HostName
from sdn.pipeline import FLAG_PROBE, TABLE_BY_NAME, Register
from sdn.probe import ProbeOrder
from sdn.probe.frames import TOKEN_MARK
from sdn.transport.codec import header
from sdn.transport.openflow import BARRIER_REPLY, BARRIER_REQUEST, PACKET_IN, Channel

PACKET_OUT, TUNNEL, TAP = 13, 1, 4
HV1, HV2 = HostName("hv1"), HostName("hv2")
TOKEN = bytes(range(16))
MESSAGES_A_TURN = 50  # ofproto/connmgr.c of Open vSwitch 3.1, ofconn_run


class HeldUp(asyncio.Transport):
    """An ovs-vswitchd as slow as it may be: what arrives while it is in a turn is taken in that turn, as far as it goes.

    A report that a packet-out brought up is handed out when the next turn begins; so does ofproto_run.
    """

    def __init__(self, out_port: int, on_packet: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.channel: Channel
        self._out_port, self._on_packet = out_port, on_packet
        self._taken = 0
        self._reports: list[bytes] = []

    def write(self, data: Any) -> None:
        at = 0
        while at < len(data):
            _, type_, length, xid = struct.unpack_from("!BBHI", data, at)
            at += length
            self._take(type_, xid)

    def _take(self, type_: int, xid: int) -> None:
        self._taken += 1
        if self._taken > MESSAGES_A_TURN:
            self._taken = 1
            self.hand_out()
        if type_ == PACKET_OUT:
            self.report()
            self._on_packet()
        elif type_ == BARRIER_REQUEST:
            self._say(header(BARRIER_REPLY, 8, xid))

    def report(self) -> None:
        """Its datapath sends the probe up, on its way to the port."""
        registers = {Register.FLAGS: FLAG_PROBE, Register.OUT: self._out_port}
        match = struct.pack("!HBBI", 0x8000, 0, 4, 7)
        match += b"".join(struct.pack("!HBBI", 1, number << 1, 4, value) for number, value in sorted(registers.items()))
        frame = bytes(42) + TOKEN_MARK + TOKEN
        fixed = struct.pack(
            "!IHBBQHH", 0xFFFFFFFF, len(frame), 1, TABLE_BY_NAME["output"].table_id, 0, 1, 4 + len(match)
        )
        body = fixed + match + bytes(-(4 + len(match)) % 8) + b"\0\0" + frame
        self._reports.append(header(PACKET_IN, 8 + len(body), 0) + body)

    def hand_out(self) -> None:
        """A turn begins."""
        for message in self._reports:
            self._say(message)
        self._reports.clear()

    def _say(self, message: bytes) -> None:
        asyncio.get_running_loop().call_soon(self.channel.data_received, message)

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


def _connect(switch: HeldUp, take: Callable[[Channel, Any], Any]) -> Channel:
    channel = Channel(lambda _: None, lambda _channel, _why: None, take)
    switch.channel = channel
    channel.connection_made(switch)
    return channel


async def test_a_switch_that_takes_every_barrier_in_its_turn_is_waited_for() -> None:
    far = HeldUp(TAP)

    def crossed() -> None:
        far.report()
        far.hand_out()

    near = HeldUp(TUNNEL, crossed)
    channels: dict[HostName, tuple[Channel, tuple[int, ...]]] = {}

    async def stand_in(_host: HostName, _iface: Any) -> int:
        raise AssertionError("the source has a port")

    probes = Probes(lambda: channels, stand_in)
    for host, switch in ((HV1, near), (HV2, far)):
        channels[host] = (_connect(switch, probes.take), (TUNNEL,))
    reports = await probes.send(ProbeOrder(TOKEN, HV1, 7, bytes(60)), 3.0)
    assert [report.host for report in reports] == ["hv1", "hv2"]
    assert all(0 < report.error_us <= report.after_us for report in reports)
