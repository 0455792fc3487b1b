"""A packet's size along its path: [web-1, MTU 1450]--[br-int@hv1]==+50 bytes==[br-int@hv2]--[db-1]."""

from __future__ import annotations

from dataclasses import replace

from tests.sdn.trace.conftest import Hosts


def test_a_packet_that_fits_says_nothing(hosts: Hosts) -> None:
    trace = hosts.trace("web-1", "db-1", "icmp", size_bytes=1464)
    assert (trace.verdict, trace.findings) == ("delivered", ())


def test_one_over_the_guests_mtu_is_cut_by_its_kernel(hosts: Hosts) -> None:
    trace = hosts.trace("web-1", "db-1", "icmp", size_bytes=1514)
    assert trace.verdict == "delivered"
    assert trace.findings[0].startswith("1500 bytes are more than web-1's MTU of 1450: its kernel sends 2 fragments")


def test_one_over_the_underlays_mtu_is_dropped_at_the_tunnel_with_the_sum(hosts: Hosts) -> None:
    narrow = replace(hosts, underlay_mtu=1480)
    trace = narrow.trace("web-1", "db-1", "icmp", size_bytes=1464)
    assert trace.verdict == "dropped"
    assert "1450 bytes and 50 of VXLAN make 1500, its MTU is 1480" in trace.reason
    assert trace.suggestion == "Lower the network's MTU to 1430, or raise the underlay's to 1500."
    assert trace.hops[-1].kind == "underlay_nic"
    small = narrow.trace("web-1", "db-1", "icmp")
    assert small.verdict == "delivered"
    assert small.findings == ("The guests' MTU is 1450, but the underlay of hv1 (MTU 1480) carries 1430: larger packets vanish",)  # fmt: skip


def test_the_same_packet_on_one_host_meets_no_tunnel(hosts: Hosts) -> None:
    assert replace(hosts, underlay_mtu=1480).trace("web-1", "web-2", "icmp", size_bytes=1464).verdict == "delivered"
