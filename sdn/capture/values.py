"""What a capture is ordered with, and what it catches."""

from __future__ import annotations

from dataclasses import dataclass

Fields = tuple[tuple[str, str], ...]  # a match in a flow's words, "" for a bare protocol


@dataclass(frozen=True, slots=True)
class CapturePoint:
    """One port of one host's br-int. `coming` and `going` are the matches of what to copy into, and out of, the switch.

    Each is a list, one flow for each: a point that several teams share (a tunnel, the cable to the outside) is held to the
    team's own packets by them.
    """

    name: str
    host: str
    ofport: int
    coming: tuple[Fields, ...]
    going: tuple[Fields, ...]
    opening: tuple[Fields, ...] = ()  # of what opens a connection, as its sender's side judges it
    port_id: int = 0  # the port's row, for `opening`


@dataclass(frozen=True, slots=True)
class CaptureOrder:
    """Ends by itself after `packets` or `seconds`, whichever is first."""

    number: int
    points: tuple[CapturePoint, ...]
    packets: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Captured:
    """One copy: at which point (by its place in the order), which way through the port, when by the controller's clock."""

    point: int
    is_out: bool
    at_s: float
    frame: bytes
