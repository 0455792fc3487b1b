"""`hopsight inventory`: the team's VMs as Ansible's dynamic inventory (its developer guide, "inventory scripts")."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

import typer

from hopsight_cli.client import WrongWords
from hopsight_cli.context import api_of
from hopsight_cli.output import clean
from hopsight_cli.shell import login_of

NOT_WORD = re.compile(r"[^A-Za-z0-9_]")  # Ansible's groups are named like variables


def add_to(app: typer.Typer) -> None:
    """inventory."""
    app.command("inventory")(inventory)


def inventory(
    ctx: typer.Context,
    list_all: Annotated[bool, typer.Option("--list", help="All VMs and their groups; what it does anyway.")] = False,
    host: Annotated[str | None, typer.Option("--host", metavar="VM", help="Only this VM's variables.")] = None,
) -> None:
    """Print the VMs as an Ansible inventory.

    Groups are image_…, network_…, group_… (security groups), host_… and state_…. An executable file that Ansible takes as -i:

    \b
      #!/bin/sh
      exec hopsight inventory "$@"
    """
    if list_all and host:
        raise WrongWords("--list and --host were given: choose one")
    rows = api_of(ctx).pages("/vms")
    told = variables_of(rows)
    if host is not None and host not in told:
        raise WrongWords(f"there is no VM {clean(host)!r} with an address in this team")
    typer.echo(
        json.dumps(told[host] if host else {**groups_of(rows), "_meta": {"hostvars": told}}, indent=2, sort_keys=True)
    )


def variables_of(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """VM → what Ansible needs to reach it, and what plays may ask about it. VMs without an address are left out."""
    told = {}
    for row in rows:
        if row["address"]:
            user, address = login_of(row, None)
            told[row["name"]] = {"ansible_host": address, "ansible_user": user} | {
                f"hopsight_{name}": row[name]
                for name in ("uuid", "state", "image", "flavor", "host", "vcpus", "ram_mib")
            }
    return told


def groups_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Group → its hosts, in the order of names."""
    groups: dict[str, set[str]] = {}
    for row in rows:
        words = [("image", row["image"]), ("state", row["state"]), ("host", row["host"])]
        words += [("network", port["network"]) for port in row["ports"]]
        words += [("group", name) for port in row["ports"] for name in port["groups"]]
        for kind, name in words:
            if name and row["address"]:
                groups.setdefault(NOT_WORD.sub("_", f"{kind}_{name}"), set()).add(row["name"])
    return {name: {"hosts": sorted(hosts)} for name, hosts in groups.items()}
