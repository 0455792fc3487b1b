"""A probe's reports as a trace, laid over the predicted one so that the two can be compared place by place.

What a switch reported is measured; what lies between two reports, and what no probe goes through (the guest's own NIC
and its back end), is inferred and said to be. The first place where the two part is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sdn.model.trace import Hop, Step, Trace, Verdict
from sdn.pipeline import DROP_REASON_BY_CODE, TABLE_BY_ID
from sdn.trace.lost import SMALL_BYTES, carrier_of, lost_words, too_big_words
from sdn.trace.moments import Moment, durations

# "answer": made by the switch, back to the sender; "back": it would leave by the port that it came in by, and does not
End = Literal["tunnel", "port", "drop", "controller", "answer", "back"]
GOES_BACK = "it would go back out of the port that it came in by"
GUEST_SIDE = ("guest_nic", "backend")
NOT_PROBED = (*GUEST_SIDE, "linux_bridge")
PLUGS = ("tap", "veth")
WHERE_IT_ENDS = ("linux_bridge", *PLUGS)  # beside the switch, where no probe goes


@dataclass(frozen=True, slots=True)
class Sighting:
    """One switch's report of a probe: it saw it `at_us` ± `error_us` after the injection."""

    host: str
    end: End
    at_us: float
    error_us: float
    table_id: int
    ofport: int = 0  # where it would have left, for "port" and "tunnel"
    port_name: str = ""
    drop_reason: int = 0
    drop_table: int = 0
    is_handed_over: bool = False

    @property
    def moment(self) -> Moment:
        """When the switch had the packet."""
        return Moment(self.at_us - self.error_us, self.at_us + self.error_us)


@dataclass(frozen=True, slots=True)
class Divergence:
    """Where predicted and probed part: the number of hops before it, and the difference in words."""

    hop: int
    words: str


def probed_trace(predicted: Trace, sightings: Sequence[Sighting]) -> Trace:
    """The trace of what was seen; hops are the predicted ones as far as the reports bear them out."""
    left = list(sightings)
    hops: list[Hop] = []
    path: list[tuple[int, Sighting]] = []  # the place among the hops, and its report
    outside = False  # past the cable to a bridge that is not ours: a probe is not let out there
    for number, hop in enumerate(predicted.hops):
        outside = outside or hop.kind == "patch"
        if outside:
            hops.append(replace(hop, measured=False, latency_us=None))
        elif hop.kind == "bridge":
            seen = _report_of(hop, left, predicted)
            if seen is None:
                break
            left.remove(seen)
            path.append((len(hops), seen))
            hops.append(_reported(hop, seen))
            if not _agrees(hop, seen, predicted):
                break
        else:
            is_at_switch = [one.kind for one in predicted.hops[number + 1 : number + 2]] in (["bridge"], ["ovs_port"])
            hops.append(_between(hop, hops, is_at_switch))
    _time(hops, path)
    foreseen = {branch.host for branch in predicted.branches}  # copies that the hops do not follow
    hops += [_unforeseen(one) for one in left if one.host not in foreseen]
    verdict, reason = _verdict(sightings)
    if _is_past_the_switch(predicted, hops) and verdict == "delivered":
        verdict = predicted.verdict  # a probe is not handed on: nobody looked there
        if any(hop.kind == "linux_bridge" for hop in _behind_the_switch(hops)):
            last = sightings[-1]
            reason = f"A real packet got to {last.port_name} on {last.host} in {last.at_us / 1000:.1f} ms, and was not handed on to the Linux bridge."
    elif outside and verdict == "delivered":
        last, verdict = sightings[-1], predicted.verdict  # what is past the cable is as it was foreseen: nobody looked
        reason = f"A real packet got to the cable out of {last.host} in {last.at_us / 1000:.1f} ms; it was not let out."
    return replace(predicted, kind="probed", hops=tuple(hops), verdict=verdict, reason=reason)


