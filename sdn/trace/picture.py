"""A trace as a drawing: boxes and lines of text at their places, which SVG and PNG are made of alike.

The way goes from top to bottom, host by host, each device a row with its look-ups below it. Nothing here measures text:
a line is as wide as it may be, and cut with an ellipsis by the number of its characters.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from sdn.model.trace import Hop, Layer, Step, Trace, Verdict

WIDTH, PAD, LINE = 1000, 24, 18
SENTENCE_CHARS, DETAIL_CHARS, FLOW_CHARS, STEPS_SHOWN = 105, 62, 108, 40
INK, MUTED, GROUND, RULE = "#1b1f2a", "#5b6475", "#ffffff", "#d9dee7"
OF_VERDICT: dict[Verdict, str] = {
    "delivered": "#1f7a45", "dropped": "#b3261e", "flooded": "#8a5a00", "to_controller": "#2450c8", "unknown": "#5b6475",
}  # fmt: skip
OF_LAYER: dict[Layer, str] = {"guest": "#7a3fb0", "host": "#2450c8", "overlay": "#0b7285", "underlay": "#8a5a00"}


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle, `edge` is the colour of its line ("" for none)."""

    x: int
    y: int
    width: int
    height: int
    fill: str
    edge: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text; `y` is its base line."""

    x: int
    y: int
    text: str
    size: int = 13
    ink: str = INK
    is_bold: bool = False
    is_mono: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn, in the order in which it is."""

    width: int
    height: int
    title: str
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]


class _Sheet:
    """The paper while it is drawn on: `y` is how far down it goes."""

    def __init__(self) -> None:
        self.boxes: list[Box] = []
        self.lines: list[Line] = []
        self.y = PAD

    def write(self, text: str, x: int = PAD, *, size: int = 13, ink: str = INK, bold: bool = False, mono: bool = False) -> None:  # fmt: skip
        """A line of its own."""
        self.y += LINE if size < 16 else 26
        self.lines.append(Line(x, self.y - 4, text, size, ink, bold, mono))

    def beside(self, text: str, x: int, *, size: int = 12, ink: str = MUTED, mono: bool = False) -> None:
        """More on the line that was written last."""
        self.lines.append(Line(x, self.y - 4, text, size, ink, is_mono=mono))


def draw_trace(title: str, ways: tuple[tuple[str, Trace], ...], asked: str = "") -> Picture:
    """The drawing of the ways ("There", "Back") of one trace; `asked` is the question's line."""
    sheet = _Sheet()
    sheet.write(cut(title, 80), size=20, bold=True)
    for text in textwrap.wrap(asked, SENTENCE_CHARS):
        sheet.write(text, ink=MUTED)
    for words, trace in ways:
        sheet.y += 10
        _way(sheet, words, trace)
    if not ways:
        sheet.write("No answer yet.", ink=MUTED)
    return Picture(WIDTH, sheet.y + PAD, title, tuple(sheet.boxes), tuple(sheet.lines))


def _way(sheet: _Sheet, words: str, trace: Trace) -> None:
    colour, top = OF_VERDICT[trace.verdict], sheet.y
    for text in textwrap.wrap(f"{words}: {trace.reason}", SENTENCE_CHARS) or [words]:
        sheet.write(text, PAD + 14, size=14, ink=colour, bold=True)
    if trace.suggestion:
        for text in textwrap.wrap(trace.suggestion, SENTENCE_CHARS):
            sheet.write(text, PAD + 14)
    sheet.write(f"{trace.verdict.replace('_', ' ')}, {trace.kind}, {trace.started_at[:19].replace('T', ' ')} UTC", PAD + 14, size=12, ink=MUTED)  # fmt: skip
    sheet.boxes.append(Box(PAD, top + 4, 4, sheet.y - top - 4, colour))
    host: str | None = None
    for hop in trace.hops:
        if hop.host != host:
            host = hop.host
            sheet.y += 10
            sheet.write(host or "the wire", size=13, bold=True)
            sheet.boxes.append(Box(PAD, sheet.y + 2, WIDTH - 2 * PAD, 1, RULE))
            sheet.y += 6
        _hop(sheet, hop)


def _hop(sheet: _Sheet, hop: Hop) -> None:
    top = sheet.y
    sheet.y += 4
    sheet.write(cut(hop.object, 28), PAD + 16, bold=True)
    sheet.beside(cut(hop.detail, DETAIL_CHARS), PAD + 230)
    sheet.beside(cut(" / ".join(hop.header_stack), 40), PAD + 660, size=11, mono=True)
    for step in hop.steps[:STEPS_SHOWN]:
        _step(sheet, step)
    if len(hop.steps) > STEPS_SHOWN:
        sheet.write(f"{len(hop.steps) - STEPS_SHOWN} more look-ups", PAD + 16, size=12, ink=MUTED)
    sheet.y += 4
    sheet.boxes.append(Box(PAD, top + 2, WIDTH - 2 * PAD, sheet.y - top - 3, GROUND, RULE))
    sheet.boxes.append(Box(PAD, top + 2, 4, sheet.y - top - 3, OF_LAYER[hop.layer]))


def _step(sheet: _Sheet, step: Step) -> None:
    number = "" if step.table is None else str(step.table)
    why = step.intent.words if step.intent else step.note
    sheet.write(f"{number:>3} {cut(step.table_name, 18)}", PAD + 16, size=12, mono=True)
    sheet.beside(cut(why, 90), PAD + 230)
    sheet.write(cut(f"{step.match} → {step.actions}", FLOW_CHARS), PAD + 44, size=11, ink=MUTED, mono=True)


def cut(text: str, most: int) -> str:
    """The text with an ellipsis where it is longer."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
