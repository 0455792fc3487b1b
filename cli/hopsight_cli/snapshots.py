"""Snapshots of a VM: list, take, revert, delete; the plan that takes them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hopsight_cli.client import Api
from hopsight_cli.context import AsJson, VmName, Wait, Yes, api_of, find_snapshot, find_vm, follow, sure
from hopsight_cli.output import Columns, age, clean, show, table
from hopsight_cli.plans import Every, Keep, tell_plan

app = typer.Typer(no_args_is_help=True, help="Moments of a VM's disks, and of its memory.")
COLUMNS: Columns = {
    "NAME": lambda row: row["name"], "AGE": lambda row: age(row["created_at"]), "STATE": lambda row: row["state"],
    "MEMORY": lambda row: row["has_memory"],
    "VOLUMES": lambda row: ", ".join(one["name"] for one in row["volumes"]), "CURRENT": lambda row: row["is_current"], "FILE": lambda row: row["disk_name"],
}  # fmt: skip
Name = Annotated[str, typer.Argument(metavar="SNAPSHOT", help="Name or uuid of a snapshot.")]


@app.command("list")
def list_snapshots(ctx: typer.Context, vm: VmName, as_json: AsJson = False) -> None:
    """List a VM's snapshots, each after what it lies on."""
    api = api_of(ctx)
    uuid = find_vm(api, vm)["uuid"]
    empty = f"No snapshot. Take one: hopsight snapshot take {clean(vm)} NAME"
    show(lambda: api.get(f"/vms/{uuid}/snapshots"), lambda rows: table(rows, COLUMNS, empty), as_json)


@app.command("take")
def take_snapshot(
    ctx: typer.Context,
    vm: VmName,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name: letters, digits and dashes.")],
    memory: Annotated[bool, typer.Option("--memory", help="Keep the running guest's memory, too.")] = False,
    volume: Annotated[
        list[str] | None, typer.Option("--volume", help="Only these of its volumes; more than once.")
    ] = None,
    without_volumes: Annotated[bool, typer.Option("--without-volumes", help="Its own disk alone.")] = False,
    wait: Wait = True,
) -> None:
    """Take a snapshot of a VM and its volumes, also while it runs."""
    api = api_of(ctx)
    path = f"/vms/{find_vm(api, vm)['uuid']}/snapshots"
    body: dict[str, Any] = {"name": name, "memory": memory, "volumes": [] if without_volumes else volume or None}
    follow(api, api.send("POST", path, body)["operation"], wait)


@app.command("revert")
def revert(ctx: typer.Context, vm: VmName, snapshot: Name, yes: Yes = False, wait: Wait = True) -> None:
    """Give a VM the disk of that moment back."""
    api = api_of(ctx)
    path, row = _find(api, vm, snapshot)
    stays = f" These volumes stay as they are: {clean(', '.join(row['stays']))}." if row["stays"] else ""
    sure(f"Revert {clean(vm)} to {clean(row['name'])}, and lose what it wrote since its last snapshot?{stays}", yes)
    follow(api, api.send("POST", f"{path}/revert")["operation"], wait)


@app.command("delete")
def delete_snapshot(ctx: typer.Context, vm: VmName, snapshot: Name, yes: Yes = False, wait: Wait = True) -> None:
    """Forget a snapshot; the VM's disk stays as it is."""
    api = api_of(ctx)
    path, row = _find(api, vm, snapshot)
    sure(f"Delete the snapshot {clean(row['name'])} of {clean(vm)}?", yes)
    follow(api, api.send("DELETE", path)["operation"], wait)


@app.command("plan")
def plan(
    ctx: typer.Context,
    vm: VmName,
    every: Every = None,
    keep: Keep = None,
    volumes: Annotated[
        bool | None, typer.Option("--with-volumes/--without-volumes", help="With all volumes that can be in it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell, or change, how often one is taken by itself."""
    api = api_of(ctx)
    path = f"/vms/{find_vm(api, vm)['uuid']}/snapshot-plan"
    tell_plan(api, path, {"every_hours": every, "keep": keep, "volumes": volumes}, as_json)


def _find(api: Api, vm: str, name: str) -> tuple[str, dict[str, Any]]:
    path = f"/vms/{find_vm(api, vm)['uuid']}/snapshots"
    return find_snapshot(api, path, name, "hopsight snapshot list VM")
