"""Our side of the packet-in figures: the channel, and the controller's own answers. Run by bench.packet_ins."""

from __future__ import annotations

import asyncio
import sys

from sdn.controller.controller import Controller
from sdn.transport.codec import packet_out
from sdn.transport.openflow import Channel, PacketIn
from tests.sdn.test_controller import Told
from tests.sdn.worlds import make_world

ACK_EVERY = 1000
PORTS = 200


async def main(port: int, mode: str) -> None:
    """Listen on loopback until killed; `count` acknowledges each thousandth packet-in, `dhcp` answers."""
    controller = Controller(Told())
    await controller.set_intent(make_world(1, 1, [(0, 0)] * PORTS))
    counted = 0

    def count(channel: Channel, packet: PacketIn) -> None:
        nonlocal counted
        counted += 1
        if counted % ACK_EVERY == 0:
            channel.send(packet_out(packet.frame, ("output:1",), 0xFFFFFFFD, channel.next_xid()))

    handler = count if mode == "count" else controller._packet_in
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Channel(lambda _: None, lambda *_: None, handler), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
