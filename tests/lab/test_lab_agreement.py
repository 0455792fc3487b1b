"""Predicted is what happens: random packets in random worlds on two real hypervisors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.paths import HypervisorPaths
from tests.lab.agreement import Arena, measure

pytestmark = pytest.mark.lab
SEED, WORLDS, PACKETS = 4, 3, 30


@pytest.fixture
def arena(lab: tuple[HypervisorPaths, ...]) -> Iterator[Arena]:
    made = Arena(lab)
    try:
        yield made
    finally:
        made.close()


def test_random_packets_do_what_was_predicted_as_probes_and_for_real(arena: Arena) -> None:
    tally = measure(arena, SEED, WORLDS, PACKETS, 0.3)
    assert tally.probed >= WORLDS * PACKETS * 2 // 3 and tally.sent > 5
    assert {"delivered", "dropped"} <= tally.verdicts.keys()
    assert not tally.differences, "\n".join(tally.differences)
