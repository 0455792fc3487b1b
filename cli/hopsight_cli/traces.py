"""`hopsight trace`: which way a packet takes, and why it does not arrive."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from hopsight_cli.client import Api, CliError, WrongWords
from hopsight_cli.context import UUID, AsJson, VmName, Watch, api_of, find_vm, until
from hopsight_cli.output import Columns, age, clean, show, table
from hopsight_cli.picture import Detail, draw, printable
from hopsight_cli.services import Service, Tcp, Udp

TRACE_WAIT_S, NEXT_WAIT_S = 60.0, 70.0
COLUMNS: Columns = {
    "TRACE": lambda row: row["title"], "STATE": lambda row: row["state"], "VERDICT": lambda row: row["verdict"],
    "WHY": lambda row: row["reason"][:70], "ASKED": lambda row: f"{age(row['created_at'])} ago",
    "BY": lambda row: row["created_by"], "UUID": lambda row: row["uuid"],
}  # fmt: skip


def add_to(app: typer.Typer) -> None:
    """trace, probe, traces."""
    app.command("trace")(trace)
    app.command("probe")(probe)
    app.command("traces")(list_traces)


def trace(
    ctx: typer.Context,
    source: VmName,
    target: Annotated[str | None, typer.Argument(metavar="TARGET", help="A VM's name, or an address.")] = None,
    tcp: Tcp = None,
    udp: Udp = None,
    arp: Annotated[bool, typer.Option("--arp", help="Ask who has the address, by ARP.")] = False,
    size: Annotated[int, typer.Option(help="Bytes of the IP packet, to find MTU mistakes.", min=28, max=65535)] = 84,
    moment: Annotated[str, typer.Option(help="as_is, first or established: which packet of its connection.")] = "as_is",
    next_one: Annotated[
        bool,
        typer.Option(
            "--next", help="Wait, a minute at most, for the VM's next such connection; trace its first packet."
        ),
    ] = False,
    deliver: Annotated[
        bool, typer.Option("--deliver", help="Hand one real packet over to the target's guest, who may answer it.")
    ] = False,
    flows: Annotated[
        bool, typer.Option("--flows", "-v", help="Show each flow, and the commands that tell the same.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 unless it is delivered.")] = False,
    as_json: AsJson = False,
) -> None:
    """Draw the way of a packet, and why it ends where it ends.

    From a VM, from router:NAME, or from outside:NETWORK to a floating address; to another VM or to
    an address. A ping if you do not say what.

    \b
      hopsight trace web-1 db-1 --tcp 5432
      hopsight trace web-1 203.0.113.9 --size 1500
      hopsight trace outside:internet web-1 --tcp 22
      hopsight trace UUID            a trace that was asked for before
    """
    api = api_of(ctx)
    if target is None and UUID.fullmatch(source):
        uuid = source
    elif target is None:
        raise WrongWords("where to? Give a VM's name or an address after the source (or one trace's uuid alone)")
    else:
        body = {**_sender(api, source), "target": target, "moment": moment, "size_bytes": size}
        body |= {"moment": "next"} if next_one else {}
        body |= {"deliver": True} if deliver else {}
        uuid = api.send("POST", "/traces", body | Service.of(tcp, udp, arp).body())["uuid"]
    most_s = TRACE_WAIT_S + (NEXT_WAIT_S if next_one else 0)
    until(lambda: api.get(f"/traces/{uuid}")["state"] not in ("waiting", "running"), "the trace is answered", most_s)
    answer = show(lambda: api.get(f"/traces/{uuid}"), lambda told: printable(draw(told, Detail(flows))), as_json)
    _judge(answer, strict)


def probe(
    ctx: typer.Context,
    source: VmName,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A VM's name, or an address.")],
    tcp: Tcp = None,
    udp: Udp = None,
    seconds: Annotated[int, typer.Option(help="One packet a second for so long.", min=5, max=600)] = 60,
    as_json: AsJson = False,
) -> None:
    """Send one real packet a second along a path.

    No guest gets it. A line for each, then loss and latency; Ctrl-C ends it.
    """
    api = api_of(ctx)
    asked = {**_sender(api, source), "target": target} | Service.of(tcp, udp, False).body()
    uuid = api.send("POST", "/traces", asked)["uuid"]
    until(lambda: api.get(f"/traces/{uuid}")["state"] != "running", "the path is predicted", TRACE_WAIT_S)
    path = f"/probings/{api.send('POST', f'/traces/{uuid}/probings', {'seconds': seconds})['uuid']}"
    shown = 0
    try:
        while True:
            told = api.get(path)
            for sample in told["samples"][shown:]:
                if not as_json:
                    typer.echo(_sample(sample))
            shown = len(told["samples"])
            if told["state"] not in ("waiting", "running"):
                break
            time.sleep(1.0)
    except KeyboardInterrupt:
        told = api.send("DELETE", path)
    show(lambda: told, _loss, as_json)
    if told["state"] == "failed":
        raise CliError(f"the probing failed: {told['why']}")


def _sample(sample: dict[str, Any]) -> str:
    if sample["latency_us"] is None:
        return f"{sample['number']:>5}  lost    {clean(sample['reason'])}"
    return f"{sample['number']:>5}  {sample['latency_us'] / 1000:.2f} ms ± {sample['error_us'] / 1000:.2f}"


def _loss(told: dict[str, Any]) -> str:
    took = sorted(one["latency_us"] for one in told["samples"] if one["latency_us"] is not None)
    lost = told["sent"] - told["arrived"]
    words = f"{told['sent']} sent, {told['arrived']} arrived, {100 * lost / max(1, told['sent']):.0f} % lost"
    return f"{words}; median {took[len(took) // 2] / 1000:.2f} ms" if took else words


def _sender(api: Api, source: str) -> dict[str, Any]:
    """What the API calls the source: a VM's port, `router:NAME` or `outside:NETWORK`."""
    kind, _, name = source.partition(":")
    if name and kind in ("router", "outside"):
        return {kind: name}
    row = find_vm(api, source)
    if not row["ports"]:
        raise WrongWords(f"{clean(row['name'])} has no port yet")
    return {"source": row["ports"][0]["uuid"]}


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


def _judge(answer: dict[str, Any], strict: bool) -> None:
    if answer["state"] == "failed":
        raise CliError(f"the trace failed: {answer['error']}")
    verdict = (answer["result"] or {}).get("verdict")
    if strict and verdict != "delivered":
        raise CliError(f"the packet was not delivered: {verdict}")
