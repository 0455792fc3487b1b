"""Who watches a console and who writes: several viewers, one pen. Pure.

The pen is free until somebody who may write takes it: by typing, or by asking, which also takes it from another. It is free
again when its holder leaves or may write no more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(eq=False, slots=True)
class Seat:
    """One viewer."""

    who: str
    may_write: bool


@dataclass(slots=True)
class Pen:
    """The seats of one console, in the order they came, and the one that writes."""

    seats: list[Seat] = field(default_factory=list)
    holder: Seat | None = None

    def join(self, seat: Seat) -> None:
        """A seat; the first that may write has the pen."""
        self.seats.append(seat)
        if self.holder is None and seat.may_write:
            self.holder = seat

    def leave(self, seat: Seat) -> None:
        self.seats = [one for one in self.seats if one is not seat]
        if self.holder is seat:
            self.holder = None

    def take(self, seat: Seat) -> bool:
        """Whether the seat has the pen now."""
        if seat.may_write and seat in self.seats:
            self.holder = seat
        return self.holder is seat

    def may_type(self, seat: Seat) -> bool:
        """Whether what the seat types counts; typing takes a free pen."""
        return self.holder is seat or (self.holder is None and self.take(seat))

    def restrict(self, seat: Seat, may_write: bool) -> None:
        """The person's right changed."""
        seat.may_write = may_write
        if not may_write and self.holder is seat:
            self.holder = None

    def as_seen_by(self, seat: Seat) -> dict[str, Any]:
        """What the seat's page shows."""
        return {
            "mine": self.holder is seat,
            "may_write": seat.may_write,
            "writer": self.holder.who if self.holder else "",
            "people": [one.who for one in self.seats],
        }
