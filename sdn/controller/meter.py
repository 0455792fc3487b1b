"""How much of each kind a port may ask in a second: what is more is dropped, so that no guest starves another."""

from __future__ import annotations

LIMITS_PER_S = {"dns": 200, "error": 50, "other": 50}  # "error": packets whose sender is told why they were dropped
MAX_PORTS = 100_000


class Meter:
    """Counts by (switch, port, kind) and second."""

    def __init__(self) -> None:
        self._used: dict[tuple[int, int, str], tuple[int, int]] = {}

    def may(self, dpid: int, in_port: int, kind: str, now_s: float) -> bool:
        """Count one more of `kind`; False when this second's are used up."""
        if len(self._used) > MAX_PORTS:
            self._used.clear()
        second, key = int(now_s), (dpid, in_port, kind)
        last, used = self._used.get(key, (second, 0))
        used = used + 1 if last == second else 1
        self._used[key] = (second, used)
        return used <= LIMITS_PER_S[kind]
