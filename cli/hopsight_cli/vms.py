"""VMs: list, show, make, delete, power."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from hopsight_cli.client import Api, WrongWords
from hopsight_cli.context import AsJson, VmName, Wait, Watch, Yes, api_of, find_vm, follow, sure, until
from hopsight_cli.output import Columns, age, clean, pairs, show, table

app = typer.Typer(no_args_is_help=True, help="Make, list, power and delete VMs.")
COLUMNS: Columns = {
    "NAME": lambda vm: vm["name"], "STATE": lambda vm: vm["state"], "ADDRESS": lambda vm: vm["address"],
    "HOST": lambda vm: vm["host"], "IMAGE": lambda vm: vm["image"], "SIZE": lambda vm: vm["flavor"],
    "AGE": lambda vm: age(vm["created_at"]),
}  # fmt: skip
SSH_WAIT_S = 300.0


@app.command("list")
def list_vms(
    ctx: typer.Context,
    state: Annotated[str | None, typer.Option(help="Only VMs in this state, as running or stopped.")] = None,
    host: Annotated[str | None, typer.Option(help="Only VMs on this host.")] = None,
    as_json: AsJson = False,
    watch: Watch = False,
) -> None:
    """List the team's VMs."""
    api = api_of(ctx)
    empty = "No VM. Make one: hopsight vm create NAME"
    show(lambda: api.pages("/vms", state=state, host=host), lambda rows: table(rows, COLUMNS, empty), as_json, watch)


@app.command("show")
def show_vm(ctx: typer.Context, vm: VmName, as_json: AsJson = False, watch: Watch = False) -> None:
    """Show one VM: its state, ports and line that logs in."""
    api = api_of(ctx)
    show(lambda: find_vm(api, vm), _about, as_json, watch)


