"""A daemon that is asked early answers what it is asked then, and a hung one costs its deadline once."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdn.shadow import Shadow, ShadowBridge, ShadowPort
from sdn.trace import HostUnreachable, LiveWorld
from sdn.transport.host_kernel import HostKernel
from sdn.transport.unixctl import UnixctlClient
from tests.waiting import at_this_load


@pytest.fixture(scope="module")
def shadow() -> Iterator[Shadow]:
    with Shadow() as running:
        running.load([ShadowBridge("br-int", (ShadowPort("one", 1),), "actions=drop")])
        yield running


@pytest.fixture
def client(shadow: Shadow) -> Iterator[UnixctlClient]:
    made = UnixctlClient(shadow.unixctl, deadline_s=5)
    made.run("version")
    yield made
    made.close()


def ports(client: UnixctlClient) -> str:
    return client.run("dpif/show")


def test_what_was_asked_early_is_of_then_and_of_one_use(shadow: Shadow, client: UnixctlClient) -> None:
    client.ask_early("dpif/show")
    assert "Open vSwitch" in client.run("version"), "another question in between gets its own answer"
    shadow.vsctl("add-port", "br-int", "two", "--", "set", "interface", "two", "type=dummy", "ofport_request=2")
    try:
        assert "two 2/" not in ports(client), "the answer is of when it was asked"
        assert "two 2/" in ports(client)
    finally:
        shadow.vsctl("del-port", "br-int", "two")


def test_what_is_forgotten_is_asked_anew(shadow: Shadow, client: UnixctlClient) -> None:
    for is_read in (False, True):
        client.ask_early("dpif/show")
        if is_read:
            client.run("version")
        client.forget_early()
        shadow.vsctl("add-port", "br-int", "two", "--", "set", "interface", "two", "type=dummy", "ofport_request=2")
        try:
            assert "two 2/" in ports(client)
        finally:
            shadow.vsctl("del-port", "br-int", "two")


def test_without_a_connection_nothing_is_asked_early(shadow: Shadow) -> None:
    made = UnixctlClient(shadow.unixctl)
    made.ask_early("dpif/show")
    assert "one 1/" in ports(made)
    made.ask_early("no/such-command")
    assert "one 1/" in ports(made), "a refusal is no answer to anything else"
    made.close()


def test_a_hung_switch_costs_a_trace_its_deadline_once(shadow: Shadow) -> None:
    pid = int((Path(shadow.rundir) / "ovs-vswitchd.pid").read_text())
    lent: dict[str, UnixctlClient] = {}
    rundirs = {"hv1": Path(shadow.rundir)}
    first = LiveWorld(rundirs, lent=lent)
    assert first.ports("hv1")
    first.close()
    os.kill(pid, signal.SIGSTOP)
    try:
        world, began = LiveWorld(rundirs, deadline_s=2.0, lent=lent), time.monotonic()
        world.ask_ports_early(["hv1", "unknown"])
        assert time.monotonic() - began < at_this_load(1.8), "asking early waits for nobody"
        for _ in range(2):
            with pytest.raises(HostUnreachable, match="did not answer"):
                world.ofproto_trace("hv1", "br-int", "in_port=1", ())
        assert time.monotonic() - began < at_this_load(3.8), "one deadline, not two"
        world.close()
    finally:
        os.kill(pid, signal.SIGCONT)
    again = LiveWorld(rundirs, lent=lent)
    again.ask_ports_early(["hv1"])
    assert "Final flow" in again.ofproto_trace("hv1", "br-int", "in_port=1", ())
    assert [port.name for port in again.ports("hv1") if port.ofport == 1] == ["one"]
    again.close()


def test_bridges_that_are_asked_for_early_are_read_at_once_and_as_they_would_be_alone(shadow: Shadow) -> None:
    alone, early = HostKernel(shadow.rundir, 20), HostKernel(shadow.rundir, 20)
    for name in ("hs-none1", "hs-none2", "hs-none1"):
        early.ask_early(name)
    first, second = early._early.values()
    assert "ruleset" in first.started and "ruleset" not in second.started, "netfilter is read once"
    assert all(isinstance(one, subprocess.Popen) for one in (*first.started.values(), *second.started.values()))
    late = early.bridge("hs-none2")
    assert late.ruleset is not None and late == alone.bridge("hs-none2"), "the rules are the other look's"
    assert early.bridge("hs-none1") == alone.bridge("hs-none1") and not early._early


def test_what_nobody_waits_for_is_ended(shadow: Shadow) -> None:
    world = LiveWorld({"hv1": shadow.rundir})
    world.ask_bridges_early([("hv1", "hs-none"), ("unknown", "hs-none")])
    (asked,) = world._kernel("hv1")._early.values()
    world.close()
    running = [one for one in asked.started.values() if isinstance(one, subprocess.Popen) and one.returncode is None]
    assert asked.started and not running


def test_a_host_that_cannot_be_read_says_why_when_it_is_asked(tmp_path: Path) -> None:
    world = LiveWorld({"hv1": tmp_path})
    world.ask_bridges_early([("hv1", "qbr1")])
    assert "does not answer here" in world.linux_bridge("hv1", "qbr1").problems[0]
