"""What a probe is ordered with, and what a switch reports of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sdn.model.addresses import HostName, IfaceId


@dataclass(frozen=True, slots=True)
class ProbeOrder:
    """One packet to inject: `frame` holds `token` and enters `host`'s switch at `ofport`.

    With `ofport` None it is sent in the name of the port `stand_in`, which is plugged nowhere. Where it gets
    to `hand_over_at`, a host's ofport, it is given to the guest there.
    """

    token: bytes
    host: HostName
    ofport: int | None
    frame: bytes
    stand_in: IfaceId | None = None
    hand_over_at: tuple[HostName, int] | None = None


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """One switch's report: from which table and flow, with the registers then; it saw it `after_us` the sending ± `error_us`."""

    host: HostName
    table_id: int
    cookie: int
    in_port: int
    registers: Mapping[int, int]
    after_us: float
    error_us: float
    frame: bytes
    is_handed_over: bool = False