@app.command("create")
def create_vm(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name and host name: letters, digits and dashes.")],
    image: Annotated[str | None, typer.Option(help="Image to boot; the first one if you do not say.")] = None,
    size: Annotated[str | None, typer.Option(help="Size; the smallest if you do not say.")] = None,
    network: Annotated[str | None, typer.Option(help="Network; the team's only one if you do not say.")] = None,
    group: Annotated[list[str] | None, typer.Option(help="Security group; may be given several times.")] = None,
    address: Annotated[str | None, typer.Option(help="A fixed address of the network.")] = None,
    key: Annotated[
        int | None,
        typer.Option(help="Number of one of your SSH keys, as `key list` shows; the first one if you do not say."),
    ] = None,
    user_data: Annotated[Path | None, typer.Option(help="cloud-init user-data file; - for stdin.")] = None,
    host: Annotated[str, typer.Option(help="The host to lie on; the best one if you do not say.")] = "",
    apart: Annotated[str, typer.Option(help="VMs with the same word lie on different hosts.")] = "",
    cpu: Annotated[str, typer.Option(help="CPU model, as Nehalem or host-model.")] = "",
    machine: Annotated[str, typer.Option(help="q35 or pc.")] = "q35",
    disk_bus: Annotated[str, typer.Option(help="virtio, scsi or sata.")] = "virtio",
    disk_cache: Annotated[str, typer.Option(help="writeback, none or writethrough.")] = "writeback",
    nic: Annotated[str, typer.Option(help="virtio, e1000e, e1000, rtl8139 or vmxnet3.")] = "virtio",
    lease_days: Annotated[int, typer.Option(min=0, help="Its lease ends so many days from now; 0: none.")] = 0,
    autostart: Annotated[bool, typer.Option(help="Start it with its host.")] = False,
    volume: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GIB[:NAME[:BUS]]", help="A volume to make: 10 or 10:data:scsi; may be given several times."
        ),
    ] = None,
    attach: Annotated[
        list[str] | None, typer.Option(help="A free volume, as `volume list` shows; may be given several times.")
    ] = None,
    wait: Wait = True,
    ssh: Annotated[bool, typer.Option("--ssh", help="Wait until the guest answers SSH, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a VM and start it."""
    api = api_of(ctx)
    body = {
        "name": name, "image": image or _first(api, "/images", "slug"), "flavor": size or _first(api, "/flavors", "name"),
        "network": network or _only_network(api), "groups": group or None, "address": address,
        "key": key or _first_key(api),
        "user_data": _read(user_data) if user_data else "",
        "host": host, "apart": apart, "cpu_model": cpu, "machine": machine, "disk_bus": disk_bus, "disk_cache": disk_cache,
        "nic_model": nic, "lease_days": lease_days, "is_autostarted": autostart,
        "volumes": [_new_volume(one) for one in volume or ()], "attach": attach or [],
    }  # fmt: skip
    made = api.send("POST", "/vms", body)
    follow(api, made["operation"], wait or ssh)
    uuid = made["vm"]["uuid"]
    if ssh:
        until(lambda: api.get(f"/vms/{uuid}")["ssh_at"], f"{name} answers SSH", SSH_WAIT_S)
    show(lambda: api.get(f"/vms/{uuid}"), _about, as_json)


@app.command("delete")
def delete_vm(ctx: typer.Context, vm: VmName, yes: Yes = False, wait: Wait = True) -> None:
    """Delete a VM with its disk."""
    api = api_of(ctx)
    row = find_vm(api, vm)
    sure(f"Delete {clean(row['name'])} with its disk?", yes)
    follow(api, api.send("DELETE", f"/vms/{row['uuid']}")["operation"], wait)
    if wait:
        typer.echo(f"{clean(row['name'])} is gone.")


@app.command("set")
def set_vm(
    ctx: typer.Context,
    vm: VmName,
    autostart: Annotated[bool | None, typer.Option(help="Start it with its host.")] = None,
    protect: Annotated[bool | None, typer.Option(help="Refuse to delete it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Let a VM start with its host, or not be deleted."""
    api = api_of(ctx)
    if autostart is None and protect is None:
        raise WrongWords("nothing to set: give --autostart, --no-autostart, --protect or --no-protect")
    uuid = find_vm(api, vm)["uuid"]
    flags = {"is_autostarted": autostart, "is_protected": protect}
    changed = {name: value for name, value in flags.items() if value is not None}
    show(lambda: api.send("PATCH", f"/vms/{uuid}", changed), _about, as_json)


def _new_volume(text: str) -> dict[str, Any]:
    size, _, rest = text.partition(":")
    name, _, bus = rest.partition(":")
    if not (size.isascii() and size.isdecimal()):
        raise WrongWords(
            f"“{clean(text)}” was given for --volume: say GiB, or GiB:NAME, or GiB:NAME:BUS, as 10:data:scsi"
        )
    return {"size_gib": int(size), "name": name, "bus": bus or "virtio"}


def _power(name: str, words: str) -> None:
    def power(ctx: typer.Context, vm: VmName, wait: Wait = True) -> None:
        api = api_of(ctx)
        row = find_vm(api, vm)
        follow(api, api.send("POST", f"/vms/{row['uuid']}/actions/{name}")["operation"], wait)

    power.__doc__ = words
    app.command(name.replace("_", "-"))(power)


for _name, _words in (
    ("start", "Power a VM on."),
    ("stop", "Press the power button: the guest shuts down by itself."),
    ("reboot", "Ask the guest to restart."),
    ("reset", "Press the reset button: the guest is not asked."),
    ("suspend", "Stop its vCPUs; its memory stays on the host."),
    ("resume", "Let its vCPUs run on."),
    ("force_off", "Cut its power: what the guest has not written yet is lost."),
):
    _power(_name, _words)


@app.command("make-image")
def make_image(
    ctx: typer.Context,
    vm: VmName,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The image's name, as people call it.")],
    wait: Wait = True,
) -> None:
    """Make an image of the disk of a VM that is off."""
    api = api_of(ctx)
    follow(api, api.send("POST", f"/vms/{find_vm(api, vm)['uuid']}/image", {"name": name})["operation"], wait)


@app.command("images")
def list_images(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the images that can be booted."""
    api = api_of(ctx)
    columns: Columns = {
        "IMAGE": lambda row: row["slug"],
        "NAME": lambda row: row["name"],
        "MEMORY": lambda row: f"{row['min_ram_mib']} MiB", "DISK": lambda row: f"{row['min_disk_gib']} GiB",
        "WHOSE": lambda row: row["team"] or "everybody", "NOTE": lambda row: row["note"],
    }  # fmt: skip
    show(lambda: api.get("/images"), lambda rows: table(rows, columns, "No image."), as_json)


@app.command("share-image")
def share_image(
    ctx: typer.Context,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="The image, as `vm images` calls it.")],
    team: Annotated[list[str] | None, typer.Argument(metavar="TEAM...", help="Teams; none: with nobody.")] = None,
) -> None:
    """Share an image with these teams and no others."""
    told = api_of(ctx).send("PUT", f"/images/{quote(image, safe='')}/shares", {"teams": team or []})
    names = ", ".join(clean(one) for one in told["shared_with"])
    typer.echo(f"{clean(told['name'])} is shared with {names or 'nobody'}.")


@app.command("sizes")
def list_sizes(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the sizes."""
    api = api_of(ctx)
    columns: Columns = {
        "SIZE": lambda row: row["name"], "VCPUS": lambda row: row["vcpus"], "MEMORY": lambda row: f"{row['ram_mib']} MiB",
        "DISK": lambda row: f"{row['disk_gib']} GiB",
    }  # fmt: skip
    show(lambda: api.get("/flavors"), lambda rows: table(rows, columns, "No size."), as_json)


def _about(vm: dict[str, Any]) -> str:
    lines: list[tuple[str, object]] = [
        ("name", vm["name"]), ("state", vm["state"]), ("why", vm["state_reason"] or None), ("uuid", vm["uuid"]),
        ("host", vm["host"]), ("image", vm["image"]),
        ("size", f"{vm['flavor']}: {vm['vcpus']} vCPU, {vm['ram_mib']} MiB, {vm['disk_gib']} GiB"),
        ("autostart", vm["is_autostarted"]), ("protected", vm["is_protected"]), ("ssh", vm["ssh"]),
        ("ssh answers", f"since {age(vm['ssh_at'])}" if vm["ssh_at"] else "not yet"),
    ]  # fmt: skip
    for port in vm["ports"]:
        told = f"{clean(port['addresses'])} on {port['network']}, {port['mac']}, groups {clean(port['groups'])}"
        lines.append(("port", f"{told}, tap {port['tap'] or '-'}"))
    return pairs([(name, value) for name, value in lines if value is not None])


def _first(api: Api, path: str, field: str) -> str:
    rows = api.get(path)
    if not rows:
        raise WrongWords(f"there is nothing to choose: {path} is empty")
    return str(rows[0][field])


def _first_key(api: Api) -> int | None:
    rows = api.get("/keys")
    if not rows:
        typer.echo("You have no SSH key here: nobody can log in by one. Add one: hopsight key add", err=True)
    return int(rows[0]["id"]) if rows else None


def _only_network(api: Api) -> str:
    names = [row["name"] for row in api.pages("/networks")]
    if len(names) != 1:
        raise WrongWords(f"say which --network: {', '.join(map(clean, names)) or 'there is none yet'}")
    return str(names[0])


def _read(path: Path) -> str:
    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text()
    except (OSError, UnicodeDecodeError) as problem:
        raise WrongWords(f"{path} cannot be read: {problem}") from None
