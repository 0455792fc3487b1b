"""What is printed: tables for people, JSON for programs, errors on stderr. Names come from other people: no control
character of theirs reaches the terminal."""

from __future__ import annotations

import json
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import typer

from hopsight_cli.client import CliError, Refused

WATCH_EVERY_S = 1.0
CLEAR = "\x1b[H\x1b[2J"
COLOURS = {
    "running": "green", "done": "green", "delivered": "green", "passing": "green", "failed": "red", "crashed": "red",
    "dropped": "red", "failing": "red", "queued": "yellow", "creating": "yellow", "deleting": "yellow",
    "undoing": "yellow", "waiting": "yellow", "stopped": "bright_black",
}  # fmt: skip
Columns = Mapping[str, Callable[[Any], object]]


def clean(value: object) -> str:
    """The value as one line of printable text; nothing for None."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(clean(one) for one in value) or "-"
    return "".join(char if char.isprintable() else "�" for char in str(value)) or "-"


def table(rows: Sequence[Any], columns: Columns, empty: str) -> str:
    """The rows under the columns' names, each as wide as its widest cell; `empty` in place of no rows."""
    if not rows:
        return empty
    lines = [list(columns), *([clean(cell(row)) for cell in columns.values()] for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    texts = []
    for number, line in enumerate(lines):
        cells = [text.ljust(width) for text, width in zip(line, widths, strict=True)]
        styled = [typer.style(cell, bold=True) if number == 0 else coloured(cell) for cell in cells]
        texts.append("  ".join(styled).rstrip())
    return "\n".join(texts)


def pairs(rows: Sequence[tuple[str, object]]) -> str:
    """Names and values under each other."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{typer.style(name.ljust(width), bold=True)}  {coloured(clean(value))}" for name, value in rows)


def coloured(cell: str) -> str:
    """State words in their colour; the word says it too."""
    colour = COLOURS.get(cell.strip())
    return typer.style(cell, fg=colour) if colour else cell


def age(moment: str | None) -> str:
    """How long ago an ISO time was: `4 s`, `3 min`, `2 h`, `9 d`."""
    if not moment:
        return "-"
    passed = max(0, int((datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()))
    for limit, unit, size in ((60, "s", 1), (3600, "min", 60), (86400, "h", 3600)):
        if passed < limit:
            return f"{passed // size} {unit}"
    return f"{passed // 86400} d"


def show(fetch: Callable[[], Any], draw: Callable[[Any], str], as_json: bool, watch: bool = False) -> Any:
    """What was fetched, printed once, or again whenever it changes until Ctrl-C."""
    last = ""
    is_ended = _ending_by_interrupt() if watch else lambda: False
    while not is_ended():
        if watch and _nobody_reads():
            raise BrokenPipeError
        value = fetch()
        text = json.dumps(value, indent=None if watch else 2, ensure_ascii=False) if as_json else draw(value)
        if watch and not as_json and sys.stdout.isatty():
            typer.echo(f"{CLEAR}{text}\n\n{typer.style('Ctrl-C ends', dim=True)}")
        elif text != last:
            typer.echo(text)
        last = text
        if not watch:
            return value
        sys.stdout.flush()
        time.sleep(WATCH_EVERY_S)
    raise KeyboardInterrupt


def _nobody_reads() -> bool:
    """Whether the pipe's other end is gone, which is told else only to who writes: what does not change is not written."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return any(event & select.POLLERR for _, event in poll.poll(0))
    except (AttributeError, OSError):  # no such call on this system, or no file behind stdout
        return False


def _ending_by_interrupt() -> Callable[[], bool]:
    """Whether Ctrl-C was pressed: Python forgets an interrupt that meets it while it collects what nobody needs."""
    pressed: list[int] = []

    def interrupt(number: int, frame: object) -> None:
        pressed.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    return lambda: bool(pressed)


def complain(problem: CliError) -> None:
    """The problem on stderr, with every field."""
    typer.secho(f"hopsight: {clean(problem)}", fg="red", err=True)
    if not isinstance(problem, Refused):
        return
    for field, lines in problem.errors.items():
        for line in lines:
            typer.echo(f"  {clean(field)}: {clean(line)}", err=True)
    if problem.status == 401:
        typer.echo("  Run `hopsight login` first, or set HOPSIGHT_TOKEN.", err=True)
    if problem.status >= 500 and problem.request_id:
        typer.echo(f"  request id: {clean(problem.request_id)}", err=True)
