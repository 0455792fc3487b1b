"""What a guest's question gets: DHCP of both families, router and neighbour discovery at once, DNS at once or later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from ipaddress import IPv4Address, IPv6Address

from sdn.compiler import IntentIndex
from sdn.controller import dhcp, dhcp6, dns, ra
from sdn.controller.datagrams import Datagram, format_datagram, mac_bytes, parse_datagram
from sdn.controller.forwarder import DNS_PORT, Forwarder
from sdn.controller.meter import Meter
from sdn.model.intent import NetworkIntent, PortIntent

Reply = Callable[[bytes], None]
Address = IPv4Address | IPv6Address
DNS_MAX_BYTES = 4096
DHCP_PORTS = (67, 547)
_Zone = tuple[tuple[NetworkIntent, tuple[PortIntent, ...]], ...]  # what a zone's names are made of


class Answers:
    """The controller's answers to guests, metered by port. `forwarder` is who is asked of the world's names."""

    def __init__(self, forwarder: Forwarder | None = None) -> None:
        self._forwarder = forwarder or Forwarder()
        self._meter = Meter()
        self._zones: dict[str, tuple[_Zone, dns.Names]] = {}
        self._neighbours: Mapping[int, tuple[PortIntent, ...]] = {}
        self._asked_dhcp: set[int] = set()

    def set_intent(self, index: IntentIndex) -> None:
        """What the answers are made of from now on; names are made anew for the teams whose ports or networks changed."""
        self._neighbours = index.ports_of
        before, self._zones = self._zones, {}
        for zone, networks in dns.zones_of(index.networks.values()).items():
            made_of = tuple((network, index.ports_of.get(network.id, ())) for network in networks)
            known = before.get(zone)
            is_same = known is not None and known[0] == made_of
            self._zones[zone] = known if known and is_same else (made_of, dns.index_zone(zone, made_of))

    def may(self, place: tuple[int, int], kind: str = "other") -> bool:
        """Is there room for one more packet of the port at (dpid, ofport) in this second."""
        return self._meter.may(*place, kind, asyncio.get_running_loop().time())

    def take(
        self, frame: bytes, port: PortIntent, network: NetworkIntent, place: tuple[int, int], reply: Reply
    ) -> Coroutine[None, None, None] | None:
        """Reply to the frame, or return the work that will; nothing comes of what is no question or too much."""
        datagram = parse_datagram(frame)
        if datagram is not None and datagram.ports[1] == DNS_PORT:
            return self._dns(datagram, port, network, reply) if self.may(place, "dns") else None
        if self.may(place):
            found = answer(frame, port, network, self._neighbours.get(network.id, ()))
            if found is not None:
                reply(found)
                if datagram is not None and datagram.ports[1] in DHCP_PORTS:
                    self._asked_dhcp.add(port.id)
        return None

    def asked_dhcp(self) -> frozenset[int]:
        """The ids of the ports that were answered by DHCP since this was asked last."""
        asked, self._asked_dhcp = self._asked_dhcp, set()
        return frozenset(asked)

    def _dns(
        self, asked: Datagram, port: PortIntent, network: NetworkIntent, reply: Reply
    ) -> Coroutine[None, None, None] | None:
        query = dns.parse_query(asked.body) if len(asked.body) <= DNS_MAX_BYTES else None
        subnet = next((one for one in network.subnets if one.gateway == asked.target), None)
        if query is None or subnet is None:
            return None

        def send(message: bytes) -> None:
            reply(_back(asked, dns.fit(query, message, network.mtu), network))

        zone = self._zones.get(network.domain.partition(".")[2])
        known = dns.resolve(query, network, zone[1] if zone else None)
        if known is not None:
            send(known)
            return None
        servers = subnet.dns or tuple(server for one in network.subnets for server in one.dns)
        return self._forward(query, asked.body, port.id, servers, send)

    async def _forward(
        self, query: dns.Query, message: bytes, asker: int, servers: tuple[Address, ...], send: Reply
    ) -> None:
        send(await self._forwarder.ask(query, message, asker, servers))


def answer(frame: bytes, port: PortIntent, network: NetworkIntent, known: tuple[PortIntent, ...] = ()) -> bytes | None:
    """The frame to send back to the port at once, or None. `known` are the network's ports. Pure."""
    for answerer in (dhcp.answer, dhcp6.answer):
        if (found := answerer(frame, port, network)) is not None:
            return found
    return ra.answer(frame, port, network, known)


def _back(asked: Datagram, message: bytes, network: NetworkIntent) -> bytes:
    ends = Datagram(mac_bytes(network.router_mac), asked.target, asked.source, (DNS_PORT, asked.ports[0]), message)
    return format_datagram(ends, asked.source_mac)
