"""Volumes: list, make, attach, detach, grow, clone, delete."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hopsight_cli.client import Api
from hopsight_cli.context import AsJson, VmName, Wait, Watch, Yes, api_of, find_named, find_vm, follow, sure
from hopsight_cli.output import Columns, clean, show, table

app = typer.Typer(no_args_is_help=True, help="Disks that outlive VMs.")
COLUMNS: Columns = {
    "NAME": lambda row: row["name"], "SIZE": lambda row: f"{row['size_gib']} GiB", "STATE": lambda row: row["state"],
    "VM": lambda row: row["vm"], "AS": lambda row: row["target"], "POOL": lambda row: row["pool"],
}  # fmt: skip
VolumeName = Annotated[str, typer.Argument(metavar="VOLUME", help="Name or uuid of a volume.")]
Size = Annotated[int, typer.Option("--size", help="Size in GiB.")]
Bus = Annotated[str, typer.Option(help="virtio, scsi or sata.")]


@app.command("list")
def list_volumes(ctx: typer.Context, as_json: AsJson = False, watch: Watch = False) -> None:
    """List the team's volumes."""
    api = api_of(ctx)
    empty = "No volume. Make one: hopsight volume create NAME --size 1"
    show(lambda: api.pages("/volumes"), lambda rows: table(rows, COLUMNS, empty), as_json, watch)


@app.command("pools")
def list_pools(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the storage pools that volumes may lie in."""
    api = api_of(ctx)
    columns: Columns = {
        "POOL": lambda row: row["name"], "KIND": lambda row: row["kind"],
        "FREE": lambda row: f"{row['available_bytes'] / 1024**3:.1f} GiB",
        "LUNS OF GIB": lambda row: ", ".join(map(str, row["free_luns_gib"])),
    }  # fmt: skip
    show(lambda: api.get("/pools"), lambda rows: table(rows, columns, "No pool is offered."), as_json)


@app.command("create")
def create_volume(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name: letters, digits and dashes.")],
    size: Size = 1,
    vm: Annotated[str | None, typer.Option(help="Attach it to this VM at once.")] = None,
    bus: Bus = "virtio",
    pool: Annotated[str | None, typer.Option(help="Storage pool, as `volume pools` shows.")] = None,
    wait: Wait = True,
) -> None:
    """Make a volume."""
    api = api_of(ctx)
    uuid = find_vm(api, vm)["uuid"] if vm else None
    made = api.send("POST", "/volumes", {"name": name, "size_gib": size, "vm": uuid, "bus": bus, "pool": pool})
    follow(api, made["operation"], wait)


@app.command("attach")
def attach_volume(ctx: typer.Context, volume: VolumeName, vm: VmName, bus: Bus = "virtio", wait: Wait = True) -> None:
    """Give a volume to a VM, also while it runs."""
    api = api_of(ctx)
    _change(api, volume, "attach", {"vm": find_vm(api, vm)["uuid"], "bus": bus}, wait)


@app.command("detach")
def detach_volume(ctx: typer.Context, volume: VolumeName, wait: Wait = True) -> None:
    """Take a volume from its VM: unmount it in the guest first."""
    _change(api_of(ctx), volume, "detach", {}, wait)


@app.command("grow")
def grow_volume(ctx: typer.Context, volume: VolumeName, size: Size, wait: Wait = True) -> None:
    """Make a volume larger, also while its VM runs."""
    _change(api_of(ctx), volume, "grow", {"size_gib": size}, wait)


@app.command("clone")
def clone_volume(
    ctx: typer.Context,
    volume: VolumeName,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The clone's name.")],
    pool: Annotated[str | None, typer.Option(help="Another storage pool of its host, as `volume pools` shows.")] = None,
    size: Annotated[int | None, typer.Option("--size", help="Size in GiB, no less than its source has.")] = None,
    wait: Wait = True,
) -> None:
    """Make a volume with the same content."""
    _change(api_of(ctx), volume, "clone", {"name": name, "pool": pool, "size_gib": size}, wait)


@app.command("delete")
def delete_volume(ctx: typer.Context, volume: VolumeName, yes: Yes = False, wait: Wait = True) -> None:
    """Delete a volume with all that is on it."""
    api = api_of(ctx)
    row = find_volume(api, volume)
    sure(f"Delete {clean(row['name'])} with all that is on it?", yes)
    follow(api, api.send("DELETE", f"/volumes/{row['uuid']}")["operation"], wait)


def find_volume(api: Api, name: str) -> dict[str, Any]:
    """The volume of that name or uuid; ends with words where there is none."""
    return find_named(api, "volume", "/volumes", name, "hopsight volume list")


def _change(api: Api, volume: str, change: str, body: dict[str, Any], wait: bool) -> None:
    row = find_volume(api, volume)
    follow(api, api.send("POST", f"/volumes/{row['uuid']}/{change}", body)["operation"], wait)
