"""Operations: what is being done, and what was."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hopsight_cli.context import AsJson, Watch, api_of, find_vm, follow
from hopsight_cli.output import Columns, age, clean, pairs, show, table

app = typer.Typer(no_args_is_help=True, help="Follow what the product does for you.")
OperationId = Annotated[str, typer.Argument(metavar="UUID", help="The operation's uuid, as `operation list` shows.")]
COLUMNS: Columns = {
    "WHAT": lambda row: row["kind"], "OF": lambda row: row["object_name"], "STATE": lambda row: row["state"],
    "STAGE": lambda row: _stage(row), "ASKED": lambda row: f"{age(row['created_at'])} ago", "UUID": lambda row: row["uuid"],
}  # fmt: skip
STAGES: Columns = {
    "STAGE": lambda row: row["title"], "STATE": lambda row: row["state"], "TOOK": lambda row: row["duration_s_label"],
    "DETAIL": lambda row: row["detail"],
}  # fmt: skip


@app.command("list")
def list_operations(
    ctx: typer.Context,
    state: Annotated[str | None, typer.Option(help="Only operations in this state, as running or failed.")] = None,
    vm: Annotated[str | None, typer.Option(help="Only operations of this VM.")] = None,
    most: Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many.")] = 20,
    as_json: AsJson = False,
    watch: Watch = False,
) -> None:
    """List the team's operations, newest first."""
    api = api_of(ctx)
    of = find_vm(api, vm)["uuid"] if vm else None
    fetch = lambda: api.pages("/operations", most, state=state, object_uuid=of)  # noqa: E731
    show(fetch, lambda rows: table(rows, COLUMNS, "No operation."), as_json, watch)


@app.command("show")
def show_operation(ctx: typer.Context, uuid: OperationId, as_json: AsJson = False, watch: Watch = False) -> None:
    """Show one operation with its stages."""
    api = api_of(ctx)

    def draw(row: dict[str, Any]) -> str:
        lines: list[tuple[str, object]] = [("what", row["kind"]), ("of", row["object_name"]), ("state", row["state"])]
        lines += [("error", row["error"])] if row["error"] else []
        return f"{pairs(lines)}\n\n{table(row['stages'], STAGES, 'No stage.')}"

    show(lambda: api.get(f"/operations/{uuid}"), draw, as_json, watch)


@app.command("wait")
def wait_operation(ctx: typer.Context, uuid: OperationId) -> None:
    """Wait until an operation ends; exit code 1 when it failed."""
    api = api_of(ctx)
    follow(api, api.get(f"/operations/{uuid}"), True)


def _stage(row: dict[str, Any]) -> str:
    started = [stage for stage in row["stages"] if stage["started_at"]]
    return clean(started[-1]["title"]) if started else "-"
