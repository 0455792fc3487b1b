"""A real Open vSwitch for every test that wants one: unprivileged, dummy devices, 0.1 s."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sdn.compiler import compile_host
from sdn.model.flow import format_flow
from sdn.shadow import Shadow, ShadowBridge, ShadowPort
from tests.sdn.switch import Switch
from tests.sdn.world import DANA, SNAPSHOT, TUNNEL, VIEW, WEB_1, WEB_2


@pytest.fixture
def dummy_ovs() -> Iterator[Switch]:
    """A switch without a bridge."""
    with Shadow() as shadow:
        yield Switch(shadow)


@pytest.fixture(scope="module")
def hv1() -> Iterator[Switch]:
    """br-int of hv1 with the flows of the tests' world."""
    with Shadow() as shadow:
        ports = tuple(ShadowPort(f"p{number}", number) for number in (TUNNEL, WEB_1, WEB_2, DANA))
        lines = "\n".join(format_flow(flow) for flow in compile_host(SNAPSHOT, VIEW))
        shadow.load([ShadowBridge("br-int", ports, lines)])
        yield Switch(shadow)
