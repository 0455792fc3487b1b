"""What floating addresses stand for on their gateway host, so that connections end when it is something else."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from sdn.compiler import IntentIndex
from sdn.model.addresses import HostName
from sdn.transport.ctflush import ORIGINAL, REPLY

Standing = dict[tuple[int, IPv4Address], IPv4Address]  # router's zone, floating address → fixed


class Floats:
    """Of one host. A controller that starts anew takes what it finds for what was: see `ended`."""

    def __init__(self) -> None:
        self._stood: Standing | None = None

    def ended(self, index: IntentIndex, host: HostName) -> Iterator[tuple[int, IPv4Address, int]]:
        """(zone, address, direction) of the connections to forget, now that the switch has the flows of the intent."""
        now = _standing(index, host)
        before, self._stood = self._stood, now
        for (zone, address), fixed in (before or {}).items():
            if now.get((zone, address)) != fixed:
                yield zone, address, ORIGINAL  # opened from outside
                yield zone, address, REPLY  # opened from inside, answered to the floating address


def _standing(index: IntentIndex, host: HostName) -> Standing:
    led = (index.routers[router_id] for router_id in index.led_by.get(host, ()))
    return {(router.zone, one.address): one.fixed for router in led for one in router.floating}
