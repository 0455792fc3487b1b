"""The message that ends connections is byte for byte what `ovs-ofctl ct-flush` sends, and says what ended."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, IPv6Network

import pytest

from sdn.compiler import compile_host, index_intent
from sdn.controller.standing import Floats, standing_of_flows
from sdn.model.intent import FloatingIntent
from sdn.transport.codec import encode_flow
from sdn.transport.ctflush import ORIGINAL, REPLY, flush_connections
from tests.sdn.routed import FLOATING, HV1, HV1_VIEW, ROUTER, SNAPSHOT
from tests.sdn.world import HV2

# OVS 3.1: ovs-ofctl -O OpenFlow14 ct-flush SWITCH zone=60001 ct_nw_dst=198.51.100.20, and the same as the reply's tuple
SENT = {
    ORIGINAL: "05040040000000020000232000000020000000000000000000000020000000000001001400000000000000000000ffffc63364140000000000020008ea610000",
    REPLY: "05040040000000020000232000000020000000000000000000010020000000000001001400000000000000000000ffffc63364140000000000020008ea610000",
}  # fmt: skip


def test_a_controller_that_starts_ends_what_changed_while_it_was_away() -> None:
    """What stood is read from the flows that the switch still has."""
    left = [encode_flow(flow) for flow in compile_host(SNAPSHOT, HV1_VIEW)]
    assert standing_of_flows(left) == {(ROUTER.zone, FLOATING): ROUTER.floating[0].fixed}
    moved = replace(ROUTER, floating=(replace(ROUTER.floating[0], fixed=IPv4Address("10.30.0.12")),))
    for router, count in ((ROUTER, 0), (moved, 2), (replace(ROUTER, floating=()), 2)):
        floats = Floats()
        floats.recover(left)
        assert len(list(floats.ended(index_intent(replace(SNAPSHOT, routers=(router,))), HV1))) == count
    floats.recover([])
    assert list(floats.ended(index_intent(SNAPSHOT), HV1)) == [], "what is known is not learned again"


@pytest.mark.parametrize("direction", [ORIGINAL, REPLY])
def test_it_is_what_ovs_ofctl_sends(direction: int) -> None:
    assert flush_connections(60001, IPv4Address("198.51.100.20"), direction, 2).hex() == SENT[direction]


def test_what_a_floating_address_stood_for_ends_on_its_gateway_host_alone() -> None:
    floats, other = Floats(), Floats()
    assert list(floats.ended(index_intent(SNAPSHOT), HV1)) == [], "a controller that starts ends nothing"
    assert list(other.ended(index_intent(SNAPSHOT), HV2)) == []
    moved = replace(ROUTER, floating=(replace(ROUTER.floating[0], fixed=IPv4Address("10.30.0.12")),))
    after = index_intent(replace(SNAPSHOT, routers=(moved,)))
    assert list(floats.ended(after, HV1)) == [(ROUTER.zone, FLOATING, ORIGINAL), (ROUTER.zone, FLOATING, REPLY)]
    assert list(other.ended(after, HV2)) == []
    assert list(floats.ended(after, HV1)) == []
    detached = index_intent(replace(SNAPSHOT, routers=(replace(ROUTER, floating=()),)))
    assert len(list(floats.ended(detached, HV1))) == 2


def test_an_ipv6_floating_address_is_read_from_the_flows_and_ended_too() -> None:
    six = FloatingIntent(8, IPv6Address("2001:db8:51::1:0"), 1, IPv6Address("fd00:20::11"))
    outside = replace(SNAPSHOT.externals[0], cidr6=IPv6Network("2001:db8:51::/64"))
    dual = replace(SNAPSHOT, externals=(outside,), routers=(replace(ROUTER, floating=(*ROUTER.floating, six)),))
    left = [encode_flow(flow) for flow in compile_host(dual, HV1_VIEW)]
    assert standing_of_flows(left)[ROUTER.zone, six.address] == six.fixed
    floats = Floats()
    floats.recover(left)
    ended = list(floats.ended(index_intent(SNAPSHOT), HV1))
    assert ended == [(ROUTER.zone, six.address, ORIGINAL), (ROUTER.zone, six.address, REPLY)]
    assert six.address.packed in flush_connections(ROUTER.zone, six.address, ORIGINAL, 2)
