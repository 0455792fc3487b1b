"""Connection tracking on both sides, and who may talk to whom."""

from __future__ import annotations

from collections.abc import Iterator

from sdn.compiler.build import flow, goto
from sdn.compiler.overlay import Overlay
from sdn.model.flow import Flow


def rule_flows(overlay: Overlay) -> Iterator[Flow]:
    """A network's conntrack look-ups, and what a new connection may do."""
    cause, mark, zone = overlay.cause, overlay.mark, overlay.network.zone
    for family in ("ip", "ipv6"):
        yield flow("conntrack_egress", 100, cause, {**mark, family: ""}, (f"ct(table=25,zone={zone})",))
        yield flow("conntrack_ingress", 100, cause, {**mark, family: ""}, (f"ct(table=65,zone={zone})",))
        for here, there in (("egress_rules", "responders"), ("ingress_rules", "output")):
            new = {**mark, family: "", "ct_state": "+new-inv+trk"}
            yield flow(here, 80, cause, new, (f"ct(commit,zone={zone})", goto(here, there)))