def is_lost(sightings: Sequence[Sighting]) -> bool:
    """Did it leave a switch by a tunnel, and come out nowhere?"""
    return bool(sightings) and all(one.end == "tunnel" for one in sightings)


def told_lost(probed: Trace, predicted: Trace, last: Sighting, size: int, small: Sequence[Sighting]) -> Trace:
    """The trace of a packet of so many bytes that is lost, with words for where and for what to do. `small`: what was seen of a
    small one that was sent after it."""
    by = carrier_of(predicted, last.host)
    if by is None:
        return probed
    is_narrow = any(one.host == by.far for one in small)
    reason, suggestion = too_big_words(by, size, SMALL_BYTES) if is_narrow else lost_words(by)
    return replace(probed, reason=reason, suggestion=suggestion)


def told_narrow(probed: Trace, predicted: Trace, left: Sighting, largest: int, size: int) -> Trace:
    """The trace of a packet of so many bytes that arrived, where the largest that its guest may send was lost right after it."""
    by = carrier_of(predicted, left.host)
    if by is None:
        return probed
    reason, suggestion = too_big_words(by, largest, size)
    return replace(probed, findings=(*probed.findings, reason), suggestion=suggestion)


def end_of(sightings: Sequence[Sighting]) -> tuple[Verdict, str]:
    """What became of the packet, by its reports alone, in a sentence."""
    return _verdict(sightings)


def ends_before_the_switch(predicted: Trace) -> bool:
    """Does the packet end at the tap, or in a Linux bridge, between its sender and the switch, where a probe begins?"""
    kinds = [hop.kind for hop in predicted.hops]
    return predicted.verdict == "dropped" and bool(kinds) and kinds[-1] in WHERE_IT_ENDS and "bridge" not in kinds


def first_divergence(predicted: Trace, probed: Trace) -> Divergence | None:
    """None where a real packet did what was predicted."""
    if predicted.verdict == probed.verdict and len(predicted.hops) == len(probed.hops):
        return None
    same = 0
    for before, after in zip(predicted.hops, probed.hops, strict=False):
        if (before.kind, before.host, before.object) != (after.kind, after.host, after.object):
            break
        same += 1
    if predicted.verdict != probed.verdict or same == len(predicted.hops):
        return Divergence(same, f"Predicted: {predicted.reason} A real packet: {probed.reason}")
    silent = predicted.hops[same]
    return Divergence(
        same, f"{probed.reason} {silent.object} of {silent.host}, which it was to pass, did not report it."
    )


def _is_past_the_switch(predicted: Trace, hops: Sequence[Hop]) -> bool:
    """Is the place that decides a Linux bridge, or a tap that passes nothing, behind the last switch, where no probe comes?"""
    if len(hops) != len(predicted.hops) or predicted.verdict == "delivered":
        return False
    behind = _behind_the_switch(hops)
    is_at_tap = predicted.verdict == "dropped" and bool(behind) and behind[-1].kind in PLUGS
    return is_at_tap or any(hop.kind == "linux_bridge" for hop in behind)


def _behind_the_switch(hops: Sequence[Hop]) -> Sequence[Hop]:
    bridges = [number for number, hop in enumerate(hops) if hop.kind == "bridge"]
    return hops[bridges[-1] + 1 :] if bridges else ()


def _report_of(hop: Hop, left: Sequence[Sighting], predicted: Trace) -> Sighting | None:
    """The bridge's report of the copy that the hops follow, where it made several; else its first one."""
    here = [one for one in left if one.host == hop.host]
    return next((one for one in here if _agrees(hop, one, predicted)), here[0] if here else None)


def _time(hops: list[Hop], path: Sequence[tuple[int, Sighting]]) -> None:
    """Write to each reported hop how long the packet took to it; the order to inject it took a way like the first report's."""
    if not path:
        return
    sent = Moment(0.0, 2 * path[0][1].error_us)
    for (place, _), took in zip(path, durations((sent, *(seen.moment for _, seen in path))), strict=True):
        hops[place] = replace(hops[place], latency_us=took.us, latency_error_us=took.error_us)


