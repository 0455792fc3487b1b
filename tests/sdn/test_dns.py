"""DNS for VM names: questions and answers as bytes, and what is the world's asked of a real resolver on a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdn.compiler import index_intent
from sdn.controller import dns
from sdn.controller.answers import Answers
from sdn.controller.datagrams import Datagram, format_datagram, mac_bytes, parse_datagram
from sdn.controller.forwarder import MAX_IN_FLIGHT, MAX_OF_A_PORT, Forwarder, may_ask, read_resolvers, shortest_ttl_s
from tests.sdn.dual_world import DUAL, DUAL_PORTS, DUAL_SNAPSHOT, GATEWAY6, WEB_1_IP6, WEB_2_IP6
from tests.sdn.world import GATEWAY_MAC, OTHERS, PAYMENTS, WEB_1_MAC
from tests.waiting import until

HOME = replace(DUAL, domain="payments.pay.internal")
SECOND = replace(PAYMENTS, id=9, domain="second.pay.internal")
FOREIGN = replace(OTHERS, domain="others.search.internal")
WEB_1 = DUAL_PORTS[0]
ELSEWHERE = replace(DUAL_PORTS[1], id=77, network_id=9, name="web-2", addresses=(ip_address("10.20.0.99"),))
CACHE = replace(ELSEWHERE, id=78, name="cache", addresses=(ip_address("10.20.0.98"),))
SNAPSHOT = replace(DUAL_SNAPSHOT, networks=(HOME, FOREIGN, SECOND), ports=(*DUAL_PORTS, ELSEWHERE, CACHE))
OF_TEAM = dns.zones_of(SNAPSHOT.networks)["pay.internal"]
NAMES = dns.index_zone("pay.internal", [(one, [port for port in SNAPSHOT.ports if port.network_id == one.id]) for one in OF_TEAM])  # fmt: skip


def question(name: str, kind: int = dns.A, number: int = 0x1234) -> bytes:
    return dns.HEADER.pack(number, 0x0100, 1, 0, 0, 0) + dns.pack_name(name) + struct.pack("!HH", kind, 1)


def ask(name: str, kind: int = dns.A) -> tuple[int, list[bytes]] | None:
    """Response code and the records' data; None for a question that is the world's."""
    query = dns.parse_query(question(name, kind))
    assert query is not None
    message = dns.resolve(query, HOME, NAMES)
    return None if message is None else read(message)


def read(message: bytes) -> tuple[int, list[bytes]]:
    number, flags, questions, answers, _, _ = dns.HEADER.unpack_from(message)
    assert number == 0x1234 and flags & 0x8000 and questions == 1
    at = message.index(b"\0", 12) + 5
    found = []
    for _ in range(answers):
        assert message[at : at + 2] == b"\xc0\x0c"
        size = struct.unpack_from("!H", message, at + 10)[0]
        found.append(message[at + 12 : at + 12 + size])
        at += 12 + size
    return flags & 15, found


def test_a_vm_is_found_by_its_name_in_both_families() -> None:
    for name in ("web-1.payments.pay.internal", "WEB-1.Payments.pay.internal", "web-1.pay.internal", "web-1"):
        assert ask(name) == (0, [ip_address("10.20.0.11").packed])
        assert ask(name, dns.AAAA) == (0, [ip_address(WEB_1_IP6).packed])


def test_a_name_in_two_networks_is_the_askers_own_first() -> None:
    assert ask("web-2.pay.internal") == (0, [ip_address("10.20.0.12").packed])
    assert ask("web-2.second.pay.internal") == (0, [ip_address("10.20.0.99").packed])
    assert ask("cache.pay.internal") == (0, [ip_address("10.20.0.98").packed])


def test_an_address_is_told_its_name() -> None:
    assert ask("12.0.20.10.in-addr.arpa", dns.PTR) == (0, [dns.pack_name("web-2.payments.pay.internal")])
    reverse = ip_address(WEB_2_IP6).reverse_pointer
    assert ask(reverse, dns.PTR) == (0, [dns.pack_name("web-2.payments.pay.internal")])
    assert ask("77.0.20.10.in-addr.arpa", dns.PTR) == (dns.NAME_ERROR, [])
    assert ask("8.8.8.8.in-addr.arpa", dns.PTR) is None


def test_what_a_team_does_not_have_does_not_exist_and_is_never_forwarded() -> None:
    assert ask("web-9.payments.pay.internal") == (dns.NAME_ERROR, [])
    assert ask("web-9") == (dns.NAME_ERROR, [])
    assert ask("dana-1.others.search.internal") == (dns.NAME_ERROR, [])
    assert ask("payments.pay.internal") == (0, [])
    assert ask("off-1.payments.pay.internal", 15) == (0, [])


def test_the_rest_is_the_worlds() -> None:
    assert ask("example.org") is None and ask("internal.example.org") is None


def test_a_negative_answer_says_for_how_long(query_type: int = dns.A) -> None:
    query = dns.parse_query(question("web-9.pay.internal", query_type))
    assert query is not None
    message = dns.resolve(query, HOME, NAMES)
    assert message is not None and dns.HEADER.unpack_from(message)[4] == 1
    assert shortest_ttl_s(message) == dns.NEGATIVE_TTL_S


@given(st.binary(max_size=80))
def test_junk_never_raises(junk: bytes) -> None:
    for message in (junk, question("web-1")[:12] + junk, question("web-1") + junk):
        query = dns.parse_query(message)
        if query is not None:
            dns.resolve(query, HOME, NAMES)
        shortest_ttl_s(message)


@given(st.text(max_size=90))
def test_any_reverse_name_never_raises(text: str) -> None:
    for suffix in ("in-addr.arpa", "ip6.arpa"):
        query = dns.parse_query(question(f"{text.encode('ascii', 'replace').decode()[:60]}.{suffix}", dns.PTR))
        if query is not None:
            dns.resolve(query, HOME, NAMES)


class Resolver(asyncio.DatagramProtocol):
    """Answers every question with one address; `silent` keeps it from that."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.silent = False
        self.forged: bytes | None = None
        self.size = 0

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked.append(data)
        if self.silent:
            return
        if self.forged is not None:
            self.transport.sendto(self.forged + data[2:], addr)
        record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + bytes([203, 0, 113, 80])
        head = data[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0)
        self.transport.sendto(head + data[12:] + record + b"\0" * self.size, addr)


