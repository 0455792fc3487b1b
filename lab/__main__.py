"""`python -m lab`: start, end and look at labs, and build guest images, without the rest of the product."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys

from lab.errors import LabError
from lab.images import build_debian, default_cache, ensure_tiny
from lab.lab import LabStatus, access_command, down, status, up


def main(argv: list[str]) -> int:
    """The exit code: 0, or 1 with the reason on standard error."""
    arguments = _parser().parse_args(argv)
    try:
        _act(arguments)
    except LabError as problem:
        print(f"lab: {problem}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, text in (("up", "start or heal a lab"), ("down", "leave nothing of it"), ("status", "what there is")):
        one = verbs.add_parser(verb, help=text)
        one.add_argument("--name", default="main", help="labs of different names live side by side (default main)")
        if verb == "up":
            one.add_argument("--hosts", type=int, default=2, help="how many hypervisors (default 2)")
        if verb == "status":
            one.add_argument("--json", action="store_true", help="for programs")
    image = verbs.add_parser("image", help="build a guest image into the cache")
    image.add_argument("kind", choices=["tiny", "debian"])
    return parser


def _act(arguments: argparse.Namespace) -> None:
    if arguments.verb == "up":
        for host in up(arguments.name, arguments.hosts):
            print(f"{host.name}  underlay {host.underlay_ip}  {host.libvirt_uri}")
        print(f"reach guests with: {' '.join(access_command(arguments.name))} ssh …")
    elif arguments.verb == "down":
        down(arguments.name)
        print(f"lab {arguments.name} is down")
    elif arguments.verb == "status":
        found = status(arguments.name)
        print(json.dumps(dataclasses.asdict(found), indent=2) if arguments.json else _words(found))
    else:
        image = ensure_tiny(default_cache()) if arguments.kind == "tiny" else build_debian(default_cache())
        print(image.disk.parent)


def _words(found: LabStatus) -> str:
    if found.is_gone:
        return f"lab {found.name} is not there"
    lines = [f"lab {found.name}: {'up' if found.is_up else 'not whole'}, {found.processes} processes"]
    for host in found.hosts:
        missing = [daemon for daemon, pid in host.daemons.items() if not pid]
        lines.append(f"  {host.name}  {host.guests} guests  " + (f"missing: {', '.join(missing)}" if missing else "ok"))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
