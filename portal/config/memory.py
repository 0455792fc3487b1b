"""What long processes of ours ask of Python's memory, and of the C library's."""

from __future__ import annotations

import ctypes
import gc

GC_THRESHOLDS = (20_000, 20, 100)  # 100,000s of objects live long: at the usual 700 a fifth of the work is collecting
# mallopt(3) of glibc. One arena, for work goes from thread to thread here: each arena keeps what its own threads freed, and
# together they held 75 MiB of nothing in a controller of 10,000 ports. A large block is the system's own and goes back to
# it at once; by default the bounds rise with the largest block that was ever freed. They are above what asyncio reads at
# once (256 KiB), which is thousands of times a second.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
MALLOC_SETTINGS = ((M_ARENA_MAX, 1), (M_MMAP_THRESHOLD, 512 * 1024), (M_TRIM_THRESHOLD, 2 * 1024 * 1024))


def collect_seldom() -> None:
    """Collect in larger steps, and never again what is there now: the modules, models and settings of a started process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def give_memory_back() -> None:
    """Let the C library keep little of what was freed; call it before threads start. Another one than glibc keeps its ways."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in MALLOC_SETTINGS:
            mallopt(option, value)
