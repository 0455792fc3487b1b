"""What to say of a real packet that left a switch by a tunnel and that no other switch reported: what carries it between the
hosts, which way, and what would mend it. What is in the way there (a firewall of a host, of the underlay, a link that is too narrow)
drops without a word, so it is told by what does get through.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sdn.model.trace import Hop, Trace
from sdn.trace.sizes import TUNNEL_OVERHEAD_BYTES

UDP_PORTS = {"vxlan": 4789, "geneve": 6081}
SMALL_BYTES = 84  # of IP: what passes wherever anything does
PING_HEADERS_BYTES = 28


@dataclass(frozen=True, slots=True)
class Carrier:
    """What a packet is carried by from one host to another."""

    kind: str
    near: str  # the hosts
    far: str
    source: str  # their underlay addresses
    target: str

    @property
    def udp_port(self) -> int:
        return UDP_PORTS[self.kind]


def carrier_of(predicted: Trace, host: str) -> Carrier | None:
    """The tunnel by which the packet was to leave the host; None where the prediction knows of none."""
    for number, hop in enumerate(predicted.hops):
        if hop.kind == "tunnel_encap" and hop.host == host:
            kind = next((one.split()[0] for one in hop.header_stack if one.split()[0] in UDP_PORTS), "")
            far = _host_after(predicted.hops[number + 1 :])
            source, target = (hop.header_after.get(field, "") for field in ("outer_src", "outer_dst"))
            return Carrier(kind, host, far, source, target) if kind and far and target else None
    return None


def lost_words(by: Carrier) -> tuple[str, str]:
    """The reason and the suggestion, where nothing is known but that it was lost."""
    port, listen = f"udp/{by.udp_port}", f"udp port {by.udp_port}"
    reason = f"It left {by.near} through the tunnel to {by.far} ({port} to {by.target}), and no switch reported it there: lost between the two hosts."
    return reason, (
        f"Have an operator let {port} through from {by.near} to {by.far}: the firewalls of both, and of the network between them. "
        f"On {by.far}, tcpdump -ni any {listen} tells whether it comes."
    )


def too_big_words(by: Carrier, size: int, small: int) -> tuple[str, str]:
    """The same where a small packet got through right after it: the link between the hosts is too narrow."""
    outer = size + TUNNEL_OVERHEAD_BYTES
    reason = (
        f"One of {size} bytes left {by.near} through the tunnel to {by.far}, {outer} with its headers, and never came; one of {small} bytes did: "
        "too big for the underlay between the two hosts."
    )
    return reason, (
        f"Have an operator raise the MTU between {by.near} and {by.far} to {outer}, or lower the network's. "
        f"On {by.near}, ping -M do -s {outer - PING_HEADERS_BYTES} {by.target} tells whether such a packet passes."
    )


def _host_after(hops: Sequence[Hop]) -> str:
    return next((hop.host for hop in hops if hop.kind == "tunnel_decap"), "")
