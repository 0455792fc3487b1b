"""What a board holds: which widgets there are, where a board begins, and whether a layout is one."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

MOST_WIDGETS, MOST_TEXT = 30, 2000
WIDTHS = (3, 4, 6, 8, 12)
ID_CHARS = 12


@dataclass(frozen=True, slots=True)
class WidgetKind:
    """A sort of widget. `width` of twelve columns is what a new one takes."""

    name: str
    title: str
    words: str
    width: int
    is_written: bool = False  # holds text of its own
    for_operators: bool = False


KINDS: tuple[WidgetKind, ...] = (
    WidgetKind("quota", _("Quota"), _("how much of its quota the team uses"), 12),
    WidgetKind("problems", _("Problems"), _("what needs somebody now"), 6),
    WidgetKind("states", _("VMs by state"), _("how many run, and how many do not"), 6),
    WidgetKind("vms", _("Virtual machines"), _("the VMs with their load"), 12),
    WidgetKind("traffic", _("Traffic"), _("bits sent and received by all ports"), 6),
    WidgetKind("use", _("Load"), _("processors and memory that the VMs use"), 6),
    WidgetKind("talkers", _("Top talkers"), _("the VMs that send and receive most"), 6),
    WidgetKind("drops", _("Drops by reason"), _("what the network refused to carry"), 6),
    WidgetKind("checks", _("Path checks"), _("the paths that must stay as they are"), 6),
    WidgetKind("matrix", _("Who reaches whom"), _("the latest reachability matrix"), 6),
    WidgetKind("operations", _("Recent operations"), _("what was asked for, and how it went"), 6),
    WidgetKind("traces", _("Latest traces"), _("where packets were asked to go"), 6),
    WidgetKind("hosts", _("Host health"), _("the hypervisors and their daemons"), 6, for_operators=True),
    WidgetKind("activity", _("Activity"), _("who changed what"), 6),
    WidgetKind("note", _("Note"), _("words for whoever looks at the board"), 4, is_written=True),
    WidgetKind("heading", _("Heading"), _("a line of text between widgets"), 12, is_written=True),
)
KIND_BY_NAME = {kind.name: kind for kind in KINDS}


@dataclass(frozen=True, slots=True)
class Widget:
    """One placed widget. `id` is its own on the board for as long as it is there."""

    id: str
    kind: str
    width: int
    text: str = ""


DEFAULT: tuple[Widget, ...] = (
    Widget("quota", "quota", 12),
    Widget("problems", "problems", 6),
    Widget("checks", "checks", 6),
    Widget("traffic", "traffic", 6),
    Widget("talkers", "talkers", 6),
    Widget("vms", "vms", 12),
    Widget("drops", "drops", 6),
    Widget("operations", "operations", 6),
    Widget("activity", "activity", 6),
    Widget("traces", "traces", 6),
)


class BoardProblem(Exception):
    """No board can be so. `errors` holds field → sentences, all at once."""

    def __init__(self, errors: dict[str, list[str]]) -> None:
        super().__init__("; ".join(line for lines in errors.values() for line in lines))
        self.errors = errors


def parse_widgets(rows: Sequence[Mapping[str, Any]]) -> tuple[Widget, ...]:
    """The rows as widgets; ids that are missing or given twice are made. Raises BoardProblem with everything that is wrong."""
    errors: list[str] = []
    found: list[Widget] = []
    if len(rows) > MOST_WIDGETS:
        errors.append(
            gettext("%(count)s widgets were given; at most %(most_widgets)s are allowed")
            % {"count": len(rows), "most_widgets": MOST_WIDGETS}
        )
    for number, row in enumerate(rows[:MOST_WIDGETS], 1):
        kind = KIND_BY_NAME.get(str(row.get("kind", "")))
        if kind is None:
            errors.append(gettext("widget %(number)s: kind “%(get)s” was given; %(kind_by_name)s are allowed") % {"number": number, "get": str(row.get('kind', ''))[:30], "kind_by_name": ', '.join(KIND_BY_NAME)})  # fmt: skip
            continue
        width, text = row.get("width") or kind.width, str(row.get("text") or "").replace("\r\n", "\n")
        if width not in WIDTHS:
            errors.append(
                gettext("widget %(number)s: width %(width)s was given; %(str)s columns are allowed")
                % {"number": number, "width": width, "str": ", ".join(map(str, WIDTHS))}
            )
        if len(text) > MOST_TEXT or "\0" in text:
            errors.append(
                gettext("widget %(number)s: %(count)s characters were given; at most %(most_text)s are allowed")
                % {"number": number, "count": len(text), "most_text": MOST_TEXT}
            )
        wanted = str(row.get("id") or "")
        is_free = wanted.isalnum() and wanted.isascii() and wanted not in {one.id for one in found}
        name = wanted if is_free and len(wanted) <= ID_CHARS else new_id()
        found.append(Widget(name, kind.name, int(width), text if kind.is_written else ""))
    if errors:
        raise BoardProblem({"widgets": errors})
    return tuple(found)


def new_id() -> str:
    """A widget's id that no other has."""
    return secrets.token_hex(4)


def as_rows(widgets: Sequence[Widget]) -> list[dict[str, Any]]:
    """The widgets as a board's row and the API hold them."""
    return [asdict(widget) for widget in widgets]


def moved(widgets: tuple[Widget, ...], id_: str, act: str) -> tuple[Widget, ...]:
    """The layout after one step with one widget: up, down, wider, narrower or remove. An unknown id changes nothing."""
    at = next((place for place, widget in enumerate(widgets) if widget.id == id_), None)
    if at is None:
        return widgets
    rest, widget = [*widgets[:at], *widgets[at + 1 :]], widgets[at]
    if act == "remove":
        return tuple(rest)
    if act in ("wider", "narrower"):
        step = WIDTHS.index(widget.width) + (1 if act == "wider" else -1)
        widget = replace(widget, width=WIDTHS[max(0, min(step, len(WIDTHS) - 1))])
    rest.insert(max(0, at + {"up": -1, "down": 1}.get(act, 0)), widget)
    return tuple(rest)


def ordered(widgets: tuple[Widget, ...], text: str) -> tuple[Widget, ...]:
    """The widgets in the order of `id:width id:width …`; one that is not named stays, at the end."""
    named = {widget.id: widget for widget in widgets}
    found: list[Widget] = []
    for word in text.split()[:MOST_WIDGETS]:
        id_, _, width = word.partition(":")
        if (widget := named.pop(id_, None)) is not None:
            is_width = width in map(str, WIDTHS)
            found.append(replace(widget, width=int(width)) if is_width else widget)
    return (*found, *named.values())


def written(widgets: tuple[Widget, ...], id_: str, text: str) -> tuple[Widget, ...]:
    """The layout with other words in one of its widgets."""
    return tuple(replace(widget, text=text) if widget.id == id_ else widget for widget in widgets)
