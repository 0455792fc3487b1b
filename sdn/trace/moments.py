"""How long a probe took from place to place, where each moment is known only between two bounds.

A report's arrival is the latest that its switch can have seen the packet; the earliest is that less the report's own way
to us, which is taken to be at most a round trip of its channel. Two reports come over two sockets, and the later one may
be read first: then the order of the places, which is certain, says more than the order of the reports. So no time between
two places is ever negative or cut to zero: it is a range, told as its middle and what it may be off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Moment:
    """Something happened in [earliest_us, latest_us] after the probe was sent."""

    earliest_us: float
    latest_us: float


@dataclass(frozen=True, slots=True)
class Took:
    """A duration: `us` ± `error_us`; both are above 0, and `error_us` is never more than `us`."""

    us: float
    error_us: float


def durations(moments: Sequence[Moment]) -> tuple[Took, ...]:
    """From each moment to the next, for moments that happened in this order: one fewer than given."""
    ordered = _in_order(moments)
    found = []
    for before, after in pairwise(ordered):
        least, most = max(0.0, after.earliest_us - before.latest_us), after.latest_us - before.earliest_us
        found.append(Took((least + most) / 2, (most - least) / 2))
    return tuple(found)


def _in_order(moments: Sequence[Moment]) -> list[Moment]:
    """The same moments with bounds that the order allows: none is later than the next, none earlier than the one before."""
    latest: list[float] = []
    for moment in reversed(moments):
        latest.append(min(moment.latest_us, latest[-1]) if latest else moment.latest_us)
    found: list[Moment] = []
    for moment, no_later in zip(moments, reversed(latest), strict=True):
        before = found[-1].earliest_us if found else 0.0
        # a report that was longer on its way than the round trip measured: all that is sure is the order
        earliest = moment.earliest_us if moment.earliest_us < no_later else before
        found.append(Moment(max(before, earliest), no_later))
    return found
