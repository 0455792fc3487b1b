"""The message that ends connections is byte for byte what `ovs-ofctl ct-flush` sends, and says what ended."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from sdn.compiler import index_intent
from sdn.controller.standing import Floats
from sdn.transport.ctflush import ORIGINAL, REPLY, flush_connections
from tests.sdn.routed import FLOATING, HV1, ROUTER, SNAPSHOT
from tests.sdn.world import HV2

# OVS 3.1: ovs-ofctl -O OpenFlow14 ct-flush SWITCH zone=60001 ct_nw_dst=198.51.100.20, and the same as the reply's tuple
SENT = {
    ORIGINAL: "05040040000000020000232000000020000000000000000000000020000000000001001400000000000000000000ffffc63364140000000000020008ea610000",
    REPLY: "05040040000000020000232000000020000000000000000000010020000000000001001400000000000000000000ffffc63364140000000000020008ea610000",
}  # fmt: skip


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
