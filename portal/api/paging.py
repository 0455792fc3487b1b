"""Cursor paging: pages in the order of ids, so that rows which come and go move nobody's place."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Generic, TypeVar

from django.db.models import Model, QuerySet
from ninja import Query, Schema

from portal.api.problems import FieldProblem

T = TypeVar("T")
M = TypeVar("M", bound=Model)
MAX_LIMIT = 200


class Page(Schema, Generic[T]):
    """`next` is the cursor of the following page; null on the last one."""

    items: list[T]
    next: str | None = None


class PageQuery(Schema):
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="rows of a page")] = 100
    cursor: Annotated[str | None, Query(max_length=40, description="`next` of the page before")] = None


def page_of(rows: QuerySet[M], asked: PageQuery, newest_first: bool = False) -> tuple[list[M], str | None]:
    """The rows of one page and the cursor of the next. Raises FieldProblem for a cursor that is not ours."""
    if asked.cursor is not None:
        place = _place(asked.cursor)
        rows = rows.filter(pk__lt=place) if newest_first else rows.filter(pk__gt=place)
    found = list(rows.order_by("-pk" if newest_first else "pk")[: asked.limit + 1])
    more = len(found) > asked.limit
    found = found[: asked.limit]
    return found, _cursor(found[-1].pk) if more else None


def as_page(items: list[Any], after: str | None) -> dict[str, Any]:
    """The JSON of a page."""
    return {"items": items, "next": after}


def _cursor(place: int) -> str:
    return base64.urlsafe_b64encode(f"after:{place}".encode()).decode().rstrip("=")


def _place(cursor: str) -> int:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    word, _, number = text.partition(":")
    if word != "after" or not number.isdecimal() or len(number) > 18:
        raise FieldProblem("cursor", f"“{cursor[:40]}” was given; `next` of an answer before is allowed")
    return int(number)
