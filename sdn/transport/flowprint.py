"""Flows in ovs-ofctl's words, whatever they use: what our own decoder has no word for, ovs-ofctl prints from its bytes.

One `ovs-ofctl ofp-print` serves a whole batch (about 10 ms), and what was once printed is remembered; flows that our
compiler makes never need it.
"""

from __future__ import annotations

import asyncio
import re
import struct
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sdn.model.flow import format_match
from sdn.reconcile import WireFlow
from sdn.transport.codec import header
from sdn.transport.flowtext import decode_flow, is_known

MOST_REMEMBERED = 50_000
PRINT_DEADLINE_S = 10.0
LARGEST_MESSAGE = 60_000
_LINE = re.compile(
    r"^ *(?:cookie=(?P<cookie>0x[0-9a-f]+), )?(?:duration=[\d.]+s, )?(?:table=(?P<table>[0-9]{1,20}), )?"
    r"(?:n_packets=(?P<packets>[0-9]{1,20}), n_bytes=(?P<bytes>[0-9]{1,20}), ?)?(?P<rest>.*?) ?actions=(?P<actions>.*)$"
)
_PRIORITY = re.compile(r"^priority=([0-9]{1,9})$")
_AGES = re.compile(r" ?(idle_timeout|hard_timeout|idle_age|hard_age|importance|send_flow_rem|reset_counts|check_overlap|no_(?:packet|byte)_counts)(=[0-9]{1,20})?,?")  # fmt: skip


@dataclass(frozen=True, slots=True)
class FlowWords:
    """A flow's match and actions as `ovs-ofctl --no-names dump-flows` prints them."""

    match: str
    actions: str


@dataclass(frozen=True, slots=True)
class PrintedFlow:
    """One line of `ovs-ofctl --no-names dump-flows`."""

    table_id: int
    priority: int
    words: FlowWords
    cookie: int
    packets: int
    bytes: int


def parse_flow_line(line: str) -> PrintedFlow | None:
    """The flow of one printed line; None for a heading or a line of another shape."""
    found = _LINE.match(line)
    if found is None:
        return None
    rest = _AGES.sub("", found["rest"]).strip().strip(",")
    first, _, match = rest.partition(",")
    priority = 32768
    if named := _PRIORITY.match(first):
        priority = int(named[1])
    else:
        match = rest
    words = FlowWords(match.strip(), found["actions"])
    numbers = (int(found[name] or 0) for name in ("packets", "bytes"))
    return PrintedFlow(int(found["table"] or 0), priority, words, int(found["cookie"] or "0", 16), *numbers)


class FlowPrinter:
    """Words of flows, remembering those that had to be asked for."""

    def __init__(self) -> None:
        self._asked: OrderedDict[tuple[bytes, bytes], FlowWords] = OrderedDict()

    async def words(self, flows: Sequence[WireFlow]) -> list[FlowWords]:
        """The words of each flow, in order. Where even ovs-ofctl has none, unknown parts are hex."""
        told: list[FlowWords | None] = []
        unknown: dict[tuple[bytes, bytes], WireFlow] = {}
        for flow in flows:
            known = self._own(flow)
            if known is None:
                unknown[flow.match, flow.instructions] = flow
            told.append(known)
        if unknown:
            self._remember(unknown, await _print(list(unknown.values())))
        return [words or self._asked[flow.match, flow.instructions] for flow, words in zip(flows, told, strict=True)]

    def _own(self, flow: WireFlow) -> FlowWords | None:
        asked = self._asked.get((flow.match, flow.instructions))
        if asked is not None:
            return asked
        decoded = decode_flow(flow)
        return _hex_words(flow) if is_known(decoded) else None

    def _remember(self, flows: Iterable[tuple[bytes, bytes]], words: Iterable[FlowWords]) -> None:
        while len(self._asked) > MOST_REMEMBERED:
            self._asked.popitem(last=False)
        self._asked.update(zip(flows, words, strict=True))


def _hex_words(flow: WireFlow) -> FlowWords:
    decoded = decode_flow(flow)
    return FlowWords(format_match(decoded.key.match), ",".join(decoded.actions) or "drop")


async def _print(flows: list[WireFlow]) -> list[FlowWords]:
    """As ovs-ofctl prints them, or with hex where it does not."""
    printed: list[FlowWords] = []
    for message, count in _messages(flows):
        lines = [line for line in (await _ofp_print(message)).splitlines() if "actions=" in line]
        parsed = [parse_flow_line(line) for line in lines]
        batch = flows[len(printed) : len(printed) + count]
        if len(parsed) == count and all(parsed):
            printed += [line.words for line in parsed if line]
        else:
            printed += [_hex_words(flow) for flow in batch]
    return printed


async def _ofp_print(message: bytes) -> str:
    try:
        process = await asyncio.create_subprocess_exec(
            "ovs-ofctl", "--no-names", "ofp-print", "-",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        async with asyncio.timeout(PRINT_DEADLINE_S):
            out, _ = await process.communicate(message.hex(" ").encode())
    except (OSError, TimeoutError):
        return ""
    return out.decode(errors="replace")


def _messages(flows: list[WireFlow]) -> Iterable[tuple[bytes, int]]:
    """OFPMP_FLOW replies (OpenFlow 1.4, 7.3.5.2) that hold the flows, and how many each holds."""
    entries: list[bytes] = []
    for flow in flows:
        entry = _entry(flow)
        if entries and sum(map(len, entries)) + len(entry) > LARGEST_MESSAGE:
            yield _reply(entries), len(entries)
            entries = []
        entries.append(entry)
    if entries:
        yield _reply(entries), len(entries)


def _reply(entries: list[bytes]) -> bytes:
    body = b"".join(entries)
    return header(19, 16 + len(body), 0) + struct.pack("!HHxxxx", 1, 0) + body


def _entry(flow: WireFlow) -> bytes:
    match_length = 4 + len(flow.match)
    match = struct.pack("!HH", 1, match_length) + flow.match + bytes(-match_length % 8)
    length = 48 + len(match) + len(flow.instructions)
    head = struct.pack("!HBxIIHHHHHxxQQQ", length, flow.table_id, 0, 0, flow.priority, 0, 0, 0, 0, flow.cookie, 0, 0)
    return head + match + flow.instructions
