"""A plan of snapshots, of a VM or of a volume alone: told, changed, ended."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hopsight_cli.client import Api, WrongWords
from hopsight_cli.output import pairs, show

Every = Annotated[
    int | None, typer.Option("--every", metavar="HOURS", help="Take one every so many hours; 0 ends the plan.")
]
Keep = Annotated[int | None, typer.Option("--keep", metavar="COUNT", help="Keep the last so many that the plan took.")]


def tell_plan(api: Api, path: str, changed: dict[str, Any], as_json: bool) -> None:
    """Print the plan that is at the path, with what is not None of `changed` asked for first. Raises WrongWords when that
    would change a plan that is not there."""
    asked = {name: value for name, value in changed.items() if value is not None}
    if asked:
        now = api.get(path)
        if "every_hours" not in asked and not now["every_hours"]:
            raise WrongWords("there is no plan yet: add --every HOURS.")
        kept = {name: now[name] for name in changed if name in now}
        if not kept.get("keep"):
            kept.pop("keep", None)  # of no plan: the server's own number
        api.send("PUT", path, kept | asked)
    show(lambda: api.get(path), _words, as_json)


def _words(plan: dict[str, Any]) -> str:
    if not plan["every_hours"]:
        return "No plan. Make one: --every HOURS --keep COUNT"
    rows: list[tuple[str, object]] = [("every", f"{plan['every_hours']} h"), ("keeps the last", plan["keep"])]
    rows += [("with its volumes", plan["volumes"])] if "volumes" in plan else []
    rows += [("next at", plan["next_at"])]
    return pairs([*rows, ("not taken", plan["problem"])] if plan["problem"] else rows)
