"""Guest agents: what of a stranger's word is kept, and how long one that lets us wait is left alone."""

from __future__ import annotations

import itertools

import pytest

from tasks.agents import MOST_REST_S, Patience
from tasks.hypervisor.driver import HostBusy
from tasks.hypervisor.libvirt_agent import MOST_OF_NIC, read_interfaces

MAC = "52:54:00:00:00:01"


def test_addresses_are_kept_by_mac_and_nonsense_is_left_out() -> None:
    told = {
        "lo": {"hwaddr": "00:00:00:00:00:00", "addrs": [{"addr": "127.0.0.1", "prefix": 8}]},
        "eth0": {"hwaddr": MAC.upper(), "addrs": [{"addr": "10.20.0.9"}, {"addr": "<script>"}, {"addr": "fe80::1%eth0"}]},
        "br0": {"hwaddr": MAC, "addrs": [{"addr": "10.20.0.10"}]},
        "tun0": {"hwaddr": None, "addrs": None},
    }  # fmt: skip
    assert read_interfaces(told)[MAC] == {"10.20.0.9", "fe80::1", "10.20.0.10"}
    assert set(read_interfaces(told)) == {MAC, "00:00:00:00:00:00"} and read_interfaces(None) == {}


def test_an_agent_that_tells_much_is_cut() -> None:
    told = {"eth0": {"hwaddr": MAC, "addrs": [{"addr": f"10.9.0.{last}"} for last in range(200)]}}
    assert len(read_interfaces(told)[MAC]) == MOST_OF_NIC


@pytest.mark.parametrize("is_busy", [False, True], ids=["no answer", "no end"])
def test_one_that_lets_us_wait_is_asked_ever_more_rarely_and_forgiven_when_it_answers(is_busy: bool) -> None:
    now, asked = [1000.0], []

    def slow(domain: str) -> None:
        asked.append(now[0])
        now[0] += 2.0
        if is_busy:
            raise HostBusy("busy")

    patience = Patience(lambda: now[0])
    while now[0] < 1000 + 3600:
        try:
            assert patience.ask("hs-1", slow) is None
        except HostBusy:
            assert is_busy
        now[0] += 15.0
    gaps = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert gaps == sorted(gaps) and gaps[0] < 60 and gaps[-1] >= MOST_REST_S and len(asked) < 10
    assert patience.ask("hs-2", lambda _: {MAC: frozenset()}) is not None, "another's agent is asked all the while"
    now[0] += MOST_REST_S
    for _ in range(2):
        assert patience.ask("hs-1", lambda _: {MAC: frozenset()}) == {MAC: frozenset()}


def test_who_has_no_agent_and_says_so_at_once_is_asked_each_time() -> None:
    asked: list[str] = []
    patience = Patience(lambda: 1.0)
    for _ in range(3):
        assert patience.ask("hs-1", asked.append) is None
    assert len(asked) == 3
