"""One's SSH keys, which are put into new VMs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hopsight_cli.client import WrongWords
from hopsight_cli.context import AsJson, api_of
from hopsight_cli.output import Columns, clean, show, table

app = typer.Typer(no_args_is_help=True, help="Your SSH keys, for new VMs.")
COLUMNS: Columns = {
    "NUMBER": lambda row: row["id"], "NAME": lambda row: row["name"], "FINGERPRINT": lambda row: row["fingerprint"],
}  # fmt: skip
USUAL = ("id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub")


@app.command("list")
def list_keys(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List your SSH keys."""
    api = api_of(ctx)
    show(lambda: api.get("/keys"), lambda rows: table(rows, COLUMNS, "No key. Add one: hopsight key add"), as_json)


@app.command("add")
def add_key(
    ctx: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="A public key's file; the usual one if you do not say.")
    ] = None,
    name: Annotated[str, typer.Option(help="Its name; the key's own comment if you do not say.")] = "",
    as_json: AsJson = False,
) -> None:
    """Add the public half of an SSH key."""
    api = api_of(ctx)
    made = api.send("POST", "/keys", {"name": name, "public_key": _public(file)})
    show(lambda: [made], lambda rows: table(rows, COLUMNS, ""), as_json)


@app.command("delete")
def delete_key(
    ctx: typer.Context, number: Annotated[int, typer.Argument(metavar="NUMBER", help="As `key list` shows.")]
) -> None:
    """Forget a key; VMs made with it keep their copy."""
    api_of(ctx).send("DELETE", f"/keys/{number}")


def _public(file: Path | None) -> str:
    """The text of a public key's file, and never of a private one."""
    usual = [Path.home() / ".ssh" / name for name in USUAL]
    found = file or next((one for one in usual if one.is_file()), None)
    if found is None:
        raise WrongWords(f"none of {', '.join(USUAL)} is in ~/.ssh: name a file, or make a key with ssh-keygen")
    try:
        text = found.read_text()
    except (OSError, UnicodeDecodeError) as problem:
        raise WrongWords(f"{found} cannot be read: {problem}") from None
    if "PRIVATE KEY" in text:
        raise WrongWords(f"{clean(found)} is a private key, which is to stay here: give the .pub file")
    return text.strip()
