"""Router advertisements that nobody asked for: at once where something changed, again in time, and never in a burst."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

from sdn.controller.advertiser import EVERY_S, MAX_AT_A_LOOK, Advertiser
from sdn.controller.ra import ROUTER_LIFETIME_S
from sdn.model.addresses import IfaceId
from tests.sdn.dual_world import DUAL, DUAL_PORTS

WEB_1 = DUAL_PORTS[0]


class Switches:
    """One host's link, its wired ports, and what was sent through it."""

    def __init__(self, count: int) -> None:
        self.sent: list[bytes] = []
        self.ports = {
            f"p{number}": replace(WEB_1, id=number, iface_id=IfaceId(f"p{number}")) for number in range(count)
        }
        self.network = DUAL
        self.wired = [(name, 10 + number) for number, name in enumerate(self.ports)]
        channel = SimpleNamespace(send=self.sent.append, next_xid=lambda: 1)
        self.link = SimpleNamespace(name="hv1", channel=channel, facts=SimpleNamespace(view=self))
        self.advertiser = Advertiser(lambda: [self.link], lambda: (self.ports, {DUAL.id: self.network}))  # type: ignore[list-item, arg-type, return-value]

    @property
    def ofports(self) -> list[tuple[str, int]]:
        return self.wired

    def look(self, now_s: float) -> int:
        """How many were sent."""
        before = len(self.sent)
        self.advertiser.look(now_s)
        return len(self.sent) - before


def test_a_port_is_told_when_it_is_wired_and_again_long_before_its_router_would_expire() -> None:
    switches = Switches(1)
    assert [switches.look(now) for now in (0.0, 0.5, EVERY_S - 1, EVERY_S, EVERY_S + 1)] == [1, 0, 0, 1, 0]
    assert EVERY_S * 3 < ROUTER_LIFETIME_S


def test_a_changed_network_and_a_new_ofport_are_told_at_once() -> None:
    switches = Switches(2)
    assert switches.look(0.0) == 2
    switches.network = replace(DUAL, mtu=1400)
    assert switches.look(1.0) == 2
    switches.wired[0] = (switches.wired[0][0], 99)
    assert switches.look(2.0) == 1


def test_many_ports_are_told_one_part_at_a_time_the_oldest_first() -> None:
    switches = Switches(2 * MAX_AT_A_LOOK + 7)
    assert [switches.look(float(now)) for now in range(4)] == [MAX_AT_A_LOOK, MAX_AT_A_LOOK, 7, 0]
    assert switches.look(EVERY_S) == MAX_AT_A_LOOK


def test_a_network_without_ipv6_and_a_host_without_a_channel_are_left_alone() -> None:
    switches = Switches(3)
    switches.network = replace(DUAL, subnets=DUAL.subnets[:1])
    assert switches.look(0.0) == 0
    switches.network, switches.link.channel = DUAL, None
    assert switches.look(1.0) == 0
