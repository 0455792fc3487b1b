"""The suite's own ground: what the other tests take for granted of their runner."""

from __future__ import annotations

import pytest


@pytest.mark.xdist_group("suite")
def test_tests_of_one_group_run_on_one_worker(request: pytest.FixtureRequest) -> None:
    """Labs and products are shared by group: were it ignored, two of them would fight for one port."""
    if request.config.getoption("loadgroup", False):
        assert request.node.nodeid.endswith("@suite")
