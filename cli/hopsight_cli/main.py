"""The command tree, and what every command ends with."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from hopsight_cli import (
    backups,
    checks,
    console,
    hosts,
    inventory,
    keys,
    login,
    mirrors,
    networks,
    operations,
    shell,
    snapshots,
    traces,
    vms,
    volume_snapshots,
    volumes,
)
from hopsight_cli.client import CliError
from hopsight_cli.completion import answer_first_tab
from hopsight_cli.output import complain

INTERRUPTED = 130
# What a wrong option or command raises: click's own class, or that of the copy of click within newer versions of typer.
WRONG_USE: Any = typer.BadParameter.__bases__
app = typer.Typer(
    name="hopsight",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Virtual machines on your team's hosts, and the way of every packet between them.

    \b
    Begin with:
      hopsight login https://hopsight.example
      hopsight vm create web-1
      hopsight ssh web-1
      hopsight trace web-1 db-1 --tcp 5432

    Every command has --help. Lists take --json and --watch. Your shell learns the commands and the names of your VMs
    by --install-completion.
    """,
)
app.add_typer(vms.app, name="vm")
app.add_typer(snapshots.app, name="snapshot")
app.add_typer(backups.app, name="backup")
app.add_typer(volumes.app, name="volume")
volumes.app.add_typer(volume_snapshots.app, name="snapshot")
app.add_typer(keys.app, name="key")
app.add_typer(networks.app, name="network")
app.add_typer(mirrors.app, name="mirror")
app.add_typer(checks.app, name="check")
app.add_typer(hosts.app, name="host")
app.add_typer(operations.app, name="operation")
for module in (login, shell, console, traces, inventory):
    module.add_to(app)
answer_first_tab()


@app.callback()
def options(
    url: Annotated[
        str | None, typer.Option(help="Another server than the one you logged in to (or HOPSIGHT_URL).")
    ] = None,
    team: Annotated[str | None, typer.Option(help="Team to work in, by its slug (or HOPSIGHT_TEAM).")] = None,
    reason: Annotated[
        str | None, typer.Option(help="Why, in your words: kept in the activity with what is changed.")
    ] = None,
) -> None:
    """Read where they are needed: hopsight_cli.context.api_of."""


def run() -> None:
    """The entry point: problems in words on stderr, and an exit code."""
    try:
        code: Any = app(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except CliError as problem:
        complain(problem)
        sys.exit(problem.code)
    except WRONG_USE as problem:
        problem.show()
        sys.exit(problem.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        typer.echo("", err=True)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # `hopsight vm list | head -1`
        sys.stderr.close()
        sys.exit(0)
    except OSError as problem:  # nothing but what is printed meets the disk unguarded: a full one
        complain(CliError(f"the answer cannot be written: {problem.strerror}"))
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python's own end writes the rest once more
        sys.exit(1)
