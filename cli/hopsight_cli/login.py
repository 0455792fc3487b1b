"""Logging in: by the browser, with a code that is typed there, or with a token made on the page "API tokens"."""

from __future__ import annotations

import os
import platform
import sys
import time
import webbrowser
from typing import Annotated, Any

import typer

from hopsight_cli import config
from hopsight_cli.client import Api, CliError, WrongWords
from hopsight_cli.context import AsJson, api_of, refuse_no_address
from hopsight_cli.output import clean, pairs, show

TOKEN_PREFIX = "hst_"


def add_to(app: typer.Typer) -> None:
    """login, logout, whoami, settings, usage."""
    app.command("login")(login)
    app.command("logout")(logout)
    app.command("whoami")(whoami)
    app.command("settings")(own_settings)
    app.command("usage")(usage)


def login(
    ctx: typer.Context,
    url: Annotated[str | None, typer.Argument(metavar="URL", help="The server, as https://hopsight.example")] = None,
    token: Annotated[
        bool, typer.Option("--token", help="Read a token from stdin instead of asking the browser.")
    ] = False,
    read_only: Annotated[bool, typer.Option("--read-only", help="Ask for a token that can change nothing.")] = False,
    scope: Annotated[
        list[str] | None, typer.Option(help="Ask for no more than this, as vm:write; may be given again.")
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page, or only print it.")] = True,
    team: Annotated[str | None, typer.Option(help="Team to work in from now on, by its slug.")] = None,
) -> None:
    """Log in to a server, by your browser.

    It shows a page where you type a short code. The log-in is kept in ~/.config/hopsight/login.json, which only you can read, for 30 days.
    """
    where = (url or ctx.find_root().params.get("url") or config.load().url).rstrip("/")
    refuse_no_address(where)
    if config.is_in_clear(where):
        typer.secho(
            f"hopsight: {where} is not encrypted: others on the network can read your token", fg="yellow", err=True
        )
    secret = _typed() if token else _by_browser(Api(config.Profile(where)), _scopes(read_only, scope), browser)
    profile = config.Profile(where, secret, team or "")
    me = Api(profile).get("/me")
    slugs = [row["slug"] for row in me["teams"]]
    if team and team not in slugs:
        raise WrongWords(f"team {clean(team)!r} was given; yours are {', '.join(slugs) or 'none'}")
    file = config.save(profile)
    typer.echo(f"Logged in to {where} as {clean(me['username'])}; teams: {clean(slugs)}. Kept in {file}.")


def logout() -> None:
    """End this log-in; its token works no more."""
    kept = config.load()
    if not kept.token:
        typer.echo("You are not logged in.")
        return
    try:
        Api(config.Profile(kept.url, kept.token)).send("DELETE", "/me/token")
    except CliError as problem:
        typer.echo(f"hopsight: the token could not be ended on the server: {clean(problem)}", err=True)
    config.forget()
    typer.echo(f"Logged out of {kept.url}.")


def whoami(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show who you are, your teams and your token."""
    api = api_of(ctx)

    def draw(me: dict[str, Any]) -> str:
        token = me["token"]
        teams = [f"{row['slug']} ({row['role']})" for row in me["teams"]]
        told = f"{token['name']}, {', '.join(token['scopes'])}, ends {token['expires_at'][:10]}" if token else None
        lines: list[tuple[str, object]] = [("server", api.profile.url), ("person", me["username"]), ("teams", teams)]
        lines += [("operator", me["is_operator"]), ("token", told)]
        return pairs(lines)

    show(lambda: api.get("/me"), draw, as_json)


def own_settings(
    ctx: typer.Context,
    language: Annotated[
        str | None, typer.Option(help="Language that the pages speak to you: en or ru; “” for your browser's.")
    ] = None,
    time_zone: Annotated[
        str | None, typer.Option(help="Time zone of times on the pages, as Europe/Berlin; “” for your browser's.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show or choose your pages' language and time zone."""
    api = api_of(ctx)
    wanted = {name: value for name, value in (("language", language), ("time_zone", time_zone)) if value is not None}

    def draw(me: dict[str, Any]) -> str:
        names = ("language", "time_zone")
        return pairs([(name.replace("_", " "), me[name] or "your browser's") for name in names])

    show(lambda: api.send("PATCH", "/me", wanted) if wanted else api.get("/me"), draw, as_json)


def usage(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show what the team uses of its quota."""
    api = api_of(ctx)

    def draw(value: dict[str, Any]) -> str:
        lines: list[tuple[str, object]] = [("team", value["team"])]
        lines += [(name, f"{row['used']} of {row['limit']}") for name, row in value.items() if isinstance(row, dict)]
        return pairs(lines)

    show(lambda: api.get("/usage"), draw, as_json)


def _typed() -> str:
    secret = (typer.prompt("Token", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline()).strip()
    if not secret.startswith(TOKEN_PREFIX) or not secret.isascii():
        raise WrongWords(f"that is no token: one begins with {TOKEN_PREFIX} and is made on the page “API tokens”")
    return str(secret)


def _scopes(read_only: bool, asked: list[str] | None) -> list[str]:
    if read_only and asked:
        raise WrongWords("--read-only and --scope were given; one of them is allowed")
    return asked or (["read"] if read_only else ["all"])


def _by_browser(api: Api, scopes: list[str], browser: bool) -> str:
    name = f"hopsight on {platform.node() or 'a machine'}"[:60]
    codes = api.send("POST", "/log-ins", {"name": name, "scopes": scopes})
    typer.echo(f"Open {clean(codes['page'])}\nand agree there, if it shows the code {clean(codes['code'])}.", err=True)
    if browser and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or platform.system() != "Linux"):
        webbrowser.open(codes["page"])
    last = time.monotonic() + codes["expires_s"]
    while time.monotonic() < last:
        time.sleep(codes["interval_s"])
        told = api.send("POST", "/log-ins/token", {"device_code": codes["device_code"]})
        if told["state"] == "agreed":
            return str(told["token"])
        if told["state"] != "pending":
            break
    raise CliError("you were not let in: nobody agreed in time, or the answer was no")
