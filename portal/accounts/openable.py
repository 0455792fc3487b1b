"""Whether a link leads somewhere for who reads it: what may be named to somebody is not always theirs to open."""

from __future__ import annotations

from django.http import HttpRequest
from django.urls import Resolver404, resolve, reverse

from portal.accounts.access import current_team, may, memberships_of
from portal.accounts.entries import PAGES

# What no team owns, operators find here: the page of a provider network itself, and that of all external networks.
OPERATORS_FIND = {"network": ("provider.manage", ""), "routers": ("external.manage", "external_networks")}


def openable(request: HttpRequest, url: str, team_slug: str) -> str:
    """The address, where the person may read the page there of a row of that team ("": of no team's), or the one where operators
    find the same; "" where there is none."""
    try:
        name = resolve(url).url_name or ""
    except Resolver404:
        return ""
    if not team_slug and name in OPERATORS_FIND:
        right, elsewhere = OPERATORS_FIND[name]
        if may(request, right):
            return reverse(elsewhere) if elsewhere else url
    mine = {row.team.slug: row.team for row in memberships_of(request)}
    team = mine.get(team_slug) if team_slug else current_team(request)
    page = PAGES.get(name)
    return url if page is not None and page.get is not None and may(request, page.get, team) else ""
