"""`check_pkt_larger` in the text of `ofproto/trace`: OVS tells of both ways, for it is not told how large the packet is.

After the action come the rest of the look-up's actions with all that they lead to, for the larger packet; then, from the
same actions on once more, all that the smaller one does, up to the text's end. So one of the two is taken out.
"""

from __future__ import annotations

import re

from sdn.trace.fields import ETHERNET_BYTES
from sdn.trace.parser import Event, Pass

_CHECK = re.compile(r"^check_pkt_larger\(([0-9]{1,20})\)->")


def keep_true_branches(passes: list[Pass], ip_bytes: int) -> list[Pass]:
    """The passes with what an IP packet of that size meets."""
    frame = ip_bytes + ETHERNET_BYTES
    for number, one in enumerate(passes):
        while (cut := _cut(one.events, frame)) is not None:
            first, last, is_larger = cut
            gone, one.events = one.events[first:last], one.events[:first] + one.events[last:]
            for event in gone:
                if event.kind == "action" and event.lookup is not None:
                    event.lookup.actions.remove(event.text)
            if is_larger:
                return passes[: number + 1]  # connection tracking comes after, for the smaller packet alone
    return passes


def _cut(events: list[Event], frame: int) -> tuple[int, int, bool] | None:
    """What of the events is untrue: from, to, and whether the packet is larger; None where all is settled."""
    for at, event in enumerate(events):
        found = _CHECK.match(event.text) if event.kind == "action" else None
        if found is None:
            continue
        smaller = _smaller(events, at)
        if smaller is None:
            continue  # one way was cut out before
        is_larger = frame > int(found[1])
        return (smaller, len(events), True) if is_larger else (at + 1, smaller, False)
    return None


def _smaller(events: list[Event], at: int) -> int | None:
    """Where the smaller packet's actions begin: where the first one after the check comes again at the same depth."""
    depth, lookup = events[at].depth, events[at].lookup
    own = [number for number in range(at + 1, len(events)) if events[number].lookup is lookup and events[number].depth == depth and events[number].kind == "action"]  # fmt: skip
    if not own:
        return None
    again = [number for number in own[1:] if events[number].text == events[own[0]].text]
    return again[0] if again else None
