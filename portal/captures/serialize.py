"""A capture as the API and its page read it."""

from __future__ import annotations

from typing import Any

from portal.captures.models import Capture


def capture_as_json(capture: Capture) -> dict[str, Any]:
    """Its state, its packets and which of them are the same one."""
    return {
        "uuid": capture.uuid, "trace": capture.trace.uuid, "state": capture.state, "why": capture.why, "filter": capture.filter_words,
        "points": [point["name"] for point in capture.points], "max_packets": capture.max_packets, "seconds": capture.seconds,
        "count": capture.count, "packets": capture.rows, "meetings": capture.meetings,
    }  # fmt: skip


def rows_with_meetings(capture: Capture) -> list[dict[str, Any]]:
    """The packet list, each with the number of the packet it is another sight of, and the microseconds since then."""
    after = {sight[0]: (one[0][0] + 1, sight[1]) for one in capture.meetings for sight in one[1:]}
    return [
        {**row, "number": number + 1, "same_as": after[number][0], "after_us": after[number][1]} if number in after
        else {**row, "number": number + 1}
        for number, row in enumerate(capture.rows)
    ]  # fmt: skip
