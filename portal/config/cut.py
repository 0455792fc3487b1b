"""A long list's page, as the URL's `page` asks for it; `_pager.html` leads to the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db.models import Model, QuerySet
from django.http import QueryDict

M = TypeVar("M", bound=Model)
PER_PAGE = 50
MOST_OPTIONS = 200  # a longer list of choices is typed, not read


@dataclass(frozen=True)
class Cut(Generic[M]):
    """One page's rows, of `total`. `before` and `after` are the queries of its neighbours, "" where there is none."""

    rows: list[M]
    total: int
    page: int
    pages: int
    before: str
    after: str


def cut(rows: QuerySet[M], asked: QueryDict, per_page: int = PER_PAGE) -> Cut[M]:
    """The asked page of the rows, in their order; the nearest that there is for one that there is not."""
    total = rows.count()
    pages, text = max(1, -(-total // per_page)), asked.get("page", "")
    page = int(text) if text.isascii() and text.isdecimal() and len(text) < 7 else 1
    page = min(max(page, 1), pages)
    found = list(rows[(page - 1) * per_page : page * per_page]) if total else []

    def query(number: int) -> str:
        other = asked.copy()
        other["page"] = str(number)
        return other.urlencode()

    return Cut(found, total, page, pages, query(page - 1) if page > 1 else "", query(page + 1) if page < pages else "")


def few(rows: QuerySet[M]) -> list[M] | None:
    """The rows to choose from; None when they are more than a list to choose from should have, and are to be named instead."""
    # Counted apart, in no order: to sort 50,000 rows for the first 200 is dear.
    count = len(rows.order_by().values_list("pk")[: MOST_OPTIONS + 1])
    return list(rows) if count <= MOST_OPTIONS else None