@contextlib.asynccontextmanager
async def resolving(tmp_path: Path) -> AsyncIterator[tuple[Resolver, Forwarder]]:
    """A resolver on this machine, and a forwarder that has it as the machine's own."""
    transport, resolver = await asyncio.get_running_loop().create_datagram_endpoint(Resolver, ("127.0.0.1", 0))
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    try:
        yield resolver, Forwarder(tmp_path / "resolv.conf", transport.get_extra_info("sockname")[1])
    finally:
        transport.close()


def parsed(name: str = "example.org", number: int = 0x1234) -> tuple[dns.Query, bytes]:
    message = question(name, number=number)
    query = dns.parse_query(message)
    assert query is not None
    return query, message


async def test_the_worlds_names_are_asked_for_and_remembered(tmp_path: Path) -> None:
    async with resolving(tmp_path) as (resolver, forwarder):
        assert read(await forwarder.ask(*parsed(), 1, ())) == (0, [bytes([203, 0, 113, 80])])
        again = await forwarder.ask(*parsed("EXAMPLE.org", number=0x4321), 2, ())
        assert again[:2] == b"\x43\x21" and len(resolver.asked) == 1
        assert resolver.asked[0][:2] != b"\x12\x34", "the id on the wire is not the guest's"


async def test_an_answer_with_another_id_or_of_another_question_is_not_believed(tmp_path: Path) -> None:
    async with resolving(tmp_path) as (resolver, forwarder):
        resolver.forged = b"\0\0"
        code, records = read(await forwarder.ask(*parsed(), 1, ()))
        assert (code, records) == (0, [bytes([203, 0, 113, 80])])


