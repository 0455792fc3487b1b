"""Allowed-address pairs: addresses that several ports may have, one at a time (VRRP and the like).

Nobody but the guests knows who has such an address now, so its ARP and ND pass between them as on a wire, and a frame to
a pair's own MAC goes to every port that may have it: to each through conntrack and its ingress rules.
"""

from __future__ import annotations

from collections.abc import Iterator

from sdn.compiler.build import drop, flow, goto, load
from sdn.compiler.overlay import Overlay
from sdn.compiler.port_security import NS
from sdn.compiler.provider import onto_wire
from sdn.compiler.tunnels import encapsulate
from sdn.model.flow import Flow
from sdn.model.intent import PortIntent
from sdn.pipeline import TABLE_BY_NAME, Register

INGRESS = f"resubmit(,{TABLE_BY_NAME['conntrack_ingress'].table_id})"
OUTPUT = f"resubmit(,{TABLE_BY_NAME['output'].table_id})"


def pair_flows(overlay: Overlay) -> Iterator[Flow]:
    """What a network's pairs need in the tables responders, router, conntrack_ingress and l2_lookup."""
    known = sorted({str(pair.cidr) for port in overlay.ports for pair in port.pairs})
    if not known:
        return
    cause, mark = overlay.cause, overlay.mark
    for cidr in known:
        for claim in _claims(cidr):
            yield flow("responders", 90, cause, {**mark, **claim}, (goto("responders", "router"),))
    yield flow("router", 90, cause, {**mark, "arp": ""}, (goto("router", "nat"),))
    yield flow("conntrack_ingress", 90, cause, {**mark, "arp": ""}, (goto("conntrack_ingress", "ingress_rules"),))
    yield flow("ingress_rules", 90, cause, {**mark, "arp": ""}, (goto("ingress_rules", "output"),))
    own = {port.mac for port in overlay.ports}
    for mac in sorted({pair.mac for port in overlay.ports for pair in port.pairs if pair.mac} - own):
        yield from _shared_mac(overlay, mac)


def _claims(cidr: str) -> tuple[dict[str, str], ...]:
    """Questions for the addresses, and answers of who has one. (NA need no flow: they are answered by nobody here.)"""
    target = cidr.removesuffix("/32").removesuffix("/128")
    if ":" in cidr:
        return ({"icmp6": "", "icmp_type": NS, "icmp_code": "0", "nd_target": target},)
    return ({"arp": "", "arp_op": "1", "arp_tpa": target}, {"arp": "", "arp_op": "2", "arp_spa": target})


def _shared_mac(overlay: Overlay, mac: str) -> Iterator[Flow]:
    to = {**overlay.mark, "dl_dst": mac}
    here: list[str] = []
    for port in overlay.local:
        if _may(port.intent, mac):
            here += [
                load(port.intent.id & 0xFFFFFFFF, Register.TARGET_PORT),
                load(port.ofport, Register.OUT),
                load(port.zone, Register.ZONE),
                INGRESS,
            ]
    away: list[str] = []
    if overlay.tunnel_ofport is not None:
        for host in sorted({host for port, host in overlay.remote if _may(port, mac)}, key=lambda host: host.id):
            away += [*encapsulate(overlay.network.vni, host, overlay.tunnel_ofport), OUTPUT]
        arrived = {**to, "in_port": str(overlay.tunnel_ofport)}
        if here:
            yield flow("l2_lookup", 99, overlay.cause, arrived, tuple(here))
    elif overlay.external_ofport is not None:
        came = {**to, "in_port": str(overlay.external_ofport)}
        yield flow("l2_lookup", 99, overlay.cause, came, tuple(here) or drop("l2_lookup", "unknown_mac"))
        away += [*onto_wire(overlay), OUTPUT]
    if here or away:
        yield flow("l2_lookup", 97, overlay.cause, to, (*here, *away))


def _may(port: PortIntent, mac: str) -> bool:
    return any(pair.mac == mac for pair in port.pairs)
