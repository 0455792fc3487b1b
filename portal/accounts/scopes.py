"""What a token may do of what its person may: scopes, each a set of the rights in `permissions`.

A scope is not listed right by right: a right's noun says which scope changes it, its action whether it only reads, so that a
new right has its scope at once. One whose noun is not named here is in `admin`, which is given least often. Every token reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from django.utils.translation import gettext_noop as _

from portal.accounts.entries import API

READ, ADMIN, ALL = "read", "admin", "all"
PLACE = re.compile(r"<(?:\w+:)?(\w+)>")  # of a Django route
# Actions that change nothing of anybody's; a token may always end itself.
READING = ("see", "look", "list", "open", "end")
READS_TOO = ("what_if.ask", "flow.try")
# Scope → the nouns whose rights it holds. A console is more than reading: it types.
NOUNS: dict[str, tuple[str, ...]] = {
    "vm:write": ("vm", "image", "volume", "snapshot", "snippet", "backup", "operation"),
    "vm:console": ("console",),
    "network:write": ("network", "group", "port", "mirror"),
    "trace:write": ("trace", "probing", "capture", "sample", "matrix", "check"),
    "board:write": ("board",),
    "alert:write": ("alert", "channel"),
    "host:write": ("host", "flow", "external", "provider", "pool", "store", "price"),
}
WORDS: dict[str, str] = {
    READ: _("see what you may see; every token may"),
    "vm:write": _("make, change and delete VMs, images and volumes"),
    "vm:console": _("open consoles, and type"),
    "network:write": _("change networks, routers, addresses, security groups and mirrors"),
    "trace:write": _("ask for traces, probes, captures and checks"),
    "board:write": _("change dashboards"),
    "alert:write": _("change and handle alerts, and where they are told"),
    "host:write": _("what operators change: external and provider networks, hosts, pools"),
    ADMIN: _("members, tokens, keys, policies and all the rest"),
    ALL: _("everything that you may, now and later"),
}


def scope_of(right: str) -> str:
    """The scope that holds a right."""
    noun, _, action = right.partition(".")
    by_noun = next((scope for scope, nouns in NOUNS.items() if noun in nouns), ADMIN)
    if by_noun != "vm:console" and (action in READING or right in READS_TOO):
        return READ
    return by_noun


def allows(scopes: Iterable[str], right: str) -> bool:
    """Whether a token with these scopes may use a right that its person has."""
    needed = scope_of(right)
    return needed == READ or any(scope in (needed, ALL) for scope in scopes)


def covers(scopes: Iterable[str], asked: Iterable[str]) -> bool:
    """Whether who holds the one may hand out the other."""
    held = set(scopes)
    return ALL in held or set(asked) <= held | {READ}


def right_of(method: str, route: str) -> str | None:
    """The right that an API operation asks for, by its method and Django's route; None for what is no operation."""
    path = PLACE.sub(r"{\1}", route)
    return API.get(f"{'GET' if method == 'HEAD' else method} /{path}")


def refusal_words(token: str, scopes: Iterable[str], right: str) -> str:
    """Why the token may not, in words."""
    held = [scope for scope in scopes if scope != READ]
    may = f"has the scopes {', '.join(held)}" if held else "may only read"
    return f"The token {token} {may}; this needs {scope_of(right)}: make one that has it."