async def test_a_silent_resolver_ends_in_servfail_and_no_resolver_in_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("sdn.controller.forwarder.ANSWER_WITHIN_S", 0.05)
    async with resolving(tmp_path) as (resolver, forwarder):
        resolver.silent = True
        assert read(await forwarder.ask(*parsed(), 1, ()))[0] == dns.SERVER_FAILURE
    assert read(await Forwarder(tmp_path / "none").ask(*parsed(), 1, ()))[0] == dns.REFUSED


async def test_one_port_cannot_take_every_place(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("sdn.controller.forwarder.ANSWER_WITHIN_S", 60)  # nobody's time is over here
    async with resolving(tmp_path) as (resolver, forwarder):
        resolver.silent = True
        flood = [forwarder.ask(*parsed(f"n{number}.example.org"), 1, ()) for number in range(MAX_IN_FLIGHT)]
        asked = [asyncio.ensure_future(one) for one in flood]
        await until(lambda: sum(one.done() for one in asked) >= MAX_IN_FLIGHT - MAX_OF_A_PORT, "the rest is refused")
        resolver.silent = False
        assert read(await forwarder.ask(*parsed("other.example.org"), 2, ()))[0] == 0
        waiting = [one for one in asked if not one.done()]
        assert len(waiting) == MAX_OF_A_PORT
        assert {read(one.result())[0] for one in asked if one.done()} == {dns.REFUSED}
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


def test_a_team_cannot_have_the_controllers_own_machine_asked() -> None:
    allowed = {
        text: may_ask(ip_address(text)) for text in ("127.0.0.1", "::1", "fe80::1", "169.254.169.254", "9.9.9.9")
    }
    assert [text for text, may in allowed.items() if may] == ["9.9.9.9"]


def test_resolvers_are_read_and_what_is_none_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "conf").write_text("# x\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\nnameserver bad\nsearch a\n")
    assert [str(one) for one in read_resolvers(tmp_path / "conf")] == ["192.0.2.1", "fe80::1"]


@pytest.fixture(params=["10.20.0.1", GATEWAY6])
def gateway(request: pytest.FixtureRequest) -> Iterator[str]:
    yield request.param


def _frame(gateway: str, message: bytes) -> bytes:
    source = "10.20.0.11" if "." in gateway else WEB_1_IP6
    asked = Datagram(mac_bytes(WEB_1_MAC), ip_address(source), ip_address(gateway), (40000, 53), message)
    return format_datagram(asked, mac_bytes(GATEWAY_MAC))


async def test_the_gateway_answers_where_it_was_asked(gateway: str, tmp_path: Path) -> None:
    async with resolving(tmp_path) as (resolver, forwarder):
        answers, sent = Answers(forwarder), []
        answers.set_intent(index_intent(SNAPSHOT))
        network = replace(HOME, subnets=tuple(replace(subnet, dns=()) for subnet in HOME.subnets))
        assert answers.take(_frame(gateway, question("web-2")), WEB_1, network, (1, 2), sent.append) is None
        later = answers.take(_frame(gateway, question("example.org")), WEB_1, network, (1, 2), sent.append)
        assert later is not None
        await later
        resolver.size = 2000
        later = answers.take(_frame(gateway, question("big.example.org")), WEB_1, network, (1, 2), sent.append)
        assert later is not None
        await later
    told = [parse_datagram(frame) for frame in sent]
    assert all(one and (str(one.source), one.ports) == (gateway, (53, 40000)) for one in told)
    assert read(told[0].body) == (0, [ip_address("10.20.0.12").packed])
    assert read(told[1].body) == (0, [bytes([203, 0, 113, 80])])
    assert dns.HEADER.unpack_from(told[2].body)[1] & 0x0200, "cut, for it would not fit a packet"


async def test_a_flood_of_questions_leaves_another_ports_lease_alone() -> None:
    answers, sent = Answers(), []
    answers.set_intent(index_intent(SNAPSHOT))
    for _ in range(5000):
        answers.take(_frame("10.20.0.1", question("web-2")), WEB_1, HOME, (1, 2), sent.append)
    assert len(sent) <= 400, "at most 200 a second"
    assert answers.may((1, 3)) and answers.may((1, 2)), "neither another port's nor its own other questions"
