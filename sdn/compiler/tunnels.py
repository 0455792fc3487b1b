"""Between hosts: what comes out of the tunnel, what goes into it, and floods."""

from __future__ import annotations

from collections.abc import Iterator

from sdn.compiler.build import drop, flow, goto, load
from sdn.compiler.overlay import LocalPort, Overlay
from sdn.model.cookie import Cause, CauseKind
from sdn.model.flow import Flow
from sdn.model.intent import HostIntent, PortIntent
from sdn.pipeline import FLAG_PROBE, PROBE_VNI_BIT, TABLE_BY_NAME, Register

MULTICAST = "01:00:00:00:00:00/01:00:00:00:00:00"


def tunnel_flows(overlay: Overlay) -> Iterator[Flow]:
    """Floods, and the tunnel's way in and out."""
    mark, cause, vni = overlay.mark, overlay.cause, overlay.network.vni
    flood = [action for port in overlay.local for action in copy_to(port)]
    everywhere = list(flood)
    if overlay.tunnel_ofport is not None:
        tunnel = {"in_port": str(overlay.tunnel_ofport)}
        here = (load(vni, Register.VNI), goto("classify", "l2_lookup"))
        yield flow("classify", 100, cause, {**tunnel, "tun_id": f"{vni:#x}"}, here)
        probe = {**tunnel, "tun_id": f"{vni | PROBE_VNI_BIT:#x}"}
        yield flow("classify", 100, cause, probe, (load(FLAG_PROBE, Register.FLAGS), *here))
        yield flow("l2_lookup", 90, cause, {**mark, **tunnel}, drop("l2_lookup", "unknown_mac"))
        yield flow("l2_lookup", 95, cause, {**mark, **tunnel, "dl_dst": MULTICAST}, tuple(flood))
        for peer in overlay.peers:
            everywhere += encapsulate(vni, peer, overlay.tunnel_ofport)
            everywhere.append("resubmit(,70)")
    yield flow("l2_lookup", 80, cause, {**mark, "dl_dst": MULTICAST}, tuple(everywhere))


def copy_to(port: LocalPort) -> tuple[str, ...]:
    """A flood's copy for a port here, judged there like any other packet."""
    target = load(port.intent.id & 0xFFFFFFFF, Register.TARGET_PORT)
    judge = f"resubmit(,{TABLE_BY_NAME['conntrack_ingress'].table_id})"
    return target, load(port.ofport, Register.OUT), load(port.zone, Register.ZONE), judge


def remote_flows(port: PortIntent, host: HostIntent, overlay: Overlay) -> Iterator[Flow]:
    """The way to a port on another host; a network that is only reached by a router has these alone."""
    if overlay.tunnel_ofport is not None:
        to = {**overlay.mark, "dl_dst": port.mac}
        away = (*encapsulate(overlay.network.vni, host, overlay.tunnel_ofport), goto("l2_lookup", "output"))
        yield flow("l2_lookup", 80, Cause(CauseKind.PORT, port.id), to, away)


def encapsulate(vni: int, host: HostIntent, tunnel_ofport: int) -> list[str]:
    """The actions that send a packet to the host through the tunnel, but for the step to the table output."""
    return [f"set_field:{vni:#x}->tun_id", f"set_field:{host.underlay_ip}->tun_dst", load(tunnel_ofport, Register.OUT)]
