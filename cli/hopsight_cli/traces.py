"""`hopsight trace`: which way a packet takes, and why it does not arrive."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from hopsight_cli.client import Api, CliError, WrongWords
from hopsight_cli.context import UUID, AsJson, VmName, Watch, api_of, until
from hopsight_cli.output import Columns, age, clean, show, table
from hopsight_cli.picture import Detail, draw, printable
from hopsight_cli.questions import (  # fmt: skip
    At,
    ComesFrom,
    Fields,
    Flags,
    Moment,
    Nic,
    Size,
    Target,
    ViaIpv4,
    ViaIpv6,
    in_typed_words,
    question,
)
from hopsight_cli.services import Arp, Dhcp, Dns, Nd, Sctp, Tcp, Udp

VERDICTS = ("delivered", "dropped", "flooded", "to_controller", "unknown")
TRACE_WAIT_S, NEXT_WAIT_S = 60.0, 70.0
COLUMNS: Columns = {
    "TRACE": lambda row: row["title"], "STATE": lambda row: row["state"], "VERDICT": lambda row: row["verdict"],
    "WHY": lambda row: row["reason"][:70], "ASKED": lambda row: f"{age(row['created_at'])} ago",
    "BY": lambda row: row["created_by"], "UUID": lambda row: row["uuid"],
}  # fmt: skip

PROBINGS: Columns = {
    "PATH": lambda row: row["title"], "STATE": lambda row: row["state"], "SENT": lambda row: f"{row['sent']} of {row['seconds']}",
    "LOST": lambda row: _percent_lost(row), "BEGUN": lambda row: f"{age(row['created_at'])} ago",
    "BY": lambda row: row["created_by"], "WHY": lambda row: row["why"][:60], "UUID": lambda row: row["uuid"],
}  # fmt: skip


def add_to(app: typer.Typer) -> None:
    """trace, probe, traces, probings."""
    app.command("trace")(trace)
    app.command("probe")(probe)
    app.command("traces")(list_traces)
    app.command("probings")(list_probings)


def trace(
    ctx: typer.Context,
    source: VmName,
    target: Target = None,
    tcp: Tcp = None,
    udp: Udp = None,
    sctp: Sctp = None,
    arp: Arp = False,
    nd: Nd = False,
    dhcp: Dhcp = False,
    dns: Dns = False,
    ipv4: ViaIpv4 = False,
    ipv6: ViaIpv6 = False,
    nic: Nic = None,
    size: Size = 84,
    moment: Moment = "as_is",
    flags: Flags = None,
    fields: Fields = None,
    comes_from: ComesFrom = None,
    at: At = None,
    next_one: Annotated[
        bool,
        typer.Option(
            "--next", help="Wait, a minute at most, for the VM's next such connection; trace its first packet."
        ),
    ] = False,
    deliver: Annotated[
        bool, typer.Option("--deliver", help="Hand one real packet over to the target's guest, who may answer it.")
    ] = False,
    back: Annotated[bool, typer.Option("--return", help="Show and judge the way back alone.")] = False,
    flows: Annotated[
        bool, typer.Option("--flows", "-v", help="Show each flow, and the commands that tell the same.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 unless it is delivered.")] = False,
    expect: Annotated[
        str | None, typer.Option(metavar="VERDICT", help=f"Exit code 1 unless it is this: {', '.join(VERDICTS)}.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Draw the way of a packet, and why it ends where it ends.

    From a VM, from router:NAME, from outside:NETWORK to a floating address, or from nic:MAC, a NIC
    past Open vSwitch; to another VM or to an address. A ping if you do not say what.

    \b
      hopsight trace web-1 db-1 --tcp 5432
      hopsight trace web-1 203.0.113.9 --size 1500
      hopsight trace web-1 db-1 --tcp 22 -6 --flags 'fin|ack' --set nw_ttl=1
      hopsight trace web-1 --dhcp
      hopsight trace outside:internet web-1 --tcp 22 --as 203.0.113.80
      hopsight trace web-1 db-1 --tcp 22 --at '2026-11-26 03:10'
      hopsight trace UUID            a trace that was asked for before
    """
    api = api_of(ctx)
    wanted = _wanted(strict, expect)
    uuid = source if target is None and UUID.fullmatch(source) and not (dhcp or dns) else _ask(api, ctx.params)
    most_s = TRACE_WAIT_S + (NEXT_WAIT_S if next_one else 0)
    until(lambda: api.get(f"/traces/{uuid}")["state"] not in ("waiting", "running"), "the trace is answered", most_s)
    detail = Detail(flows, back)
    answer = show(lambda: api.get(f"/traces/{uuid}"), lambda told: printable(draw(told, detail)), as_json)
    _judge(answer, wanted, back)


def _ask(api: Api, given: Mapping[str, Any]) -> str:
    """The uuid of the trace that was asked for."""
    body = question(api, given)
    body |= {"moment": "next"} if given["next_one"] else {}
    body |= {"deliver": True} if given["deliver"] else {}
    with in_typed_words():
        return str(api.send("POST", "/traces", body)["uuid"])


