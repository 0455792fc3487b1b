"""Path checks: paths that must stay as they are."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hopsight_cli.client import CliError, WrongWords
from hopsight_cli.context import UUID, AsJson, VmName, Watch, api_of, find_vm
from hopsight_cli.output import Columns, age, clean, show, table
from hopsight_cli.services import Service, Tcp, Udp

app = typer.Typer(no_args_is_help=True, help="Pin paths that must stay open, or closed.")
COLUMNS: Columns = {
    "CHECK": lambda row: row["title"], "EXPECTED": lambda row: row["expected"], "STATE": lambda row: row["state"],
    "VERDICT": lambda row: row["verdict"], "WHY": lambda row: row["reason"][:80],
    "CHECKED": lambda row: f"{age(row['checked_at'])} ago" if row["checked_at"] else "not yet",
    "UUID": lambda row: row["uuid"],
}  # fmt: skip


@app.command("list")
def list_checks(
    ctx: typer.Context,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 unless every path is as expected.")] = False,
    as_json: AsJson = False,
    watch: Watch = False,
) -> None:
    """List the team's path checks."""
    api = api_of(ctx)
    empty = "No check. Pin one: hopsight check add web-1 db-1 --tcp 5432"
    rows = show(lambda: api.get("/checks"), lambda rows: table(rows, COLUMNS, empty), as_json, watch)
    wrong = [row for row in rows if row["state"] != "passing"]
    if strict and wrong:
        raise CliError(f"{len(wrong)} of {len(rows)} paths are not as expected")


@app.command("add")
def add_check(
    ctx: typer.Context,
    source: VmName,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A VM's name, or an address.")],
    tcp: Tcp = None,
    udp: Udp = None,
    expect: Annotated[str, typer.Option(help="What must happen: delivered or dropped.")] = "delivered",
    as_json: AsJson = False,
) -> None:
    """Pin a path: every change of the network looks again."""
    api = api_of(ctx)
    row = find_vm(api, source)
    if not row["ports"]:
        raise WrongWords(f"{clean(row['name'])} has no port yet")
    service = Service.of(ctx.params)
    body = {"source": row["ports"][0]["uuid"], "target": target, "expected": expect, **service.body()}
    made = api.send("POST", "/checks", body)
    show(lambda: [made], lambda rows: table(rows, COLUMNS, ""), as_json)


@app.command("remove")
def remove_check(
    ctx: typer.Context, check: Annotated[str, typer.Argument(metavar="CHECK", help="Its uuid or title.")]
) -> None:
    """Look at a path no more."""
    api = api_of(ctx)
    rows: list[dict[str, Any]] = api.get("/checks")
    found = [row for row in rows if check in (row["uuid"], row["title"])]
    if len(found) != 1 and not UUID.fullmatch(check):
        raise WrongWords(
            f"{len(found)} checks are called {clean(check)!r}: give the uuid, as `hopsight check list` shows"
        )
    api.send("DELETE", f"/checks/{found[0]['uuid'] if found else check}")