def _reported(hop: Hop, seen: Sighting) -> Hop:
    steps = hop.steps
    if seen.end == "drop":
        passed = [number for number, step in enumerate(steps) if step.table == seen.drop_table]
        steps = steps[: passed[-1] + 1] if passed else steps[:0]
        steps = (*steps, _drop_step(seen))
    detail = f"seen {seen.at_us / 1000:.2f} ms after it was sent, ± {seen.error_us / 1000:.2f} ms"
    return replace(hop, steps=steps, detail=detail, measured=True)


def _between(hop: Hop, before: list[Hop], is_at_switch: bool) -> Hop:
    """A hop that reports nothing itself: seen when the bridge before it let the packet out, or the probe began there."""
    began = hop.kind in PLUGS and is_at_switch
    is_seen = hop.kind not in NOT_PROBED and (began or any(one.kind == "bridge" for one in before))
    return replace(hop, measured=is_seen, latency_us=None)


def _agrees(hop: Hop, seen: Sighting, predicted: Trace) -> bool:
    """Whether the packet left the bridge as predicted, so that the hops after it hold."""
    after = predicted.hops[predicted.hops.index(hop) + 1 :]
    if not after:
        return seen.end in ("drop", "controller", "back")
    if after[0].kind == "tunnel_encap":
        return seen.end == "tunnel"
    return seen.end in ("port", "answer")


def _unforeseen(seen: Sighting) -> Hop:
    steps = (_drop_step(seen),) if seen.end == "drop" else ()
    detail = f"seen {seen.at_us / 1000:.2f} ms after it was sent, ± {seen.error_us / 1000:.2f} ms"
    return Hop("bridge", "host", seen.host, "br-int", detail, steps=steps)


def _drop_step(seen: Sighting) -> Step:
    reason = DROP_REASON_BY_CODE.get(seen.drop_reason)
    table = TABLE_BY_ID[seen.table_id]
    words = reason.words if reason else "dropped"
    return Step(table.table_id, table.name, None, f"reg4={seen.drop_reason:#x}", "drop", None, None, words)


def _verdict(sightings: Sequence[Sighting]) -> tuple[Verdict, str]:
    ends = [one for one in sightings if one.end != "tunnel"]
    delivered = [one for one in ends if one.end == "port"]
    if len(delivered) > 1:
        names = ", ".join(f"{one.port_name} on {one.host}" for one in delivered)
        return "flooded", f"Copies of it arrived at {len(delivered)} ports: {names}."
    if delivered:
        one = delivered[0]
        took, given = f"{one.at_us / 1000:.1f} ms", "given" if one.is_handed_over else "not given"
        return (
            "delivered",
            f"A real packet got to {one.port_name} on {one.host} in {took}; it was {given} to the guest.",
        )
    for one in ends:
        if one.end == "answer":
            took = f"{one.at_us / 1000:.1f} ms"
            return (
                "delivered",
                f"The switch of {one.host} answered a real packet itself in {took}; the guest was not told.",
            )
        if one.end == "back":
            return "dropped", f"A real packet was dropped {_where(one.table_id, one.host)}: {GOES_BACK}."
        if one.end == "drop":
            return "dropped", _drop_words(one)
        return "to_controller", f"The switch of {one.host} handed it to the controller, which answers it."
    if sightings:
        last = sightings[-1]
        return (
            "unknown",
            f"It left {last.host} through the tunnel, and no other switch reported it: lost on the underlay.",
        )
    return "unknown", "No switch reported it: it was lost before its first output, or a foreign flow took it."


def _drop_words(seen: Sighting) -> str:
    reason = DROP_REASON_BY_CODE.get(seen.drop_reason)
    where = _where(seen.drop_table, seen.host)
    return f"A real packet was dropped {where}: {reason.words if reason else 'no reason was given'}."


def _where(table_id: int, host: str) -> str:
    table = TABLE_BY_ID.get(table_id)
    return f"in table {table.table_id} ({table.name}) of {host}" if table else f"on {host}"
