"""What may be lost under traffic without a packet or a flow being lost: the controller, Redis, the way between them and a host.

[a]--[br-int@hv1]==vni==[br-int@hv2]--[b]     [controller]--c1--[hv1], --c2--[hv2]
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from lab.commands import run
from lab.hypervisor import Hypervisor
from lab.paths import HypervisorPaths, lab_netns
from sdn.model.intent import PortIntent
from tests.lab.kept import OPENFLOW_PORT, Flows, Kept, Traffic, flows_of, kept
from tests.lab.seats import plug, unplug
from tests.waiting import wait_for

pytestmark = pytest.mark.lab
CUT_S, BACK_WITHIN_S = 10.0, 2.0


@pytest.fixture(scope="module")
def site(lab: tuple[HypervisorPaths, ...]) -> Iterator[tuple[Kept, list[PortIntent]]]:
    with kept(lab) as found:
        guests = found.add_ports(("ka", "hv1"), ("kb", "hv2"))
        try:
            for guest, host in zip(guests, lab, strict=True):
                wait_for((host.ovs_rundir / "br-int.mgmt").exists, 40, f"br-int of {host.name}")
                plug(found.lab, host, guest)
            wait_for(lambda: _reaches(found, *guests), 40, "a reaches b")
            yield found, guests
        finally:
            for guest, host in zip(guests, lab, strict=True):
                unplug(found.lab, host, guest)


def _reaches(site: Kept, source: PortIntent, target: PortIntent) -> bool:
    netns = lab_netns(site.lab, source.name)
    argv = ("ip", "netns", "exec", netns, "ping", "-n", "-c", "1", "-W", "1", str(target.addresses[0]))
    return os.spawnvp(os.P_WAIT, "sh", ["sh", "-c", '"$@" >/dev/null 2>&1', "sh", *argv]) == 0


def _joined(site: Kept, number: int) -> bool:
    """Whether the host's switch has an OpenFlow connection to the controller, as the controller's side sees it."""
    told = run("ip", "netns", "exec", site.netns, "ss", "-Htn", "state", "established", "sport", f"= :{OPENFLOW_PORT}")
    return f"169.254.{number}.2:" in told


def _all_joined(site: Kept) -> bool:
    return all(_joined(site, number) for number in range(1, len(site.hosts) + 1))


def _assert_none_was_added_again(before: list[Flows], after: list[Flows], elapsed_s: float) -> None:
    """Every flow that was there is there, older by the time that went by."""
    for was, now in zip(before, after, strict=True):
        assert was.keys() <= now.keys(), was.keys() - now.keys()
        young = {flow: (age, now[flow]) for flow, age in was.items() if now[flow] < age + elapsed_s - 1}
        assert not young, f"{len(young)} flows were added again: {next(iter(young.items()))}"


def _kill_controller(site: Kept) -> None:
    site.kill_controller()
    said = len(site.log())
    site.start_controller()
    wait_for(lambda: _all_joined(site), 40, "the switches are back")
    assert "add=" not in site.log()[said:], site.log()[said:]


def _restart_redis(site: Kept) -> None:
    site.redis.kill()
    site.redis.wait(10)
    (site.state / "redis.sock").unlink(missing_ok=True)
    site.start_redis()
    wait_for(lambda: "no pokes from redis" in site.log(), 10, "the controller notices")


def _cut_off_a_host(site: Kept) -> None:
    site.set_cable(1, "down")
    try:
        end = time.monotonic() + CUT_S
        wait_for(lambda: time.monotonic() > end and not _joined(site, 1), CUT_S + 10, "the controller notices")
    finally:
        site.set_cable(1, "up")
    wait_for(lambda: _all_joined(site), 40, "the switch is back")


@pytest.mark.parametrize(
    ("lose", "seconds"), [(_kill_controller, 10), (_restart_redis, 6), (_cut_off_a_host, 24)], ids=lambda one: getattr(one, "__name__", "")
)  # fmt: skip
def test_no_packet_is_lost_and_no_flow_added_again(
    site: tuple[Kept, list[PortIntent]], lose: Callable[[Kept], None], seconds: int
) -> None:
    found, guests = site
    wait_for(lambda: _all_joined(found), 30, "the switches are connected")
    before, began = [flows_of(host) for host in found.hosts], time.monotonic()
    traffic = Traffic(found.lab, guests[0], guests[1], seconds)
    try:
        lose(found)
        wait_for(lambda: time.monotonic() > traffic.until, seconds + 10, "the traffic ends")
        traffic.assert_whole()
    finally:
        traffic.close()
    _assert_none_was_added_again(before, [flows_of(host) for host in found.hosts], time.monotonic() - began)


def test_a_host_that_comes_back_after_many_changes_gets_the_difference_alone(
    site: tuple[Kept, list[PortIntent]],
) -> None:
    found, guests = site
    wait_for(lambda: _all_joined(found), 30, "the switches are connected")
    before, began = flows_of(found.hosts[0]), time.monotonic()
    found.set_cable(1, "down")
    more = found.add_ports(*((f"kn{number}", "hv2") for number in range(12)))
    plug(found.lab, found.hosts[1], more[-1])
    try:
        wait_for(lambda: _reaches(found, guests[1], more[-1]), 20, "the host that is not cut off has the new ports")
        assert not _reaches(found, guests[0], more[-1])
        found.set_cable(1, "up")
        wait_for(lambda: _reaches(found, guests[0], more[-1]), 40, "the host that was cut off has them too")
        after = flows_of(found.hosts[0])
        young = {flow for flow, age in after.items() if age < time.monotonic() - began}
        kept_ones = before.keys() - young
        assert len(kept_ones) > len(before) * 0.9, "most flows do not depend on the new ports and stay"
        _assert_none_was_added_again([{flow: before[flow] for flow in kept_ones}], [after], time.monotonic() - began)
        assert {cookie for cookie, _ in young} <= {cookie for cookie, _ in after}
    finally:
        found.set_cable(1, "up")
        unplug(found.lab, found.hosts[1], more[-1])


def test_a_switch_that_was_killed_has_its_flows_within_two_seconds_of_coming_back(
    site: tuple[Kept, list[PortIntent]],
) -> None:
    found, guests = site
    host = found.hosts[0]
    wait_for(lambda: _all_joined(found), 30, "the switches are connected")
    before = flows_of(host).keys()
    os.kill(int((host.ovs_rundir / "ovs-vswitchd.pid").read_text()), signal.SIGKILL)
    hypervisor = Hypervisor(found.lab, host)
    wait_for(lambda: not any(one.command == "ovs-vswitchd" for one in hypervisor.processes()), 10, "the switch is dead")
    hypervisor.ensure()
    wait_for(lambda: _joined(found, 1), 40, "the switch is connected", 0.02)
    connected = time.monotonic()
    wait_for(lambda: flows_of(host).keys() >= before, 20, "its flows are back", 0.02)
    assert time.monotonic() - connected <= BACK_WITHIN_S
    wait_for(lambda: _reaches(found, *guests), 10, "a reaches b")