def probe(
    ctx: typer.Context,
    source: VmName,
    target: Target = None,
    tcp: Tcp = None,
    udp: Udp = None,
    sctp: Sctp = None,
    arp: Arp = False,
    nd: Nd = False,
    dhcp: Dhcp = False,
    dns: Dns = False,
    ipv4: ViaIpv4 = False,
    ipv6: ViaIpv6 = False,
    nic: Nic = None,
    size: Size = 84,
    seconds: Annotated[int, typer.Option(help="One packet a second for so long.", min=5, max=600)] = 60,
    stop: Annotated[bool, typer.Option("--stop", help="End the probing that is named by its uuid.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send one real packet a second along a path.

    No guest gets it. A line for each, then loss and latency; Ctrl-C ends it. With the uuid of a
    probing alone (`hopsight probings` lists them) that one is followed.
    """
    api = api_of(ctx)
    one_of_before = source if target is None and UUID.fullmatch(source) and not (dhcp or dns) else None
    if stop and one_of_before is None:
        raise WrongWords("--stop ends a probing: give its uuid alone, as `hopsight probings` shows")
    path = f"/probings/{one_of_before or _begin(api, ctx.params, seconds)}"
    told = api.send("DELETE", path) if stop else _follow(api, path, as_json)
    show(lambda: told, _loss, as_json)
    if told["state"] == "failed":
        raise CliError(f"the probing failed: {told['why']}")


def _begin(api: Api, given: Mapping[str, Any], seconds: int) -> str:
    """The uuid of the probing that was begun, along the path that was asked for."""
    with in_typed_words():
        uuid = api.send("POST", "/traces", question(api, given))["uuid"]
        until(lambda: api.get(f"/traces/{uuid}")["state"] != "running", "the path is predicted", TRACE_WAIT_S)
        return str(api.send("POST", f"/traces/{uuid}/probings", {"seconds": seconds})["uuid"])


def _follow(api: Api, path: str, as_json: bool) -> dict[str, Any]:
    """The probing when it is over, or was interrupted; a line for each packet meanwhile."""
    shown = 0
    try:
        while True:
            told: dict[str, Any] = api.get(path)
            for sample in told["samples"][shown:]:
                if not as_json:
                    typer.echo(_sample(sample))
            shown = len(told["samples"])
            if told["state"] not in ("waiting", "running"):
                return told
            time.sleep(1.0)
    except KeyboardInterrupt:
        ended: dict[str, Any] = api.send("DELETE", path)
        return ended


def _sample(sample: dict[str, Any]) -> str:
    if sample["latency_us"] is None:
        return f"{sample['number']:>5}  lost    {clean(sample['reason'])}"
    return f"{sample['number']:>5}  {sample['latency_us'] / 1000:.2f} ms ± {sample['error_us'] / 1000:.2f}"


def _loss(told: dict[str, Any]) -> str:
    took = sorted(one["latency_us"] for one in told["samples"] if one["latency_us"] is not None)
    words = f"{told['sent']} sent, {told['arrived']} arrived, {_percent_lost(told)} lost"
    return f"{words}; median {took[len(took) // 2] / 1000:.2f} ms" if took else words


def _percent_lost(told: dict[str, Any]) -> str:
    return f"{100 * (told['sent'] - told['arrived']) / max(1, told['sent']):.0f} %"


def list_probings(
    ctx: typer.Context,
    state: Annotated[str | None, typer.Option(help="Only those: waiting, running, done or failed.")] = None,
    as_json: AsJson = False,
    watch: Watch = False,
) -> None:
    """List the team's probings, newest first."""
    api = api_of(ctx)
    empty = "No probing. Begin one: hopsight probe web-1 db-1 --tcp 5432"
    show(lambda: api.pages("/probings", state=state), lambda rows: table(rows, PROBINGS, empty), as_json, watch)


def list_traces(
    ctx: typer.Context,
    most: Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many.")] = 20,
    as_json: AsJson = False,
    watch: Watch = False,
) -> None:
    """List the team's traces, newest first."""
    api = api_of(ctx)
    empty = "No trace. Ask for one: hopsight trace web-1 db-1 --tcp 5432"
    show(lambda: api.pages("/traces", most), lambda rows: table(rows, COLUMNS, empty), as_json, watch)


def _wanted(strict: bool, expect: str | None) -> str | None:
    """The verdict that is asked for; None where any will do. Raises WrongWords for a word that is none."""
    if expect is not None and expect not in VERDICTS:
        raise WrongWords(f"--expect {clean(expect)} was given; allowed are {', '.join(VERDICTS)}")
    return expect or ("delivered" if strict else None)


def _judge(answer: dict[str, Any], wanted: str | None, back: bool) -> None:
    if answer["state"] == "failed":
        raise CliError(f"the trace failed: {answer['error']}")
    told = answer["reply"] if back else answer["result"]
    if back and told is None:
        raise CliError("there is no way back of this packet: its target is nobody's, or it is a question")
    verdict = (told or {}).get("verdict")
    if wanted and verdict != wanted:
        was = "not delivered" if wanted == "delivered" else f"not {wanted.replace('_', ' ')}"
        raise CliError(f"the packet was {was}: {verdict}")
