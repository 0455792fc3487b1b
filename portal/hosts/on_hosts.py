"""Lists over REST of what is on the hosts, each row with its host's name; all, or of one host alone."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from django.db.models import QuerySet
from ninja import Query, Schema

from portal.api.paging import PageQuery, as_page, page_of
from portal.hosts.models import ForeignDomain, Orphan

Row = TypeVar("Row", ForeignDomain, Orphan)
OnHost = Annotated[str, Query(max_length=40, description="only on this one")]


def page_on_hosts(rows: QuerySet[Row], shape: type[Schema], paging: PageQuery, host: str) -> dict[str, Any]:
    """The JSON of a page: the columns that `shape` has, of the rows on that host, or on every one."""
    rows = rows.select_related("host")
    if host:
        rows = rows.filter(host__name=host.replace("\0", ""))
    found, after = page_of(rows, paging)
    columns = [name for name in shape.model_fields if name != "host"]
    return as_page([{**{name: getattr(one, name) for name in columns}, "host": one.host.name} for one in found], after)
