"""The table router: what stays on its network, and what goes where else."""

from __future__ import annotations

from collections.abc import Iterator

from sdn.compiler.build import flow, goto
from sdn.compiler.overlay import Overlay
from sdn.model.flow import Flow

# Broadcast, multicast, and IPv6's link-local addresses: never routed.
ON_THE_LINK = (
    {"ip": "", "nw_dst": "255.255.255.255"},
    {"ip": "", "nw_dst": "224.0.0.0/4"},
    {"ipv6": "", "ipv6_dst": "ff00::/8"},
    {"ipv6": "", "ipv6_dst": "fe80::/10"},
)


def route_flows(overlay: Overlay) -> Iterator[Flow]:
    """A network's own subnets, and broadcast and multicast on it."""
    cause, mark = overlay.cause, overlay.mark
    here = (goto("router", "nat"),)
    for subnet in overlay.network.subnets:
        six, cidr = subnet.cidr.version == 6, str(subnet.cidr)
        to = {"ipv6": "", "ipv6_dst": cidr} if six else {"ip": "", "nw_dst": cidr}
        yield flow("router", 100, cause, {**mark, **to}, here)
    for wide in ON_THE_LINK:
        yield flow("router", 90, cause, {**mark, **wide}, here)
