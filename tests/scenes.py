"""Rows that many tests begin with: made once in a process by the product's own requests, then put back as they were.

A scene is the difference that its maker made, row by row as the database holds it. Putting it back is one INSERT per
table in place of the hundred questions and changes of those requests, which have tests of their own. Sequences need no
care: PostgreSQL's never go back, SQLite's follow the greatest key.
"""

from __future__ import annotations

import itertools
import pickle
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from django.apps import apps
from django.db import connection, transaction

T = TypeVar("T")
Row = tuple[Any, ...]
Tables = dict[str, list[Row]]


def _names() -> list[str]:
    return sorted({model._meta.db_table for model in apps.get_models(include_auto_created=True)})


def all_rows() -> Tables:
    """What every model's table holds."""
    found = {}
    with connection.cursor() as cursor:
        for table in _names():
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            found[table] = cursor.fetchall()
    return found


def _less(rows: Tables, others: Tables) -> Tables:
    """The rows that the others have not."""
    left = {table: [row for row in here if row not in others[table]] for table, here in rows.items()}
    return {table: here for table, here in left.items() if here}


OF_MIGRATIONS = ("django_content_type", "auth_permission")


def sweep() -> None:
    """Leave what migrations wrote and no row else, as Django's `flush` does, which empties every table there is and writes
    450 rows of content types and permissions anew. References are looked at when all is deleted."""
    names = [name for name in _names() if name not in OF_MIGRATIONS]
    quoted = {name: connection.ops.quote_name(name) for name in names}
    asked = (f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {quoted[name]})" for name in names)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(asked))
        for (name,) in cursor.fetchall():
            cursor.execute(f"DELETE FROM {quoted[name]}")


class Scene(Generic[T]):
    """One maker's rows, made anew when they are older than `fresh_s`: a host seen just now may not have been silent long."""

    def __init__(self, make: Callable[..., T], fresh_s: float) -> None:
        self._make, self._fresh_s = make, fresh_s
        self._made_at, self._upon = float("-inf"), ""
        self._answer = b""
        self._gone: Tables = {}
        self._written: Tables = {}

    def stand(self, *args: Any, upon: str = "") -> T:
        """The maker's answer, its rows being there; `upon` names the rows that it finds, for others it works anew."""
        if time.monotonic() - self._made_at > self._fresh_s or upon != self._upon:
            return self._record(args, upon)
        if connection.in_atomic_block:
            self._put_back()
        else:
            with transaction.atomic():
                self._put_back()
        answer: T = pickle.loads(self._answer)
        return answer

    def _record(self, args: tuple[Any, ...], upon: str) -> T:
        before = all_rows()
        made = self._make(*args)
        after = all_rows()
        self._gone, self._written = _less(before, after), _less(after, before)
        self._answer, self._made_at, self._upon = pickle.dumps(made), time.monotonic(), upon
        return made

    def _put_back(self) -> None:
        with connection.cursor() as cursor:
            for table, rows in self._gone.items():  # by its first column, which is its key
                name = connection.ops.quote_name(table)
                cursor.execute(f"DELETE FROM {name} WHERE id IN ({_places(rows)})", [row[0] for row in rows])
            for table, rows in self._written.items():
                each = ", ".join([f"({_places(rows[0])})"] * len(rows))
                values = list(itertools.chain.from_iterable(rows))
                cursor.execute(f"INSERT INTO {connection.ops.quote_name(table)} VALUES {each}", values)


def _places(values: list[Row] | Row) -> str:
    return ", ".join(["%s"] * len(values))
