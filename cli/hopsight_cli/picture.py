"""A trace as a text picture: one line a device, the tables that decided under each switch, the wire between the hosts.

    web-1 → db-1 tcp/22
    asked: tcp/22 over IPv4 from web-1 (10.20.0.11) to db-1 (10.20.0.12); …
    ✔ delivered  db-1 takes tcp/22 from its network

    hv1  ┌ web-1 eth0   virtio-net
         │ vnet3        tap, port 7
         ├ br-int       6 tables
         │    20 egress_rules      web-1 may send anything
         └ vxlan0       +50 B, VNI 4097
             ╎ the underlay
    hv2  ┌ …

Pure but for `printable`, which asks the terminal: the JSON of the API's answer in, text out.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import typer

from hopsight_cli.output import clean

MARKS = {"delivered": ("✔", "green"), "dropped": ("✖", "red"), "flooded": ("✳", "yellow")}
OTHER_MARK = ("?", "yellow")
ASCII = str.maketrans({
    "→": ">", "✔": "+", "✖": "x", "✳": "*", "┌": "/", "│": "|", "├": "|", "└": "\\", "╎": ":", "─": "-", "·": "-", "…": "~",
})  # fmt: skip
NAME_WIDTH, TABLE_WIDTH = 14, 18


@dataclass(frozen=True, slots=True)
class Detail:
    """What is shown: with `flows` every look-up's match and actions, and the commands that tell the same; the way `back` alone."""

    flows: bool = False
    back: bool = False


def draw(answer: dict[str, Any], detail: Detail = Detail()) -> str:
    """The whole answer: there, back, and what a real packet did."""
    lines = [typer.style(clean(answer["title"]), bold=True)]
    lines += (
        [f"asked: {clean(answer['question']['words'])}"] if "question" in answer else []
    )  # an older server has none
    if answer["state"] == "failed":
        return "\n".join([*lines, f"✖ the trace failed: {clean(answer['error'])}"])
    for words, trace in (("", None if detail.back else answer["result"]), ("Back", answer["reply"])):
        if trace:
            lines += ["", typer.style(f"{words}:", bold=True)] if words else []
            lines += _trace(trace, detail)
    lines += [] if detail.back else _probe(answer["probe"])
    return "\n".join(lines)


def verdict_line(trace: dict[str, Any]) -> str:
    """The mark, the verdict and the sentence."""
    mark, colour = MARKS.get(trace["verdict"], OTHER_MARK)
    words = clean(trace["verdict"]).replace("_", " ")
    return f"{typer.style(f'{mark} {words}', fg=colour, bold=True)}  {clean(trace['reason'])}"


def _trace(trace: dict[str, Any], detail: Detail) -> Iterator[str]:
    yield verdict_line(trace)
    if detail.flows:
        fields = (f"{clean(name)}={clean(value)}" for name, value in trace.get("packet", {}).items())
        yield f"  the packet      {','.join(fields)}"
    yield ""
    width = max([len(clean(hop["host"])) for hop in trace["hops"] if hop["host"]] or [0])
    for host, hops in groupby(trace["hops"], key=lambda hop: str(hop["host"])):
        devices = list(hops)
        yield from _host(host, devices, width, detail) if host else _wire(devices, width)
    yield from _end(trace, detail)


def _wire(hops: list[dict[str, Any]], width: int) -> Iterator[str]:
    for hop in hops:
        yield f"{' ' * width}      ╎ {clean(hop['object'])}{_and(hop['detail'])}{'' if hop['measured'] else ' (nobody looked)'}"


def _host(host: str, hops: list[dict[str, Any]], width: int, detail: Detail) -> Iterator[str]:
    for number, hop in enumerate(hops):
        label = (clean(host) if number == 0 else "").ljust(width)
        corner = (
            "┌"
            if number == 0
            else "└"
            if number == len(hops) - 1 and not hop["steps"]
            else "├"
            if hop["steps"]
            else "│"
        )
        timing = _timing(hop)
        yield f"{typer.style(label, bold=True)}  {corner} {clean(hop['object']).ljust(NAME_WIDTH)} {clean(hop['detail'])}{timing}"
        for step in hop["steps"]:
            yield from _step(step, width, detail)
        if detail.flows:
            yield from (
                f"{' ' * width}  │      $ {typer.style(clean(command), dim=True)}" for command in hop["commands"]
            )


def _timing(hop: dict[str, Any]) -> str:
    if hop["latency_us"] is None:
        return ""
    error = hop.get("latency_error_us")
    return f"  {hop['latency_us']:.0f} µs" + (f" ± {error:.0f} µs" if error else "")


def _step(step: dict[str, Any], width: int, detail: Detail) -> Iterator[str]:
    margin = f"{' ' * width}  │  "
    number = "   " if step["table"] is None else f"{step['table']:>3}"
    why = step["intent"]["words"] if step["intent"] else step["note"]
    changed = "; ".join(f"{clean(name)} {clean(was)} → {clean(now)}" for name, (was, now) in step["changed"].items())
    words = " · ".join(part for part in (clean(why) if why else "", changed if detail.flows else "") if part)
    yield f"{margin}{typer.style(number, dim=True)} {clean(step['table_name']).ljust(TABLE_WIDTH)} {words}".rstrip()
    if detail.flows:
        priority = "" if step["priority"] is None else f"priority={step['priority']} "
        flow = f"{priority}{clean(step['match'])} → {clean(step['actions'])}"
        yield f"{margin}      {typer.style(flow, dim=True)}"


def _end(trace: dict[str, Any], detail: Detail) -> Iterator[str]:
    if trace["verdict"] == "dropped":
        yield f"      {typer.style('✖ it ends here', fg='red')}"
    cause = trace.get("cause")
    if cause:
        why = f": {clean(cause['intent']['words'])}" if cause["intent"] else ""
        yield f"  decided by      table {cause['table']} {clean(cause['table_name'])}{why}"
    for near in trace.get("nearest", ()):
        wanted = ", ".join(f"{clean(name)}={clean(want)} (it has {clean(had)})" for name, want, had in near["differs"])
        why = f" {clean(near['step']['intent']['words'])};" if near["step"]["intent"] else ""
        yield f"  almost matched {why} wants {wanted}"
    for branch in trace.get("branches", ()):
        if not branch["is_main"]:
            yield f"  a copy          on {clean(branch['host'])} at {clean(branch['where'])}: {clean(branch['verdict'])}"
    yield from (f"  note            {clean(finding)}" for finding in trace.get("findings", ()))
    if trace.get("suggestion"):
        yield f"  to do           {typer.style(clean(trace['suggestion']), bold=True)}"


def _probe(probe: dict[str, Any] | None) -> list[str]:
    if not probe:
        return []
    if "refused" in probe:
        return ["", f"No real packet was sent: {clean(probe['refused'])}"]
    lines = ["", f"{typer.style('A real packet:', bold=True)} {verdict_line(probe['trace'])}"]
    divergence = probe.get("divergence")
    return lines + ([f"  differs from the prediction: {clean(divergence)}"] if divergence else [])


def _and(detail: str) -> str:
    return f", {clean(detail)}" if detail else ""


def printable(text: str) -> str:
    """Without the drawing characters where the terminal has none."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return text.translate(ASCII).encode("ascii", "replace").decode()
    return text
