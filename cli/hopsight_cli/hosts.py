"""Hosts, for operators; how fresh what is known of them is, for everybody."""

from __future__ import annotations

from typing import Any

import typer

from hopsight_cli.context import AsJson, Watch, api_of
from hopsight_cli.output import Columns, age, show, table

app = typer.Typer(no_args_is_help=True, help="Look at the hosts that run the VMs.")
COLUMNS: Columns = {
    "NAME": lambda row: row["name"], "ENABLED": lambda row: row["enabled"], "VCPUS": lambda row: row["vcpus"],
    "MEMORY": lambda row: f"{row['ram_mib']} MiB", "ACCELERATOR": lambda row: row["accelerator"],
    "LIBVIRT SEEN": lambda row: _ago(row["libvirt_seen_at"]), "SWITCH SEEN": lambda row: _ago(row["ovs_seen_at"]),
}  # fmt: skip
AGES: Columns = {"NAME": lambda row: row["name"], "SEEN": lambda row: _ago(row["seen_at"])}


@app.command("list")
def list_hosts(ctx: typer.Context, as_json: AsJson = False, watch: Watch = False) -> None:
    """List the hosts (operators only)."""
    api = api_of(ctx)
    show(lambda: api.pages("/hosts"), lambda rows: table(rows, COLUMNS, "No host."), as_json, watch)


@app.command("status")
def status(ctx: typer.Context, as_json: AsJson = False, watch: Watch = False) -> None:
    """Show how old is what is known of each host."""
    api = api_of(ctx)

    def draw(value: dict[str, Any]) -> str:
        return table(value["hosts"], AGES, "No host.")

    show(lambda: api.get("/status"), draw, as_json, watch)


def _ago(moment: str | None) -> str:
    return f"{age(moment)} ago" if moment else "never"
