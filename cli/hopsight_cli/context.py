"""What every command shares: the connection, finding things by name, waiting for operations, words for options."""

from __future__ import annotations

import difflib
import re
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from hopsight_cli import config
from hopsight_cli.client import Api, CliError, WrongWords
from hopsight_cli.output import clean

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
POLL_S = 0.5
WAIT_S = 600.0
COMPLETE_WITHIN_S = 3.0  # a shell that waits for names takes no keys meanwhile
ENDED = ("done", "failed", "cancelled")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Print again whenever it changes, until Ctrl-C.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is done, showing each stage.")]


def api_of(ctx: typer.Context) -> Api:
    """The connection, as the options and the stored log-in say."""
    if ctx.obj is None or not isinstance(ctx.find_root().obj, Api):
        given: dict[str, str] = ctx.find_root().params
        ctx.find_root().obj = Api(profile_of(given.get("url"), given.get("team")), given.get("reason") or "")
    found = ctx.find_root().obj
    assert isinstance(found, Api)
    return found


def profile_of(url: str | None, team: str | None) -> config.Profile:
    """The stored profile with what was given on the command line over it. Raises WrongWords for what is no address."""
    kept = config.load()
    if url and url.rstrip("/") != kept.url:
        kept = config.Profile(url.rstrip("/"), team=kept.team)  # a token is one server's: it is sent to no other
    refuse_no_address(kept.url)
    return replace(kept, team=team or kept.team)


def refuse_no_address(url: str) -> None:
    """Raises WrongWords for what cannot be a server's address."""
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        raise WrongWords(f"{clean(url)!r} was given; an address begins with https:// (or http:// on this machine)")


def find_vm(api: Api, name: str) -> dict[str, Any]:
    """The VM of a name or uuid. Raises WrongWords with the names that are near."""
    if UUID.fullmatch(name):
        found: dict[str, Any] = api.get(f"/vms/{name}")
        return found
    rows = api.pages("/vms", 1, name=name)
    return rows[0] if rows else missing("VM", name, [row["name"] for row in api.pages("/vms")], "hopsight vm list")


def find_named(api: Api, noun: str, path: str, name: str, command: str) -> dict[str, Any]:
    """The thing of a name or uuid among those of a path. Raises WrongWords."""
    return named_in(api.pages(path), noun, name, command)


def find_snapshot(api: Api, path: str, name: str, command: str) -> tuple[str, dict[str, Any]]:
    """The path and the snapshot of a name or uuid, among a VM's or a volume's. Raises WrongWords."""
    row = named_in(api.get(path), "snapshot", name, command)
    return f"{path}/{row['uuid']}", row


def named_in(rows: list[dict[str, Any]], noun: str, name: str, command: str) -> dict[str, Any]:
    """The row of a name or uuid. Raises WrongWords."""
    found = next((row for row in rows if name in (row["name"], row["uuid"])), None)
    return found or missing(noun, name, [row["name"] for row in rows], command)


def missing(noun: str, name: str, names: list[str], command: str) -> dict[str, Any]:
    """Raises WrongWords: what was given, and what is there."""
    near = difflib.get_close_matches(name, names, 3)
    hint = f"did you mean {' or '.join(clean(one) for one in near)}?" if near else f"`{command}` lists what there is."
    raise WrongWords(f"there is no {noun} {clean(name)!r} in this team: {hint}")


def sure(question: str, yes: bool) -> None:
    """Ask before something is lost. Raises WrongWords where nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise WrongWords(f"{question} Nobody can be asked here: add --yes.")
    typer.confirm(question, abort=True)


def follow(api: Api, operation: dict[str, Any], wait: bool) -> None:
    """Print the operation's stages as they end. Raises CliError when it fails."""
    if not wait:
        typer.echo(f"operation {operation['uuid']}", err=True)
        return
    told: set[str] = set()

    def ended() -> bool:
        nonlocal operation
        operation = api.get(f"/operations/{operation['uuid']}")
        for stage in operation["stages"]:
            if stage["finished_at"] and stage["name"] not in told:
                told.add(stage["name"])
                mark = "✔" if stage["state"] == "done" else "✖"
                words = f"  {mark} {clean(stage['title'])}  {stage['duration_s_label']}  {clean(stage['detail'] or '')}"
                typer.echo(words.rstrip(" -"), err=True)
        return operation["state"] in ENDED

    until(ended, f"operation {operation['uuid']} ends")
    if operation["state"] != "done":
        raise CliError(f"{operation['kind']} of {operation['object_name']} {operation['state']}: {operation['error']}")


def until(holds: Callable[[], Any], what: str, wait_s: float = WAIT_S) -> None:
    """Ask again and again until it holds. Raises CliError after a while."""
    last = time.monotonic() + wait_s
    while not holds():
        if time.monotonic() > last:
            raise CliError(f"waited {wait_s:.0f} s and it is not so yet: {what}")
        time.sleep(POLL_S)


def vm_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """For completion: the team's VMs. Nothing when the server cannot be asked."""
    try:
        profile = profile_of(*(ctx.find_root().params.get(name) for name in ("url", "team")))
        rows = Api(profile, patience_s=COMPLETE_WITHIN_S).pages("/vms")
    except CliError:
        return []
    return [row["name"] for row in rows if row["name"].startswith(incomplete)]


VmName = Annotated[str, typer.Argument(metavar="VM", help="Name or uuid of a VM.", autocompletion=vm_names)]
