"""The way between a guest and br-int where a Linux bridge lies on it: its MAC table and the host's own netfilter decide too.

A bridge that was read may stop the packet, and then it ends there, in the rule's words. Of one that could not be read the hop is
drawn as inferred, and why is told once. Where a rule is one that nobody can evaluate here, the verdict is not known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sdn.linux.bridges import BridgeReading
from sdn.linux.frame import Frame
from sdn.linux.iptables import LEGACY
from sdn.linux.passage import Passage, Station, pass_bridge
from sdn.model.trace import Hop, Step
from sdn.trace import hops
from sdn.trace.conntrack import INVALID, NEW, ct_state
from sdn.trace.hops import NOT_READ, Bridged
from sdn.trace.journey import AnyHop, Journey, Leg
from sdn.trace.question import Endpoint

ARRIVED = ("delivered", "flooded", "to_controller")
EVIDENCE_CHARS = 20_000
STRANGE = "This is the host's own doing, not Hopsight's."


@dataclass(frozen=True, slots=True)
class Crossing:
    """How a packet crosses an endpoint's Linux bridge. `passage` None: there is none, or nothing of it was read."""

    endpoint: Endpoint
    hops: tuple[Hop, ...]  # the endpoint's, in the packet's order
    passage: Passage | None = None

    @property
    def is_stopped(self) -> bool:
        return self.passage is not None and self.passage.outcome == "dropped"

    def stopped(self) -> Leg:
        """The end of a packet that the bridge does not let past."""
        assert self.passage is not None and self.passage.decided is not None
        end, host = self.endpoint, self.endpoint.host
        at = next(number for number, hop in enumerate(self.hops) if hop.kind == "linux_bridge")
        reason = f"Dropped on {host} in the Linux bridge {end.chain.bridge}: {self.passage.words}. {STRANGE}"
        return Leg(
            "dropped", reason, [*self.hops[: at + 1]], cause=_step(self.passage.decided), where="dropped", host=host,
            suggestion=_suggestion(self.passage.decided, end),
        )  # fmt: skip

    def doubted(self, leg: Leg) -> Leg:
        """The leg, its verdict not known where it is not known whether the bridge lets the packet past."""
        if self.passage is None or self.passage.outcome != "undecided" or leg.verdict not in ARRIVED:
            return leg
        reason = f"Unknown past the Linux bridge {self.endpoint.chain.bridge} of {self.endpoint.host}: {self.passage.words}. If it does: {leg.reason}"
        return replace(leg, verdict="unknown", reason=reason)


def leave_guest(journey: Journey, endpoint: Endpoint, packet: Mapping[str, str]) -> Crossing:
    """From the guest's NIC to the switch."""
    bridged, passage = _cross(journey, endpoint, packet, is_arriving=False)
    return Crossing(endpoint, tuple(hops.leaving_hops(endpoint, packet, bridged)), passage)


def come_to_guest(journey: Journey, endpoint: Endpoint, packet: Mapping[str, str]) -> Crossing:
    """From the switch to the guest's NIC."""
    bridged, passage = _cross(journey, endpoint, packet, is_arriving=True)
    return Crossing(endpoint, tuple(hops.arriving_hops(endpoint, packet, bridged)), passage)


def _cross(journey: Journey, endpoint: Endpoint, packet: Mapping[str, str], *, is_arriving: bool) -> tuple[Bridged, Passage | None]:  # fmt: skip
    chain = endpoint.chain
    if endpoint.ofport is None or not chain.veth:
        return NOT_READ, None
    reading = journey.world.linux_bridge(endpoint.host, chain.bridge)
    if reading.facts is None:
        why = "; ".join(reading.problems) or "the host does not tell"
        journey.find(f"The Linux bridge {chain.bridge} of {endpoint.host} and that host's netfilter were not read ({why}): that it passes frames on is as it was set up, and nobody looked")  # fmt: skip
        return NOT_READ, None
    for problem in reading.problems:
        journey.find(f"Of {endpoint.host}, which has the Linux bridge {chain.bridge}: {problem}")
    tap = _tap_of(reading, endpoint)
    ends = (chain.veth, tap) if is_arriving else (tap, chain.veth)
    state, is_reply = _connection(journey, reading, packet)
    passage = pass_bridge(reading, Frame(packet, *ends, chain.bridge, state, is_reply))
    return _shown(reading, passage), passage


def _tap_of(reading: BridgeReading, endpoint: Endpoint) -> str:
    """The guest's tap: what was read at its start, or, where that is gone, the one other port of the bridge."""
    others = [name for name in reading.ports if name != endpoint.chain.veth]
    is_gone = endpoint.chain.tap not in reading.ports
    return others[0] if is_gone and len(others) == 1 else endpoint.chain.tap or "the guest's tap"


def _connection(journey: Journey, reading: BridgeReading, packet: Mapping[str, str]) -> tuple[str, bool]:
    """Its state in the host's own conntrack ("" where nobody can tell), and whether it goes back."""
    question = journey.question
    if question.direction == "return":
        return "established", True
    if question.moment != "as_is":
        return ("new" if question.moment == "first" else "established"), False
    if reading.conntrack is None:
        return "", False
    found = ct_state(reading.conntrack, packet, 0, any_source_port=not question.is_exact)
    if found == INVALID:
        return "invalid", False
    return ("new" if found == NEW else "established"), found.endswith("rpl")


def _shown(reading: BridgeReading, passage: Passage) -> Bridged:
    fdb = next((one for one in passage.stations if one.place == "fdb"), None)
    table = f"fdb: {fdb.done} ({fdb.note})" if fdb else "fdb: not asked"
    filters = [one for one in passage.stations if one.priority is not None]
    words = "netfilter was not read" if reading.ruleset is None else _filter_words(filters)
    return Bridged(
        f"{table}; {words}", ", ".join(reading.ports) or "none", tuple(_step(one) for one in passage.stations),
        reading.evidence[:EVIDENCE_CHARS],
    )  # fmt: skip


def _filter_words(filters: Sequence[Station]) -> str:
    if not filters:
        return "no netfilter chain sees it"
    worst = next((one for kind in ("dropped", "undecided") for one in filters if one.outcome == kind), None)
    if worst is not None:
        return f"netfilter: {worst.done} ({worst.place})"
    return f"netfilter: accepted by {len(filters)} chain{'s' * (len(filters) != 1)}"


def _step(station: Station) -> Step:
    return Step(None, station.place, station.priority, station.looked, station.done, None, None, station.note)


def _suggestion(station: Station, endpoint: Endpoint) -> str:
    """What an operator of the host can do; the place says what it was."""
    bridge, host = endpoint.chain.bridge, endpoint.host
    if f"({LEGACY})" in station.place:
        return f"Have an operator of {host} change that rule: {LEGACY} -L --line-numbers -v shows it with its number."
    if station.priority is not None:
        return f"Have an operator of {host} change that rule: nft -a list ruleset shows it with its handle."
    if station.place == "fdb":
        return (
            f"Have an operator of {host} look at bridge fdb show br {bridge}, and take the entry or the setting back."
        )
    return f"Have an operator of {host} look at ip -d link show master {bridge}, or stop and start {endpoint.name}: that cables it anew."


def with_crossing(before: Crossing, leg: Leg) -> Leg:
    """The leg after the way from the guest to the switch."""
    start: list[AnyHop] = [*before.hops]
    leg = before.doubted(leg)
    leg.hops = [*start, *leg.hops]
    return leg
