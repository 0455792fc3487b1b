"""Backups: list, take, restore, delete; the stores they lie in."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hopsight_cli.client import Api
from hopsight_cli.context import AsJson, VmName, Wait, Yes, api_of, find_vm, follow, missing, sure
from hopsight_cli.output import Columns, age, clean, show, table

app = typer.Typer(no_args_is_help=True, help="Copies of VMs' disks, away from their hosts.")
COLUMNS: Columns = {
    "BACKUP": lambda row: row["uuid"][:8], "VM": lambda row: row["vm"], "AGE": lambda row: age(row["created_at"]),
    "KIND": lambda row: row["kind"], "STATE": lambda row: row["state"], "STORE": lambda row: row["store"],
    "SIZE": lambda row: f"{row['size_bytes'] / 1024**2:.1f} MiB",
}  # fmt: skip
BackupId = Annotated[
    str, typer.Argument(metavar="BACKUP", help="Its uuid, or how that begins, as `backup list` shows.")
]


@app.command("list")
def list_backups(
    ctx: typer.Context,
    vm: Annotated[str | None, typer.Argument(metavar="VM", help="Only those of this VM.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the team's backups, or a VM's."""
    api = api_of(ctx)
    path = f"/vms/{find_vm(api, vm)['uuid']}/backups" if vm else "/backups"
    empty = "No backup. Take one: hopsight backup take VM"
    show(lambda: api.get(path) if vm else api.pages(path), lambda rows: table(rows, COLUMNS, empty), as_json)


@app.command("stores")
def list_stores(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the stores that backups may lie in."""
    api = api_of(ctx)
    columns: Columns = {
        "STORE": lambda row: row["name"], "KIND": lambda row: row["kind"], "TAKES": lambda row: row["is_enabled"],
        "USABLE": lambda row: row["is_usable"],
    }  # fmt: skip
    show(lambda: api.get("/backup-stores"), lambda rows: table(rows, columns, "No store yet."), as_json)


@app.command("take")
def take_backup(
    ctx: typer.Context,
    vm: VmName,
    full: Annotated[bool, typer.Option("--full", help="Not only what was written since the last one.")] = False,
    store: Annotated[str, typer.Option(help="Store, as `backup stores` shows; none: the first.")] = "",
    without_volumes: Annotated[bool, typer.Option("--without-volumes", help="Its own disk alone.")] = False,
    wait: Wait = True,
) -> None:
    """Back up a VM, also while it runs."""
    api = api_of(ctx)
    body: dict[str, Any] = {"full": full, "store": store, "volumes": [] if without_volumes else None}
    follow(api, api.send("POST", f"/vms/{find_vm(api, vm)['uuid']}/backups", body)["operation"], wait)


@app.command("restore")
def restore_backup(
    ctx: typer.Context,
    backup: BackupId,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new VM.")],
    network: Annotated[str, typer.Option(help="Its network; none: the one that the VM was on.")] = "",
    without_volumes: Annotated[bool, typer.Option("--without-volumes", help="No new volumes.")] = False,
    volume_pool: Annotated[
        str | None, typer.Option(help="Storage pool of the new volumes, as `volume pools` shows.")
    ] = None,
    wait: Wait = True,
) -> None:
    """Make a new VM of a backup."""
    api = api_of(ctx)
    path = f"/backups/{_find(api, backup)['uuid']}/restore"
    body: dict[str, Any] = {"name": name, "network": network, "volumes": [] if without_volumes else None}
    body["volume_pool"] = volume_pool
    follow(api, api.send("POST", path, body)["operation"], wait)


@app.command("delete")
def delete_backup(ctx: typer.Context, backup: BackupId, yes: Yes = False, wait: Wait = True) -> None:
    """Delete a backup, and those that lie on it."""
    api = api_of(ctx)
    row = _find(api, backup)
    sure(f"Delete the backup of {clean(row['vm'])} of {clean(row['created_at'])}, and those that lie on it?", yes)
    follow(api, api.send("DELETE", f"/backups/{row['uuid']}")["operation"], wait)


def _find(api: Api, text: str) -> dict[str, Any]:
    rows = list(api.pages("/backups"))
    found = [one for one in rows if text and one["uuid"].startswith(text)]
    if len(found) == 1:
        row: dict[str, Any] = found[0]
        return row
    return missing("backup", text, [one["uuid"][:8] for one in found or rows], "hopsight backup list")
