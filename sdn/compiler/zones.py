"""Conntrack zones: one a port, so that a connection is judged on each of its two sides by that side's own state.

In one zone for both, the receiver's side of a connection on one host would be "established" by the sender's commit before
the ingress rules saw it.
"""

from __future__ import annotations

from collections.abc import Iterable

MAX_ZONE = 65535


def port_zones(port_ids: Iterable[int], taken: Iterable[int] = ()) -> dict[int, int]:
    """Port id → zone, 1 … 65535, for the ports that are plugged on one host; `taken` are zones in other use there.

    A zone is 1 + id % 65535, or the next free one, lower ids first: it changes only where ids 65535 apart meet on a host.
    """
    used = set(taken)
    zones: dict[int, int] = {}
    for port_id in sorted(set(port_ids)):
        if len(used) >= MAX_ZONE:
            raise ValueError(f"more than {MAX_ZONE} conntrack zones wanted on one host")
        zone = 1 + port_id % MAX_ZONE
        while zone in used:
            zone = zone % MAX_ZONE + 1
        used.add(zone)
        zones[port_id] = zone
    return zones
