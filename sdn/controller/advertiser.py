"""Router advertisements that nobody asked for (RFC 4861, 6.2.4): to each port when it is wired or its network's IPv6
changed, and every few minutes, so that a guest's router and addresses never run out. Paced, however many ports there are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping

from sdn.compiler.build import hand_over
from sdn.controller import ra
from sdn.controller.host import HostLink
from sdn.model.addresses import IfaceId
from sdn.model.intent import NetworkIntent, PortIntent
from sdn.transport.codec import PORT_CONTROLLER, packet_out

EVERY_S = 300.0  # well within the 1800 s that an advertised router lives
LOOK_EVERY_S = 0.5
MAX_AT_A_LOOK = 200  # 400 a second

Known = tuple[str, str]  # host, iface-id
Served = tuple[int, NetworkIntent]  # ofport and network: a change of either is told at once


class Advertiser:
    """Sends what is due at each look; `links` and `ports` are what the controller knows now."""

    def __init__(
        self,
        links: Callable[[], Iterable[HostLink]],
        ports: Callable[[], tuple[Mapping[IfaceId, PortIntent], Mapping[int, NetworkIntent]]],
    ) -> None:
        self._links, self._ports = links, ports
        self._told: dict[Known, tuple[float, Served]] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self.look(asyncio.get_running_loop().time())
            await asyncio.sleep(LOOK_EVERY_S)

    def look(self, now_s: float) -> int:
        """Send what is due, up to MAX_AT_A_LOOK; how many were sent."""
        due = []
        present = set()
        for link, ofport, port, network in self._wired():
            key, served = (link.name, port.iface_id), (ofport, network)
            present.add(key)
            last_s, told = self._told.get(key, (-EVERY_S, None))
            if told != served or now_s - last_s >= EVERY_S:
                due.append((last_s, key, link, served, port))
        self._told = {key: told for key, told in self._told.items() if key in present}
        due.sort(key=lambda one: one[0])
        for _, key, link, served, port in due[:MAX_AT_A_LOOK]:
            frame = ra.advertisement(port, served[1])
            if frame is not None and link.channel is not None:
                actions = hand_over(served[0])
                link.channel.send(packet_out(frame, actions, PORT_CONTROLLER, link.channel.next_xid()))
                self._told[key] = (now_s, served)
        return min(len(due), MAX_AT_A_LOOK)

    def _wired(self) -> Iterator[tuple[HostLink, int, PortIntent, NetworkIntent]]:
        ports, networks = self._ports()
        for link in self._links():
            if link.channel is None or link.facts is None:
                continue
            for iface_id, ofport in link.facts.view.ofports:
                port = ports.get(iface_id)
                network = networks.get(port.network_id) if port else None
                if port is not None and network is not None and ra.ipv6_subnets(network):
                    yield link, ofport, port, network
