"""The table router: what stays on its network, and what goes where else."""

from __future__ import annotations

from collections.abc import Iterator

from sdn.compiler.build import flow, goto
from sdn.compiler.overlay import Overlay
from sdn.model.flow import Flow

EVERYBODY = ("255.255.255.255", "224.0.0.0/4")


def route_flows(overlay: Overlay) -> Iterator[Flow]:
    """A network's own subnets, and broadcast and multicast on it."""
    cause, mark = overlay.cause, overlay.mark
    here = (goto("router", "nat"),)
    for subnet in overlay.network.subnets:
        yield flow("router", 100, cause, {**mark, "ip": "", "nw_dst": str(subnet.cidr)}, here)
    for wide in EVERYBODY:
        yield flow("router", 90, cause, {**mark, "ip": "", "nw_dst": wide}, here)
