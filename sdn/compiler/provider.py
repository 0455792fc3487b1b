"""Provider networks: a VLAN, or the untagged segment, behind `br-ex` of every host. No tunnel carries them.

A frame for a port of another host goes out by the cable and comes in there, as it does for machines that are none of
ours. What came in by the cable never goes out by it again. Ports of ours are answered for on the spot, as on an overlay;
ARP and neighbour discovery for anybody else pass, for whoever has the address is outside. So does a port's own
announcement, and a router advertisement from outside, which no guest may send.

The untagged segment is the hosts' own too, where their tunnels end: a guest's packet to a host's underlay address is
dropped, or it could make up a packet of any overlay network.
"""

from __future__ import annotations

from collections.abc import Iterator

from sdn.compiler.build import drop, flow, goto, load, to_prefix
from sdn.compiler.overlay import Overlay
from sdn.compiler.port_security import NS
from sdn.compiler.segments import TAGGED, from_segment, vlan_tag
from sdn.compiler.tunnels import MULTICAST, copy_to
from sdn.model.cookie import Cause, CauseKind
from sdn.model.flow import Flow
from sdn.model.intent import PortIntent
from sdn.pipeline import TABLE_BY_NAME, Register

ROUTER_ADVERTISEMENT = "134"
OUTPUT = f"resubmit(,{TABLE_BY_NAME['output'].table_id})"


def provider_flows(overlay: Overlay) -> Iterator[Flow]:
    """What a provider network has in place of tunnels."""
    yield from _from_wire(overlay)
    yield from _to_wire(overlay)
    yield from _neighbours(overlay)
    tagged = {**overlay.mark, "vlan_tci": TAGGED}  # or it would come out in a VLAN of the guest's choice
    yield flow("router", 130, overlay.cause, tagged, drop("router", "tagged"))
    if overlay.network.kind == "flat":
        for host in overlay.hosts:
            to = {**overlay.mark, **to_prefix(host.underlay_ip)}
            yield flow("router", 120, overlay.cause, to, drop("router", "hosts_own"))


def onto_segment(port: PortIntent, overlay: Overlay) -> Iterator[Flow]:
    """The way to a port that is on another host."""
    to = {**overlay.mark, "dl_dst": port.mac}
    yield flow("l2_lookup", 80, Cause(CauseKind.PORT, port.id), to, _away(overlay))


def onto_wire(overlay: Overlay) -> tuple[str, ...]:
    """The actions that tag a packet for the cable, but for the step to the table output; none without a cable."""
    if overlay.external_ofport is None:
        return ()
    return (*vlan_tag(overlay.network.vid), load(overlay.external_ofport, Register.OUT))


def _away(overlay: Overlay) -> tuple[str, ...]:
    tagged = onto_wire(overlay)
    return (*tagged, goto("l2_lookup", "output")) if tagged else drop("l2_lookup", "external_down")


def _from_wire(overlay: Overlay) -> Iterator[Flow]:
    if overlay.external_ofport is None:
        return
    mark, cause, network = overlay.mark, overlay.cause, overlay.network
    match, strip = from_segment(overlay.external_ofport, network.vid)
    yield flow("classify", 100, cause, match, (*strip, load(network.vni, Register.VNI), goto("classify", "l2_lookup")))
    came = {**mark, "in_port": str(overlay.external_ofport)}
    flood = tuple(action for port in overlay.local for action in copy_to(port))
    yield flow("l2_lookup", 95, cause, {**came, "dl_dst": MULTICAST}, flood)
    yield flow("l2_lookup", 90, cause, came, drop("l2_lookup", "unknown_mac"))


def _to_wire(overlay: Overlay) -> Iterator[Flow]:
    mark, cause = overlay.mark, overlay.cause
    tagged = onto_wire(overlay)
    flood = tuple(action for port in overlay.local for action in copy_to(port))
    outside = (*tagged, OUTPUT) if tagged else ()  # last: the tag stays on
    yield flow("l2_lookup", 80, cause, {**mark, "dl_dst": MULTICAST}, (*flood, *outside))
    yield flow("l2_lookup", 70, cause, mark, _away(overlay))


def _neighbours(overlay: Overlay) -> Iterator[Flow]:
    mark, cause = overlay.mark, overlay.cause
    yield flow("responders", 90, cause, {**mark, "arp": ""}, (goto("responders", "router"),))
    asks = {**mark, "icmp6": "", "icmp_type": NS, "icmp_code": "0"}
    yield flow("responders", 90, cause, asks, (goto("responders", "router"),))
    yield flow("router", 80, cause, mark, (goto("router", "l2_lookup"),))
    for table, onward in (("conntrack_ingress", "ingress_rules"), ("ingress_rules", "output")):
        yield flow(table, 90, cause, {**mark, "arp": ""}, (goto(table, onward),))
    told = {**mark, "icmp6": "", "icmp_type": ROUTER_ADVERTISEMENT}
    yield flow("conntrack_ingress", 115, cause, told, (goto("conntrack_ingress", "output"),))
