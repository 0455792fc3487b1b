"""A volume's own snapshots: list, take, revert, clone, delete; the plan that takes them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hopsight_cli.client import Api
from hopsight_cli.context import AsJson, Wait, Yes, api_of, find_snapshot, follow, sure
from hopsight_cli.output import Columns, age, clean, show, table
from hopsight_cli.plans import Every, Keep, tell_plan
from hopsight_cli.volumes import VolumeName, find_volume

app = typer.Typer(no_args_is_help=True, help="Moments of one volume.")
COLUMNS: Columns = {
    "NAME": lambda row: row["name"], "AGE": lambda row: age(row["created_at"]), "STATE": lambda row: row["state"],
    "SIZE": lambda row: f"{row['size_gib']} GiB", "CURRENT": lambda row: row["is_current"], "FILE": lambda row: row["file_name"],
}  # fmt: skip
SnapshotName = Annotated[str, typer.Argument(metavar="SNAPSHOT", help="Name or uuid of a snapshot of the volume.")]
NewName = Annotated[str, typer.Argument(metavar="NAME", help="Its name: letters, digits and dashes.")]


@app.command("list")
def list_snapshots(ctx: typer.Context, volume: VolumeName, as_json: AsJson = False) -> None:
    """List a volume's own snapshots."""
    api = api_of(ctx)
    path = f"/volumes/{find_volume(api, volume)['uuid']}/snapshots"
    empty = f"No snapshot. Take one: hopsight volume snapshot take {clean(volume)} NAME"
    show(lambda: api.get(path), lambda rows: table(rows, COLUMNS, empty), as_json)


@app.command("take")
def take_snapshot(ctx: typer.Context, volume: VolumeName, name: NewName, wait: Wait = True) -> None:
    """Take a snapshot of one volume, also while a VM writes to it."""
    api = api_of(ctx)
    path = f"/volumes/{find_volume(api, volume)['uuid']}/snapshots"
    follow(api, api.send("POST", path, {"name": name})["operation"], wait)


@app.command("revert")
def revert(ctx: typer.Context, volume: VolumeName, snapshot: SnapshotName, yes: Yes = False, wait: Wait = True) -> None:
    """Give a volume what it held then; no running VM may have it."""
    api = api_of(ctx)
    path, row = _find(api, volume, snapshot)
    sure(f"Revert {clean(volume)} to {clean(row['name'])}, and lose what was written to it since?", yes)
    follow(api, api.send("POST", f"{path}/revert")["operation"], wait)


@app.command("clone")
def clone(ctx: typer.Context, volume: VolumeName, snapshot: SnapshotName, name: NewName, wait: Wait = True) -> None:
    """Make a volume with what another one held then."""
    api = api_of(ctx)
    path, _ = _find(api, volume, snapshot)
    follow(api, api.send("POST", f"{path}/clone", {"name": name})["operation"], wait)


@app.command("delete")
def delete_snapshot(
    ctx: typer.Context, volume: VolumeName, snapshot: SnapshotName, yes: Yes = False, wait: Wait = True
) -> None:
    """Forget a snapshot; the volume stays as it is."""
    api = api_of(ctx)
    path, row = _find(api, volume, snapshot)
    sure(f"Delete the snapshot {clean(row['name'])} of {clean(volume)}?", yes)
    follow(api, api.send("DELETE", path)["operation"], wait)


@app.command("plan")
def plan(
    ctx: typer.Context, volume: VolumeName, every: Every = None, keep: Keep = None, as_json: AsJson = False
) -> None:
    """Tell, or change, how often one is taken by itself."""
    api = api_of(ctx)
    path = f"/volumes/{find_volume(api, volume)['uuid']}/snapshot-plan"
    tell_plan(api, path, {"every_hours": every, "keep": keep}, as_json)


def _find(api: Api, volume: str, name: str) -> tuple[str, dict[str, Any]]:
    path = f"/volumes/{find_volume(api, volume)['uuid']}/snapshots"
    return find_snapshot(api, path, name, "hopsight volume snapshot list VOLUME")
