"""`hopsight ssh`, and `hopsight api` for what has no command of its own."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from ipaddress import ip_address
from typing import Annotated, Any

import typer

from hopsight_cli.client import CliError, WrongWords
from hopsight_cli.context import VmName, api_of, find_vm, until
from hopsight_cli.output import clean

LOGIN_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
SSH_WAIT_S = 180.0
TAKE_A_VALUE = tuple(f"-{letter}" for letter in "BbcDEeFIiJLlmOopQRSWw")  # ssh(1)


def add_to(app: typer.Typer) -> None:
    """ssh, api."""
    app.command("ssh", context_settings={"ignore_unknown_options": True})(ssh)
    app.command("api")(call)


def ssh(
    ctx: typer.Context,
    vm: VmName,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[-- WORDS]", help="A command, or options, for ssh.")
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", "-l", help="Log in as; the image's own user if you do not say.")
    ] = None,
    via: Annotated[
        str, typer.Option(envvar="HOPSIGHT_SSH_VIA", help="Words before ssh, as 'ip netns exec hs-main-access'.")
    ] = "",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until a VM that is coming up answers.")] = True,
    show: Annotated[bool, typer.Option("--print", help="Print the command instead of running it.")] = False,
) -> None:
    """Log in to a VM by SSH.

    \b
      hopsight ssh web-1
      hopsight ssh web-1 -- uname -a
      hopsight ssh web-1 -- -L 8080:localhost:80
    """
    api = api_of(ctx)
    row = find_vm(api, vm)
    argv = [*shlex.split(via), "ssh", *_words(words or [], _destination(row, user))]
    if show:
        typer.echo(shlex.join(argv))
        return
    if row["state"] not in ("running", "creating"):
        raise CliError(f"{row['name']} is {row['state']}: hopsight vm start {row['name']}")
    if wait and not row["ssh_at"]:
        typer.echo(f"{clean(row['name'])} is coming up …", err=True)
        until(lambda: api.get(f"/vms/{row['uuid']}")["ssh_at"], f"{row['name']} answers SSH", SSH_WAIT_S)
    program = shutil.which(argv[0])
    if program is None:
        raise WrongWords(f"there is no program {argv[0]!r} on this machine")
    sys.stdout.flush()
    os.execv(program, argv)


def call(
    ctx: typer.Context,
    method: Annotated[str, typer.Argument(metavar="METHOD", help="GET, POST, PUT, PATCH or DELETE.")],
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="As /vms or /networks/UUID; see the server's page /api/docs/.")
    ],
    data: Annotated[str | None, typer.Option("--data", "-d", help="JSON to send; - for stdin.")] = None,
) -> None:
    """Send any request of the API and print its JSON."""
    verb = method.upper()
    if verb not in METHODS:
        raise WrongWords(f"{clean(method)!r} was given; {', '.join(METHODS)} are allowed")
    api = api_of(ctx)
    place = "/" + path.removeprefix("/api/v1").lstrip("/")
    try:
        body: Any = json.loads(sys.stdin.read() if data == "-" else data) if data is not None else None
    except ValueError as problem:
        raise WrongWords(f"--data is no JSON: {problem}") from None
    answer = api.get(place) if verb == "GET" else api.send(verb, place, body)
    if answer is not None:
        typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))


def _destination(row: dict[str, Any], user: str | None) -> str:
    """`root@10.20.0.11`."""
    return "@".join(login_of(row, user))


def login_of(row: dict[str, Any], user: str | None) -> tuple[str, str]:
    """(user, address). The server's words become no option and no command of ssh."""
    name, address = user or row["login_user"], row["address"]
    if not address:
        raise CliError(f"{row['name']} has no address yet")
    try:
        if not LOGIN_NAME.fullmatch(name):
            raise ValueError
        return name, str(ip_address(address))
    except ValueError:
        raise CliError(f"the server tells a log-in that is none: {clean(name)}@{clean(address)}") from None


def _words(words: list[str], destination: str) -> list[str]:
    """ssh's own options before the destination, a command after it."""
    split = 0
    while split < len(words) and words[split].startswith("-"):
        takes_value = words[split] in TAKE_A_VALUE
        split += 2 if takes_value else 1
    return [*words[:split], destination, *words[split:]]
