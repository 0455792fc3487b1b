"""A host's network namespaces, read by a process that runs on the same machine (as sdn.transport.host_kernel reads the kernel).

Named ones are those of /run/netns as this process sees it; of the rest those that processes are in and a cable of the host's leads to.
Where this process is itself in the host's namespace, all named ones are the host's; elsewhere (a machine with hosts in namespaces) only
those that something of this host leads into. Nothing is written.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from sdn.linux.namespaces import (
    MOST_NAMESPACES,
    FarEnd,
    Inhabited,
    Link,
    NamespacesSeen,
    Place,
    cabled_nsids,
    join,
    moved_away,
    parse_addresses,
    parse_inhabited,
    parse_names,
)
from sdn.transport.host_kernel import DEADLINE_S, KernelUnread, namespace_of, run_all

NAMED = Path("/run/netns")
READ, UNREAD = "read", "unread"
ADDRESSES = ("ip", "-j", "-d", "address", "show")
LISTS: dict[str, tuple[str, ...]] = {
    "names": ("ip", "-j", "netns", "list"),
    "inhabited": ("lsns", "-J", "-t", "net", "-o", "NS,NETNSID,PID,COMMAND"),
}
AT_ONCE = 16  # namespaces: each is a process of its own


def read_namespaces(rundir: Path, internal_ports: Collection[str], deadline_s: float = DEADLINE_S) -> NamespacesSeen:
    """What the host with this folder of Open vSwitch's has. `internal_ports` are its switch's; those that are gone from the host are
    looked for in the namespaces. Never raises: what could not be read is told."""
    try:
        enter = namespace_of(rundir)
    except KernelUnread as why:
        return NamespacesSeen(UNREAD, str(why))
    told = run_all(enter, {"": ADDRESSES}, deadline_s)[""]
    links = parse_addresses(told.text)
    if told.problem or not links:
        return NamespacesSeen(UNREAD, told.problem or "ip printed no interface")
    cabled, moved = cabled_nsids(links), moved_away(internal_ports, links)
    is_whole = not enter
    if not cabled and not moved and not (is_whole and _named()):
        return NamespacesSeen(READ)
    places, problem = _places_of(enter, cabled, deadline_s, with_all=bool(moved))
    inside, unread = _look_inside(places, deadline_s)
    found = join(links, inside, moved, with_uncabled=is_whole)
    return NamespacesSeen(READ, unread or problem, found)


def far_ends(
    rundir: Path, ports: Collection[str], internal_ports: Collection[str] = (), deadline_s: float = DEADLINE_S
) -> Mapping[str, FarEnd]:
    """Where the cables of these interfaces of the host end, of those that end in a namespace; only those are looked into. Never raises."""
    try:
        enter = namespace_of(rundir)
    except KernelUnread:
        return {}
    asked = {port: ("ip", "-j", "-d", "link", "show", "dev", port) for port in ports}
    told = run_all(enter, asked, deadline_s)
    links = [link for port in ports for link in parse_addresses(told[port].text)]
    cabled, moved = cabled_nsids(links), moved_away([port for port in ports if port in internal_ports], links)
    if not cabled and not moved:
        return {}
    places, _ = _places_of(enter, cabled, deadline_s, with_all=bool(moved))
    inside, _ = _look_inside([one for one in places if moved or one.nsid in cabled], deadline_s)
    seen = NamespacesSeen(namespaces=join(links, inside, moved, with_uncabled=False))
    return {port: far for port in ports if (far := seen.behind(port)) is not None}


def _places_of(
    enter: tuple[str, ...], cabled: Collection[int], deadline_s: float, *, with_all: bool
) -> tuple[list[Place], str]:
    """The namespaces but the host's own, and why some may be missing. To be asked after a look at the links, which numbers them."""
    lists = run_all(enter, LISTS, deadline_s)
    names, inhabited = parse_names(lists["names"].text), parse_inhabited(lists["inhabited"].text)
    own = _inode(enter[1].removeprefix("--net=") if enter else "/proc/self/ns/net")
    found = [one for one in _places(names, inhabited, cabled, with_all=with_all) if _inode(one.path) not in (0, own)]
    return found, lists["names"].problem or lists["inhabited"].problem


def _places(
    names: Iterable[tuple[str, int | None]], inhabited: Iterable[Inhabited], cabled: Collection[int], *, with_all: bool
) -> list[Place]:
    """What is to be looked into: the named ones, then those without a name that a cable leads to (or, `with_all`, any)."""
    people = {one.inode: one for one in inhabited}
    found, seen = [], set()
    for name, nsid in names:
        path = str(NAMED / name)
        inode = _inode(path)
        who = people.get(inode)
        found.append(Place(name, path, nsid, who.command if who is not None else ""))
        seen.add(inode)
    for one in people.values():
        if one.inode not in seen and (with_all or one.nsid in cabled):
            found.append(Place(f"pid {one.pid}", f"/proc/{one.pid}/ns/net", one.nsid, one.command))
    found.sort(key=lambda place: place.nsid not in cabled)
    return found[:MOST_NAMESPACES]


def _look_inside(places: list[Place], deadline_s: float) -> tuple[list[tuple[Place, tuple[Link, ...]]], str]:
    """The interfaces of each, and why one could not be looked into."""
    inside, problems = [], []
    for at in range(0, len(places), AT_ONCE):
        some = places[at : at + AT_ONCE]
        asked = {place.path: ("nsenter", f"--net={place.path}", "--", *ADDRESSES) for place in some}
        told = run_all((), asked, deadline_s)
        for place in some:
            if (problem := told[place.path].problem) and not _inode(place.path):
                continue  # it went while it was looked for
            if problem:
                problems.append(f"namespace {place.name} could not be looked into: {problem}")
            else:
                inside.append((place, parse_addresses(told[place.path].text)))
    return inside, "; ".join(problems[:3])


def _inode(path: str) -> int:
    """The namespace's number; 0 of what is none: a name that is being made or taken away is an empty file."""
    try:
        found = os.stat(path)
        return found.st_ino if found.st_dev == os.stat("/proc/self/ns/net").st_dev else 0
    except OSError:
        return 0


def _named() -> bool:
    try:
        return any(NAMED.iterdir())
    except OSError:
        return False
