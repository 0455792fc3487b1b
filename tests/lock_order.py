"""The law that keeps PostgreSQL from deadlocks: whoever changes the intent takes the intent's row before any other.

Watched in every test with the cast: within an outermost transaction (a savepoint of the test's own), nothing is written
or locked before the generation is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

GENERATION = "networks_generation"
# rows that only their own request waits for: a key's kept answer; who is here (a transaction of its own, but for a walk
# that holds each request in a savepoint)
OWN = ("api_keptanswer", "accounts_login", "accounts_apitoken", "django_session")
WRITES = re.compile(r'(?:INSERT INTO|UPDATE|DELETE FROM) "(\w+)"')
LOCKS = re.compile(r'FROM "(\w+)".*FOR UPDATE', re.DOTALL)


class LateLock(AssertionError):
    """The intent's row was taken after another."""


class Watch:
    """What one connection's outermost savepoint has written or locked so far."""

    def __init__(self) -> None:
        self._outermost, self._taken = "", list[str]()

    def __call__(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        self._look(str(sql))
        return execute(sql, params, many, context)

    def _look(self, sql: str) -> None:
        words = sql.split(maxsplit=3)
        if words[:1] == ["SAVEPOINT"] and not self._outermost:
            self._outermost, self._taken = words[1], []
        elif words[:2] in (["RELEASE", "SAVEPOINT"], ["ROLLBACK", "TO"]) and words[-1] == self._outermost:
            self._outermost = ""
        elif found := WRITES.match(sql) or LOCKS.search(sql):
            self._take(found[1])

    def _take(self, table: str) -> None:
        if table == GENERATION and self._outermost and self._taken and GENERATION not in self._taken:
            raise LateLock(f"the generation is taken after {', '.join(self._taken)}: bump_generation comes first")
        if table not in OWN:
            self._taken.append(table)


@contextmanager
def watched() -> Iterator[None]:
    """Hold the law for this thread's connection."""
    with connection.execute_wrapper(Watch()):
        yield
