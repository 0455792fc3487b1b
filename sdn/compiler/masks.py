"""Ranges of port numbers as masked values, which is all that a flow can match."""

from __future__ import annotations

from collections.abc import Iterator

WIDTH = 16
FULL = (1 << WIDTH) - 1


def mask_blocks(first: int, last: int) -> Iterator[tuple[int, int]]:
    """The fewest (value, mask) pairs that together match `first` … `last`, both included, and nothing else; ascending.

    Each step takes the largest power of two that the start is a multiple of and the rest has room for: at most 30 pairs.
    """
    while first <= last:
        size = first & -first or 1 << WIDTH
        while size > last - first + 1:
            size >>= 1
        yield first, FULL & ~(size - 1)
        first += size
