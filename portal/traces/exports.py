"""A trace as a file: a table of forms, each of the row as it is stored, which is what its team may see."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from django.utils.translation import gettext_noop as _

from portal.traces.markdown import format_markdown
from portal.traces.models import TraceRequest
from portal.traces.pictures import format_png, format_svg
from portal.traces.presentation import asked_line, question_json, read_trace
from sdn.model.trace import Trace
from sdn.trace.picture import Picture, draw_trace
from sdn.trace.text import format_trace


@dataclass(frozen=True, slots=True)
class Export:
    """One form: its name on the page, its media type, and how it is made."""

    label: str
    media_type: str
    make: Callable[[TraceRequest], str | bytes]


def _ways(row: TraceRequest) -> tuple[tuple[str, Trace], ...]:
    both = (("There", read_trace(row.result)), ("Back", read_trace(row.reply)))
    return tuple((words, trace) for words, trace in both if trace is not None)


def _json(row: TraceRequest) -> str:
    return json.dumps(
        {
            "title": row.title,
            "question": question_json(row),
            "forward": row.result,
            "return": row.reply,
            "probe": row.probe,
        },
        indent=2,
    )


def _markdown(row: TraceRequest) -> str:
    return format_markdown(row.title, read_trace(row.result), read_trace(row.reply), asked_line(row))


def _text(row: TraceRequest) -> str:
    ways = [(words, replace(trace, question=None)) for words, trace in _ways(row)]  # it is told once, above both
    parts = [f"{words}: {format_trace(trace)}" for words, trace in ways] or ["No answer yet.\n"]
    return f"{row.title}\nAsked: {asked_line(row)}\n\n" + "\n".join(parts)


def _picture(row: TraceRequest) -> Picture:
    return draw_trace(row.title, _ways(row), f"Asked: {asked_line(row)}")


EXPORTS: dict[str, Export] = {
    "md": Export(_("Markdown, for a ticket"), "text/markdown; charset=utf-8", _markdown),
    "txt": Export(_("Text, for a terminal"), "text/plain; charset=utf-8", _text),
    "svg": Export(_("Picture, SVG"), "image/svg+xml", lambda row: format_svg(_picture(row))),
    "png": Export(_("Picture, PNG"), "image/png", lambda row: format_png(_picture(row))),
    "json": Export(_("JSON, for programs"), "application/json", _json),
}
