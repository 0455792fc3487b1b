"""Who has an address now, told to the guests that may remember who had it: gratuitous ARP (RFC 5227) and unsolicited
neighbour advertisements (RFC 4861, 7.2.6).

Neighbours keep an entry for half a minute and then ask the one that they know first. An address that goes to another MAC,
be it at once or long after its port was deleted, is told to every port of its network, three times a second apart: Linux takes
no news of an entry that changed within the last second. What a port's address was before is remembered by network.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator

from sdn.compiler import IntentIndex
from sdn.compiler.build import hand_over
from sdn.controller.host import HostLink
from sdn.controller.outside_frames import announcement
from sdn.model.addresses import Mac
from sdn.model.intent import Address, PortIntent
from sdn.transport.codec import PORT_CONTROLLER, packet_out

TIMES, EVERY_S = 3, 1.1
LOOK_EVERY_S = 0.1
MAX_AT_A_LOOK = 100  # packets; 1,000 a second
MOST_DUE = 1000  # addresses; more at once are a renumbering, and guests that are renumbered start anew
MOST_REMEMBERED = 1 << 16  # of one network: as many as an IPv4 network of ours may have


class Announcer:
    """Sends what is due at each look; `links` are the hosts that the controller keeps."""

    def __init__(self, links: Callable[[], Iterable[HostLink]]) -> None:
        self._links = links
        self._ports_of: dict[int, tuple[PortIntent, ...]] = {}
        self._had: dict[int, dict[Address, Mac]] = {}  # network → who had an address last
        self._due: dict[tuple[int, Address], tuple[float, int]] = {}  # when next, how often still
        self._index: IntentIndex | None = None
        self._waiting: list[tuple[HostLink, int, bytes]] = []

    def set_intent(self, index: IntentIndex, now_s: float) -> None:
        """Find the addresses that are another MAC's since the last intent."""
        for network_id in index.networks.keys() | self._ports_of.keys():
            ports = index.ports_of.get(network_id, ())
            if self._ports_of.get(network_id) is not ports:
                self._ports_of[network_id] = ports
                self._look_at(network_id, ports, now_s)
        for gone in self._ports_of.keys() - index.networks.keys():
            del self._ports_of[gone]
            self._had.pop(gone, None)
        self._index = index

    def _look_at(self, network_id: int, ports: Iterable[PortIntent], now_s: float) -> None:
        had = self._had.setdefault(network_id, {})
        for port in ports:
            for address in port.addresses:
                before, had[address] = had.get(address), port.mac
                if before not in (None, port.mac) and len(self._due) < MOST_DUE:
                    self._due[network_id, address] = (now_s, TIMES)
        if len(had) > MOST_REMEMBERED:
            self._had[network_id] = {address: port.mac for port in ports for address in port.addresses}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self.look(asyncio.get_running_loop().time())
            await asyncio.sleep(LOOK_EVERY_S)

    def look(self, now_s: float) -> int:
        """Send what is due, up to MAX_AT_A_LOOK; how many were sent."""
        for key, (at_s, times) in list(self._due.items()):
            if at_s <= now_s:
                self._waiting += self._told(*key)
                del self._due[key]
                if times > 1:
                    self._due[key] = (now_s + EVERY_S, times - 1)
        sending, self._waiting = self._waiting[:MAX_AT_A_LOOK], self._waiting[MAX_AT_A_LOOK:]
        for link, ofport, frame in sending:
            if link.channel is not None:
                actions = hand_over(ofport)
                link.channel.send(packet_out(frame, actions, PORT_CONTROLLER, link.channel.next_xid()))
        return len(sending)

    def _told(self, network_id: int, address: Address) -> Iterator[tuple[HostLink, int, bytes]]:
        """The announcement, for each plugged port of the network but the one that has the address."""
        ports = self._index.ports_of.get(network_id, ()) if self._index else ()
        owner = next((port for port in ports if address in port.addresses), None)
        if owner is None:
            return
        frame, others = announcement(owner.mac, address), {port.iface_id for port in ports if port is not owner}
        for link in self._links():
            for iface_id, ofport in link.facts.view.ofports if link.facts else ():
                if iface_id in others:
                    yield link, ofport, frame
