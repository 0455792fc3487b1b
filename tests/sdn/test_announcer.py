"""An address that is another MAC's is told to the network's other ports: three times, by ARP or by an advertisement."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address
from types import SimpleNamespace

from sdn.compiler import IntentIndex, index_intent
from sdn.controller.announcer import EVERY_S, MAX_AT_A_LOOK, Announcer
from sdn.controller.outside_frames import announcement
from sdn.model.addresses import Mac
from sdn.model.intent import IntentSnapshot
from tests.sdn.wire import checksum6_is_right
from tests.sdn.worlds import make_world, view_of

WORLD = make_world(1, 2, [(0, 0), (0, 0), (0, 0), (1, 0)])


class Site:
    """One host with every port plugged; `sent` are its packet-outs."""

    def __init__(self, world: IntentSnapshot) -> None:
        self.sent: list[bytes] = []
        channel = SimpleNamespace(send=self.sent.append, next_xid=lambda: 1)
        link = SimpleNamespace(channel=channel, facts=SimpleNamespace(view=view_of(world, "hv1")))
        self.announcer = Announcer(lambda: [link])  # type: ignore[list-item, return-value]
        self._index: IntentIndex | None = None
        self.tell(world, 0.0)

    def tell(self, world: IntentSnapshot, now_s: float) -> None:
        self._index = index_intent(world, self._index)
        self.announcer.set_intent(self._index, now_s)


def test_an_address_that_moves_is_told_three_times_to_the_other_ports_of_its_network() -> None:
    site, first, second = Site(WORLD), WORLD.ports[0], WORLD.ports[1]
    assert site.announcer.look(0.0) == 0, "nothing is news when the controller starts"
    moved = replace(second, addresses=(*second.addresses, *first.addresses))
    site.tell(replace(WORLD, ports=(replace(first, addresses=()), moved, *WORLD.ports[2:])), 10.0)
    counts = [site.announcer.look(10.0 + step * EVERY_S) for step in range(5)]
    assert counts == [2, 2, 2, 0, 0], "to two ports: not to its own, nor to the other network's"
    assert all(announcement(second.mac, first.addresses[0]) in frame for frame in site.sent)


def test_an_address_that_is_used_again_is_told_though_its_first_port_is_long_gone() -> None:
    site, first = Site(WORLD), WORLD.ports[0]
    site.tell(replace(WORLD, ports=WORLD.ports[1:]), 10.0)
    assert site.announcer.look(10.0) == 0
    again = replace(first, id=9, mac=Mac("52:54:00:00:00:99"))
    site.tell(replace(WORLD, ports=(*WORLD.ports[1:], again)), 900.0)
    assert site.announcer.look(900.0) == 2


def test_a_port_that_keeps_its_mac_is_no_news_and_many_are_paced() -> None:
    site = Site(WORLD)
    site.tell(replace(WORLD, ports=tuple(replace(port, name="other") for port in WORLD.ports)), 1.0)
    assert site.announcer.look(1.0) == 0
    many = make_world(1, 1, [(0, 0)] * 60)
    site = Site(many)
    site.tell(
        replace(many, ports=tuple(replace(port, mac=Mac(f"52:54:00:11:00:{port.id:02x}")) for port in many.ports)), 1.0
    )
    assert [site.announcer.look(1.0) for _ in range(3)] == [MAX_AT_A_LOOK] * 3


def test_an_ipv6_address_is_told_by_an_advertisement_that_overrides() -> None:
    address = IPv6Address("fd20::5")
    frame = announcement(Mac("52:54:00:00:00:07"), address)
    assert frame[:6] == bytes.fromhex("333300000001") and checksum6_is_right(frame)
    body = frame[54:]
    assert (body[0], body[4] >> 5) == (136, 1), "an advertisement: override, not solicited, no router"
    assert body[8:24] == address.packed and body[24:] == bytes.fromhex("0201525400000007")
