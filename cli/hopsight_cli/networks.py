"""Networks and what joins them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hopsight_cli.context import AsJson, Watch, Yes, api_of, find_named, sure
from hopsight_cli.output import Columns, clean, pairs, show, table

app = typer.Typer(no_args_is_help=True, help="Networks, routers and floating addresses.")
NetworkName = Annotated[str, typer.Argument(metavar="NETWORK", help="Name or uuid of a network.")]
COLUMNS: Columns = {
    "NAME": lambda row: row["name"], "SUBNETS": lambda row: [one["cidr"] for one in row["subnets"]],
    "GATEWAYS": lambda row: [one["gateway"] for one in row["subnets"] if one["gateway"]],
    "VNI": lambda row: row["vni"], "MTU": lambda row: row["mtu"],
}  # fmt: skip
ROUTERS: Columns = {
    "NAME": lambda row: row["name"], "SUBNETS": lambda row: [one["cidr"] for one in row["ports"]],
    "EXTERNAL": lambda row: row["external"], "ADDRESS": lambda row: row["external_address"],
    "GATEWAY HOST": lambda row: row["gateway_host"],
}  # fmt: skip
FLOATING: Columns = {
    "ADDRESS": lambda row: row["address"], "EXTERNAL": lambda row: row["external"], "STANDS FOR": lambda row: row["fixed"],
}  # fmt: skip


@app.command("list")
def list_networks(ctx: typer.Context, as_json: AsJson = False, watch: Watch = False) -> None:
    """List the team's networks."""
    api = api_of(ctx)
    empty = "No network. Make one: hopsight network create NAME 10.30.0.0/24"
    show(lambda: api.pages("/networks"), lambda rows: table(rows, COLUMNS, empty), as_json, watch)


@app.command("show")
def show_network(ctx: typer.Context, network: NetworkName, as_json: AsJson = False) -> None:
    """Show one network with its subnets."""
    api = api_of(ctx)
    row = find_named(api, "network", "/networks", network, "hopsight network list")
    show(lambda: api.get(f"/networks/{row['uuid']}"), _about, as_json)


@app.command("create")
def create_network(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name.")],
    cidr: Annotated[str, typer.Argument(metavar="CIDR", help="Its subnet, as 10.30.0.0/24.")],
    gateway: Annotated[str, typer.Option(help="The gateway's address; the first one if you do not say.")] = "",
    dns: Annotated[list[str] | None, typer.Option(help="A name server; may be given several times.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a network with one subnet."""
    body: dict[str, Any] = {"name": name, "cidr": cidr, "gateway": gateway}
    body |= {"dns": dns} if dns else {}
    made = api_of(ctx).send("POST", "/networks", body)
    show(lambda: made, _about, as_json)


@app.command("delete")
def delete_network(ctx: typer.Context, network: NetworkName, yes: Yes = False) -> None:
    """Delete a network that nothing uses."""
    api = api_of(ctx)
    row = find_named(api, "network", "/networks", network, "hopsight network list")
    sure(f"Delete the network {clean(row['name'])}?", yes)
    api.send("DELETE", f"/networks/{row['uuid']}")
    typer.echo(f"{clean(row['name'])} is gone.")


@app.command("routers")
def list_routers(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the team's routers."""
    api = api_of(ctx)
    show(lambda: api.pages("/routers"), lambda rows: table(rows, ROUTERS, "No router."), as_json)


@app.command("floating")
def list_floating(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the team's floating addresses."""
    api = api_of(ctx)
    show(lambda: api.pages("/floating-addresses"), lambda rows: table(rows, FLOATING, "No floating address."), as_json)


@app.command("groups")
def list_groups(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the team's security groups with their rules in words."""
    api = api_of(ctx)

    def draw(rows: list[dict[str, Any]]) -> str:
        texts = []
        for row in rows:
            texts.append(f"{typer.style(clean(row['name']), bold=True)}  ports: {clean(row['ports'])}")
            texts += [f"  {rule['id']:>5}  {clean(rule['words'])}" for rule in row["rules"]] or ["  no rule"]
        return "\n".join(texts) or "No group."

    show(lambda: api.get("/security-groups"), draw, as_json)


def _about(row: dict[str, Any]) -> str:
    lines: list[tuple[str, object]] = [(name, row[name]) for name in ("name", "uuid", "vni", "mtu")]
    for subnet in row["subnets"]:
        first, last = subnet["pool"]
        lines.append(("subnet", f"{subnet['cidr']}, gateway {subnet['gateway'] or '-'}, addresses {first} to {last}"))
    return pairs(lines)
