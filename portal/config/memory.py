"""What long processes of ours ask of Python's memory."""

from __future__ import annotations

import gc

GC_THRESHOLDS = (20_000, 20, 100)  # 100,000s of objects live long: at the usual 700 a fifth of the work is collecting


def collect_seldom() -> None:
    """Collect in larger steps, and never again what is there now: the modules, models and settings of a started process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
