"""Intent and a host's ofports become that host's flows: pure, deterministic, order-free.

Each module beside this one writes some tables of sdn.pipeline. Priorities: 110 exceptions, 100 the named case, 90 guards,
80 the wider case, 50 to 40 refusals with a reason of their own, 1 the default, 0 the miss.
"""

from __future__ import annotations

from collections.abc import Iterator

from sdn.compiler.build import drop, flow, goto, load
from sdn.compiler.external import external_flows, outsides
from sdn.compiler.nat import nat_flows
from sdn.compiler.neighbours import network_neighbours, port_neighbours, system_neighbours
from sdn.compiler.overlay import LocalPort, Overlay, overlays
from sdn.compiler.pairs import pair_flows
from sdn.compiler.port_security import port_security_flows, system_security_flows
from sdn.compiler.responders import network_answers, port_answers
from sdn.compiler.routing import own_network_flows, router_flows, routers_here
from sdn.compiler.rules import fixed_rule_flows, gateway_flows, group_flows, port_rule_flows
from sdn.compiler.system import system_flows
from sdn.compiler.tunnels import remote_flows, tunnel_flows
from sdn.model.cookie import Cause, CauseKind
from sdn.model.flow import Flow
from sdn.model.intent import HostView, IntentSnapshot
from sdn.pipeline import Register


def compile_host(snapshot: IntentSnapshot, view: HostView) -> tuple[Flow, ...]:
    """The flows that br-int of `view.host` should have, sorted; a network that no port here can reach has none."""
    flows: set[Flow] = {*system_flows(view.tunnel_ofport), *fixed_rule_flows()}
    flows.update(system_security_flows())
    flows.update(system_neighbours())
    seen = tuple(overlays(snapshot, view))
    for overlay in seen:
        flows.update(_reach_flows(overlay))
        if overlay.local:
            flows.update(_overlay_flows(overlay))
    flows.update(group_flows(snapshot, seen))
    here = frozenset(overlay.network.id for overlay in seen if overlay.local)
    routers = tuple(routers_here(snapshot, view, here))
    for routed in routers:
        flows.update(router_flows(routed))
        flows.update(nat_flows(routed, view.tunnel_ofport))
    for outside in outsides(routers):
        flows.update(external_flows(outside, view))
    return tuple(sorted(flows))


def _overlay_flows(overlay: Overlay) -> Iterator[Flow]:
    yield from network_answers(overlay)
    yield from network_neighbours(overlay)
    yield from pair_flows(overlay)
    yield from gateway_flows(overlay)
    yield from own_network_flows(overlay)
    yield from tunnel_flows(overlay)
    for port in overlay.local:
        yield from _plugged(port, overlay)
        yield from port_security_flows(port, overlay)
        yield from port_answers(port, overlay)
        yield from port_neighbours(port, overlay)
        yield from port_rule_flows(port)


def _reach_flows(overlay: Overlay) -> Iterator[Flow]:
    """The way to ports that are not here."""
    yield from remote_flows(overlay)
    for gone in overlay.absent:
        to = {**overlay.mark, "dl_dst": gone.mac}
        yield flow("l2_lookup", 98, Cause(CauseKind.PORT, gone.id), to, drop("l2_lookup", "port_down"))


def _plugged(port: LocalPort, overlay: Overlay) -> Iterator[Flow]:
    """Whose packets come in at the port, and the way to it."""
    cause, intent = port.cause, port.intent
    row_id = intent.id & 0xFFFFFFFF
    zone = load(port.zone, Register.ZONE)
    identify = (load(row_id, Register.SOURCE_PORT), load(overlay.network.vni, Register.VNI), zone)
    yield flow("classify", 100, cause, {"in_port": str(port.ofport)}, (*identify, goto("classify", "port_security")))
    deliver = (load(row_id, Register.TARGET_PORT), load(port.ofport, Register.OUT), zone)
    to = {**overlay.mark, "dl_dst": intent.mac}
    yield flow("l2_lookup", 100, cause, to, (*deliver, goto("l2_lookup", "conntrack_ingress")))
