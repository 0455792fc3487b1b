"""DNS questions that are the world's, asked from the controller's own process: guests' networks have no way to a resolver.

Bounded in every way that a guest could stretch: questions in flight at once, of all and of one port, the time that one
takes, and what is remembered. Each goes out from a fresh socket with a fresh id, and only the asked server's answer to
just that question is believed (RFC 5452).
"""

from __future__ import annotations

import asyncio
import secrets
import struct
from collections import Counter, OrderedDict
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from sdn.controller.dns import HEADER, REFUSED, SERVER_FAILURE, Query, format_answer

DNS_PORT = 53
ANSWER_WITHIN_S = 2.0  # each server; the first two are tried
MAX_IN_FLIGHT, MAX_OF_A_PORT = 128, 16
MAX_REMEMBERED, MAX_TTL_S = 4096, 300.0
RESOLV_CONF = Path("/etc/resolv.conf")
Address = IPv4Address | IPv6Address
Key = tuple[tuple[Address, ...], bytes]


class Forwarder:
    """Asks resolvers; remembers what they said for as long as they said, and at most five minutes."""

    def __init__(self, resolv_conf: Path = RESOLV_CONF, port: int = DNS_PORT) -> None:
        self._resolv_conf, self._port = resolv_conf, port
        self._in_flight: Counter[int] = Counter()
        self._remembered: OrderedDict[Key, tuple[float, bytes]] = OrderedDict()

    async def ask(self, query: Query, message: bytes, asker: int, servers: tuple[Address, ...]) -> bytes:
        """The answer's message for the asker (a port's id), whatever happens: REFUSED where nobody can be asked or too
        much is asked at once, SERVFAIL where nobody answers in time."""
        chosen = tuple(one for one in servers if may_ask(one)) or await asyncio.to_thread(
            read_resolvers, self._resolv_conf
        )
        key = (chosen, query.question.lower())
        if (known := self._recall(key)) is not None:
            return HEADER.pack(query.id, *HEADER.unpack_from(known)[1:]) + known[HEADER.size :]
        if not chosen or self._in_flight.total() >= MAX_IN_FLIGHT or self._in_flight[asker] >= MAX_OF_A_PORT:
            return format_answer(query, REFUSED)
        self._in_flight[asker] += 1
        try:
            for server in chosen[:2]:
                said = await self._ask_one(message, query, server)
                if said is not None:
                    self._remember(key, said)
                    return query.id.to_bytes(2) + said[2:]
        finally:
            self._in_flight[asker] -= 1
            if not self._in_flight[asker]:
                del self._in_flight[asker]
        return format_answer(query, SERVER_FAILURE)

    async def _ask_one(self, message: bytes, query: Query, server: Address) -> bytes | None:
        loop = asyncio.get_running_loop()
        number = secrets.token_bytes(2)
        answered: asyncio.Future[bytes] = loop.create_future()
        try:
            transport, _ = await loop.create_datagram_endpoint(
                lambda: _Listener(answered, number, query.question), remote_addr=(str(server), self._port)
            )
        except OSError:
            return None
        try:
            transport.sendto(number + message[2:])
            return await asyncio.wait_for(answered, ANSWER_WITHIN_S)
        except (TimeoutError, OSError):
            return None
        finally:
            transport.close()

    def _recall(self, key: Key) -> bytes | None:
        until, said = self._remembered.get(key, (0.0, b""))
        return said if until > asyncio.get_running_loop().time() else None

    def _remember(self, key: Key, said: bytes) -> None:
        seconds = min(MAX_TTL_S, shortest_ttl_s(said))
        if seconds > 0:
            self._remembered[key] = (asyncio.get_running_loop().time() + seconds, said)
            self._remembered.move_to_end(key)
            while len(self._remembered) > MAX_REMEMBERED:
                self._remembered.popitem(last=False)


class _Listener(asyncio.DatagramProtocol):
    def __init__(self, answered: asyncio.Future[bytes], number: bytes, question: bytes) -> None:
        self._answered, self._number, self._question = answered, number, question

    def datagram_received(self, data: bytes, addr: object) -> None:
        echoed = data[HEADER.size : HEADER.size + len(self._question)]
        is_answer = len(data) > HEADER.size and data[:2] == self._number and data[2] & 0x80
        if is_answer and echoed.lower() == self._question.lower() and not self._answered.done():
            self._answered.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self._answered.done():
            self._answered.set_exception(exc if isinstance(exc, OSError) else OSError(str(exc)))


def may_ask(server: Address) -> bool:
    """A team may name any resolver but one that is the controller's own machine or its link."""
    return not (server.is_loopback or server.is_link_local or server.is_multicast or server.is_unspecified)


def read_resolvers(path: Path) -> tuple[Address, ...]:
    """The machine's own resolvers; none where the file cannot be read."""
    found: list[Address] = []
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return ()
    for line in lines:
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                found.append(ip_address(words[1].partition("%")[0]))
            except ValueError:
                continue
    return tuple(found)


def shortest_ttl_s(message: bytes) -> int:
    """The least TTL of a message's records; 0 for one without records, not NOERROR, or malformed."""
    try:
        _, flags, questions, *counts = HEADER.unpack_from(message)
        at = HEADER.size
        for _ in range(questions):
            at = _skip_name(message, at) + 4
        found = []
        for _ in range(sum(counts[:2])):
            at = _skip_name(message, at)
            found.append(int.from_bytes(message[at + 4 : at + 8]))
            at += 10 + int.from_bytes(message[at + 8 : at + 10])
            if at > len(message):
                return 0
    except (IndexError, ValueError, struct.error):
        return 0
    return min(found, default=0) if flags & 0x0F in (0, 3) and not flags & 0x0200 else 0


def _skip_name(message: bytes, at: int) -> int:
    while message[at]:
        if message[at] >= 0xC0:
            return at + 2
        at += 1 + message[at]
    return at + 1
