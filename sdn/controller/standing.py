"""What floating addresses stand for on their gateway host, so that connections end when it is something else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import ip_address

from sdn.compiler import IntentIndex
from sdn.model.addresses import HostName
from sdn.model.cookie import CauseKind, parse_cookie
from sdn.model.intent import Address
from sdn.pipeline import TABLE_BY_NAME
from sdn.reconcile import WireFlow
from sdn.transport.ctflush import ORIGINAL, REPLY
from sdn.transport.flowtext import format_wire_flow

Standing = dict[tuple[int, Address], Address]  # router's zone, floating address → fixed
_ADDRESS = re.compile(r"\b(?:nw|ipv6)_dst=([\da-f:.]+)")
_STANDS_FOR = re.compile(r"\bct\([^)]*zone=(\d+)[^)]*nat\(dst=([\da-f:.]+)\)")


class Floats:
    """Of one host. A controller that starts anew reads from the switch's flows what stood: see `recover`."""

    def __init__(self) -> None:
        self._stood: Standing | None = None

    def recover(self, installed: Iterable[WireFlow]) -> None:
        """Learn what an earlier controller left, so that what changed since is known to have."""
        if self._stood is None:
            self._stood = standing_of_flows(installed)

    def ended(self, index: IntentIndex, host: HostName) -> Iterator[tuple[int, Address, int]]:
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


def standing_of_flows(installed: Iterable[WireFlow]) -> Standing:
    """What the flows of the table external_in that translate floating addresses say (see sdn.compiler.external)."""
    table, found = TABLE_BY_NAME["external_in"].table_id, {}
    for flow in installed:
        cause = parse_cookie(flow.cookie)
        if flow.table_id != table or cause is None or cause.kind is not CauseKind.FLOATING_ADDRESS:
            continue
        text = format_wire_flow(flow)
        address, stands = _ADDRESS.search(text), _STANDS_FOR.search(text)
        if address and stands:
            found[int(stands[1]), ip_address(address[1])] = ip_address(stands[2])
    return found
