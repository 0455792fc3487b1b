"""Queries whose SQL is written once: what every request and every trace asks for by the same words.

Django writes a query's SQL anew each time, which costs three times what SQLite takes to answer it. A `KeptQuery` has Django
write it once for each number of values, with a marked value in each one's place, and from then on only puts the values
there. What comes back are the same model instances, `select_related` and `only` included; nothing of what is read is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.db import connections, models
from django.db.models import query as of_django

M = TypeVar("M", bound=models.Model)
Value = int | str | UUID | datetime
ALIAS = "default"
_DAY = datetime(1971, 1, 1, tzinfo=UTC)
_MARKS: dict[type, Callable[[int], Value]] = {
    int: lambda number: 2_000_000_011 + number,
    str: lambda number: f"\x01{number}",
    UUID: lambda number: UUID(int=number + 1),
    datetime: lambda number: _DAY + timedelta(days=number),
}


@dataclass(frozen=True, slots=True)
class _Written:
    """The SQL, which value stands where (or what else does), and how a row becomes an instance."""

    sql: str
    places: tuple[tuple[int, Any], ...]  # (number of the value, or -1, and then what is always there)
    read: Callable[[Iterable[Any]], list[Any]]


class KeptQuery(Generic[M]):
    """`make(*values)` is the query; its values must go into its conditions as they are, each at least once."""

    def __init__(self, make: Callable[..., models.QuerySet[M]]) -> None:
        self._make = make
        self._written: dict[tuple[str, tuple[type, ...]], _Written] = {}

    def __call__(self, *values: Value) -> list[M]:
        """The rows as they are now. Relations that a query prefetches are not: see `with_rows`."""
        connection = connections[ALIAS]
        key = (connection.vendor, tuple(map(type, values)))
        written = self._written.get(key)
        if written is None:
            written = self._written[key] = self._write(key[1])
        with connection.cursor() as cursor:
            at = [_of(connection, values[number]) if number >= 0 else fixed for number, fixed in written.places]
            cursor.execute(written.sql, at)
            return written.read(cursor.fetchall())

    def _write(self, kinds: tuple[type, ...]) -> _Written:
        connection = connections[ALIAS]
        marks = [_MARKS[kind](number) for number, kind in enumerate(kinds)]
        compiler = self._make(*marks).using(ALIAS).query.get_compiler(ALIAS)
        sql, params = compiler.as_sql()
        known = [_of(connection, mark) for mark in marks]
        places = tuple((known.index(param), None) if param in known else (-1, param) for param in params)
        if {number for number, _ in places if number >= 0} != set(range(len(marks))):
            raise ValueError(f"not every value stands in the query as it is given: {sql}")
        return _Written(sql, places, _reader(compiler))


def with_rows(owner: models.Model, relation: str, rows: Iterable[models.Model]) -> None:
    """The owner's related rows are these, as if they had been prefetched."""
    related = getattr(owner, relation).all()
    related._result_cache = list(rows)
    related._prefetch_done = True
    owner.__dict__.setdefault("_prefetched_objects_cache", {})[relation] = related


def _of(connection: Any, value: Value) -> Any:
    """The value as the database's driver takes it."""
    if isinstance(value, UUID):
        return value if connection.features.has_native_uuid_field else value.hex
    return connection.ops.adapt_datetimefield_value(value) if isinstance(value, datetime) else value


def _reader(compiler: Any) -> Callable[[Iterable[Any]], list[Any]]:
    """What Django's ModelIterable makes of rows, with all but the rows worked out beforehand."""
    select, klass = compiler.select, compiler.klass_info
    model, fields = klass["model"], klass["select_fields"]
    start, end = fields[0], fields[-1] + 1
    names = [column[0].target.attname for column in select[start:end]]
    populators_of: Any = of_django.get_related_populators  # its arguments are others in each version of Django
    populators = populators_of(klass, select, ALIAS)
    converters = compiler.get_converters([column[0] for column in select])
    if compiler.annotation_col_map:
        raise ValueError("a query with annotations is not kept")

    def read(rows: Iterable[Any]) -> list[Any]:
        found = []
        for row in compiler.apply_converters(rows, converters) if converters else rows:
            one = model.from_db(ALIAS, names, row[start:end])
            for populator in populators:
                populator.populate(row, one)
            found.append(one)
        return found

    return read
