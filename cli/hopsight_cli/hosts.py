"""Hosts, for operators; how fresh what is known of them is, for everybody."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hopsight_cli.client import CliError
from hopsight_cli.context import AsJson, Watch, api_of, until
from hopsight_cli.output import Columns, age, clean, show, table
from hopsight_cli.picture import Detail, draw, printable

app = typer.Typer(no_args_is_help=True, help="Look at the hosts that run the VMs.")
COLUMNS: Columns = {
    "NAME": lambda row: row["name"], "ENABLED": lambda row: row["enabled"], "VCPUS": lambda row: row["vcpus"],
    "MEMORY": lambda row: f"{row['ram_mib']} MiB", "ACCELERATOR": lambda row: row["accelerator"],
    "LIBVIRT SEEN": lambda row: _ago(row["libvirt_seen_at"]), "SWITCH SEEN": lambda row: _ago(row["ovs_seen_at"]),
}  # fmt: skip
AGES: Columns = {"NAME": lambda row: row["name"], "SEEN": lambda row: _ago(row["seen_at"])}


@app.command("list")
def list_hosts(ctx: typer.Context, as_json: AsJson = False, watch: Watch = False) -> None:
    """List the hosts (operators only)."""
    api = api_of(ctx)
    show(lambda: api.pages("/hosts"), lambda rows: table(rows, COLUMNS, "No host."), as_json, watch)


@app.command("status")
def status(ctx: typer.Context, as_json: AsJson = False, watch: Watch = False) -> None:
    """Show how old is what is known of each host."""
    api = api_of(ctx)

    def draw(value: dict[str, Any]) -> str:
        return table(value["hosts"], AGES, "No host.")

    show(lambda: api.get("/status"), draw, as_json, watch)


@app.command("maintenance")
def maintenance(
    ctx: typer.Context,
    host: Annotated[str, typer.Argument(metavar="HOST")],
    on: Annotated[bool, typer.Option("--on/--off", help="Into maintenance, or out of it.")] = True,
    note: Annotated[str, typer.Option(help="Why, for those who ask.")] = "",
) -> None:
    """Let a host take no VMs (operators only)."""
    row = api_of(ctx).send("PUT", f"/hosts/{host}/maintenance", {"in_maintenance": on, "note": note})
    typer.echo(f"{clean(row['name'])} {'is in maintenance' if row['in_maintenance'] else 'takes VMs'}.")


@app.command("evacuate")
def evacuate(ctx: typer.Context, host: Annotated[str, typer.Argument(metavar="HOST")], as_json: AsJson = False) -> None:
    """Move every VM away from a host (operators only)."""
    rows = api_of(ctx).send("POST", f"/hosts/{host}/evacuate")
    columns: Columns = {
        "VM": lambda row: row["name"], "OPERATION": lambda row: row["operation"] or "-", "WHY NOT": lambda row: row["problem"] or "-",
    }  # fmt: skip
    show(lambda: rows, lambda found: table(found, columns, "No VM is on it."), as_json)


@app.command("move")
def move(
    ctx: typer.Context,
    vm: Annotated[str, typer.Argument(metavar="UUID", help="The VM's uuid.")],
    host: Annotated[str, typer.Option("--to", help="The host; the best one if you do not say.")] = "",
) -> None:
    """Move a VM to another host, live if it runs (operators only)."""
    row = api_of(ctx).send("POST", "/migrations", {"vm": vm, "host": host})["operation"]
    typer.echo(f"operation {row['uuid']}", err=True)


@app.command("trace")
def trace_flow(
    ctx: typer.Context,
    host: Annotated[str, typer.Argument(metavar="HOST")],
    flow: Annotated[str, typer.Argument(metavar="FLOW", help="In ovs-ofctl's syntax: in_port=9,tcp,nw_dst=…")],
    bridge: Annotated[str, typer.Option(help="Any bridge of the host, ours or not.")] = "br-int",
    ct_next: Annotated[list[str] | None, typer.Option(help="What conntrack says, look-up by look-up: trk,est")] = None,
    as_json: AsJson = False,
) -> None:
    """Draw the way of a packet from a port.

    It comes in by any port of a host's bridge (operators only).
    """
    api = api_of(ctx)
    asked = {"bridge": bridge, "flow": flow, "ct_next": ct_next or []}
    uuid = api.send("POST", f"/hosts/{host}/port-traces", asked)["uuid"]
    until(lambda: api.get(f"/port-traces/{uuid}")["state"] != "running", "the packet is followed")
    told = api.get(f"/port-traces/{uuid}")
    if told["state"] == "failed":
        raise CliError(clean(told["error"]))
    whole = {**told, "title": f"{bridge} of {host}", "reply": None, "probe": None}
    show(lambda: told, lambda _: printable(draw(whole, Detail(False))), as_json)


def _ago(moment: str | None) -> str:
    return f"{age(moment)} ago" if moment else "never"
