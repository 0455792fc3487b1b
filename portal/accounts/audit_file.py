"""The audit as a file: every row as it was written, with the hash that seals it, for who keeps or checks it elsewhere."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable

from portal.accounts.models import AuditRow

MOST_ROWS = 100_000  # of one file; the next begins where it ended, by `before`
COLUMNS = (
    "id", "at", "actor", "action", "object_type", "object_id", "object_name", "before", "after", "address", "request_id",
    "reason", "hash",
)  # fmt: skip
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(rows: Iterable[AuditRow]) -> str:
    """The rows with a heading, in their order; times in UTC, changes as JSON, no cell begins a formula."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([_cell(row, name) for name in COLUMNS])
    return out.getvalue()


def _cell(row: AuditRow, name: str) -> str:
    value = getattr(row, name)
    if name == "at":
        return str(value.isoformat())
    if name in ("before", "after"):
        return "" if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return f"'{value}" if str(value).startswith(FORMULA) else str(value)
