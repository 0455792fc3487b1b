"""Mirrors: copies of one VM's packets for another."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hopsight_cli.client import WrongWords
from hopsight_cli.context import AsJson, VmName, Watch, api_of, find_vm, vm_names
from hopsight_cli.output import Columns, clean, pairs, show, table

app = typer.Typer(no_args_is_help=True, help="Copy what a VM sends and receives to another VM.")
COLUMNS: Columns = {
    "WATCHED": lambda row: row["watched"]["name"], "COPIED": lambda row: row["what"], "TO": lambda row: row["to"]["name"],
    "HOSTS": lambda row: f"{row['watched']['host'] or '-'} → {row['to']['host'] or '-'}", "VNI": lambda row: row["vni"],
}  # fmt: skip


@app.command("list")
def list_mirrors(ctx: typer.Context, as_json: AsJson = False, watch: Watch = False) -> None:
    """List the team's mirrors."""
    api = api_of(ctx)
    empty = "No mirror. Make one: hopsight mirror set web-1 ids-1"
    show(lambda: api.pages("/mirrors"), lambda rows: table(rows, COLUMNS, empty), as_json, watch)


@app.command("set")
def set_mirror(
    ctx: typer.Context,
    vm: VmName,
    to: Annotated[str, typer.Argument(metavar="TO", help="The VM that gets the copies.", autocompletion=vm_names)],
    what: Annotated[str, typer.Option(help="sends, receives or both: of the watched VM.")] = "both",
    as_json: AsJson = False,
) -> None:
    """Copy what a VM's NIC sends and receives to another VM."""
    api = api_of(ctx)
    made = api.send("PUT", f"/ports/{_port(api, vm)}/mirror", {"to": _port(api, to), "what": what})
    show(lambda: made, lambda row: pairs([(name.lower(), cell(row)) for name, cell in COLUMNS.items()]), as_json)


@app.command("end")
def end_mirror(ctx: typer.Context, vm: VmName) -> None:
    """Make no more copies of what a VM's first NIC sends or receives."""
    api = api_of(ctx)
    api.send("DELETE", f"/ports/{_port(api, vm)}/mirror")
    typer.echo(f"{clean(vm)} is not watched any more.")


def _port(api: Any, name: str) -> str:
    row = find_vm(api, name)
    if not row["ports"]:
        raise WrongWords(f"{clean(row['name'])} has no port yet")
    return str(row["ports"][0]["uuid"])
