"""Searching over REST: what the palette asks."""

from __future__ import annotations

from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Query, Router, Schema

from portal.accounts.access import require
from portal.search.find import find

router = Router()


class FoundOut(Schema):
    """`url` is the page to open; with `post` it is asked for by POST. `keys` go there from any page."""

    kind: str
    title: str
    detail: str
    url: str
    icon: str
    keys: str
    post: bool


@router.get(
    "/search", response=list[FoundOut], summary="Find VMs, networks, groups, hosts, teams, traces, pages, actions"
)
def search(
    request: HttpRequest, q: Annotated[str, Query(max_length=200, description="letters of a name, or an address")] = ""
) -> Any:
    require(request, "person.see")
    return find(request, q)
