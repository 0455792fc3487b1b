"""What long processes of ours ask of Python itself."""

from __future__ import annotations

from portal.config.memory import collect_seldom, give_memory_back
from portal.config.turns import hand_over_soon


def settle_process() -> None:
    """Python's own settings, for a process with many long-lived objects and threads beside its loop."""
    give_memory_back()
    collect_seldom()
    hand_over_soon()
