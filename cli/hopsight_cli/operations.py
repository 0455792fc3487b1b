"""Operations: what is being done, and what was."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hopsight_cli.context import ENDED, AsJson, Wait, Watch, api_of, find_vm, follow, until
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


@app.command("cancel")
def cancel_operation(ctx: typer.Context, uuid: OperationId, wait: Wait = True) -> None:
    """End an operation that is under way; what it did is undone."""
    api = api_of(ctx)
    row = api.send("POST", f"/operations/{uuid}/cancel")["operation"]
    if not wait:
        return
    until(lambda: api.get(f"/operations/{uuid}")["state"] in ENDED, f"operation {uuid} ends")
    typer.echo(f"{clean(row['kind'])} of {clean(row['object_name'])}: {api.get(f'/operations/{uuid}')['state']}")


@app.command("retry")
def retry_operation(ctx: typer.Context, uuid: OperationId, wait: Wait = True) -> None:
    """Ask once more for what failed or was cancelled."""
    api = api_of(ctx)
    follow(api, api.send("POST", f"/operations/{uuid}/retry")["operation"], wait)


@app.command("log")
def show_log(ctx: typer.Context, uuid: OperationId, as_json: AsJson = False) -> None:
    """Show what happened in an operation, line by line."""
    api = api_of(ctx)
    show(
        lambda: api.get(f"/operations/{uuid}")["log"],
        lambda rows: "\n".join(f"{row['at'][11:23]}  {clean(row['words'])}" for row in rows) or "Nothing happened yet.",
        as_json,
    )


def _stage(row: dict[str, Any]) -> str:
    started = [stage for stage in row["stages"] if stage["started_at"]]
    return clean(started[-1]["title"]) if started else "-"
