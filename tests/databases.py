"""Where the tests' rows live: SQLite, or, by `scripts/test-postgres`, a PostgreSQL of the run's own on a unix socket.

python -m tests.databases [pytest's words]      the tests that meet a database, on PostgreSQL
"""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDERS = (
    "portal",
    "tasks",
    "console",
    "checks",
    "traces",
    "history",
    "boards",
    "alerts",
    "search",
    "e2e",
    "lab/test_collector.py",
)
VARIABLE = "HOPSIGHT_DATABASE"
DEADLOCK_LINES = 12


class NoPostgreSQL(Exception):
    """No PostgreSQL server is installed here."""


def own_database() -> dict[str, str]:
    """The environment of a process that wants rows of its own: nothing on SQLite (the state folder decides), a fresh
    database of the run's server otherwise. The server ends with the run, and its databases with it."""
    url = os.environ.get(VARIABLE)
    if not url:
        return {}
    name = f"own_{secrets.token_hex(6)}"
    import psycopg

    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"'.encode())
    return {VARIABLE: f"{url.rpartition('/')[0]}/{name}"}


def asked(question: str, value: str, database: dict[str, str], sqlite: Path) -> object:
    """The one value that a question (its place marked by %s) about `value` has in a process's own database."""
    if database:
        import psycopg

        with psycopg.connect(database[VARIABLE], autocommit=True) as rows:
            found = rows.execute(question.encode(), (value,)).fetchone()
    else:
        with sqlite3.connect(sqlite, timeout=10) as local:
            found = local.execute(question.replace("%s", "?"), (value,)).fetchone()
    assert found, f"nothing: {question} {value}"
    return found[0]


def _program(name: str) -> str:
    found = shutil.which(name)
    folders = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    if not found and not folders:
        raise NoPostgreSQL(f"{name} is not here: install postgresql")
    return found or str(folders[-1])


@contextmanager
def cluster() -> Iterator[str]:
    """The address of a new PostgreSQL server, on a unix socket alone, gone afterwards; `NoPostgreSQL` without one."""
    initdb, pg_ctl = _program("initdb"), _program("pg_ctl")
    with tempfile.TemporaryDirectory(prefix="hs-pg-") as top:
        folder = Path(top)
        folder.chmod(0o777)  # PostgreSQL refuses to be root's
        become = ["runuser", "-u", "nobody", "--"] if getpass.getuser() == "root" else []
        data = str(folder / "data")

        def quietly(*argv: str) -> None:
            subprocess.run([*become, *argv], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")

        quietly(initdb, "-D", data, "-U", "hs", "-A", "trust", "-N", "--locale=C.UTF-8")
        options = f"-k {folder} -c listen_addresses= -c fsync=off -c full_page_writes=off -c max_connections=400"
        quietly(pg_ctl, "-D", data, "-l", str(folder / "log"), "-o", options, "-w", "start")
        try:
            yield f"postgresql://hs@{str(folder).replace('/', '%2F')}/postgres"
        finally:
            quietly(pg_ctl, "-D", data, "-m", "immediate", "stop")
            print(*_deadlocks((folder / "log").read_text(errors="replace")), sep="\n", end="")


def _deadlocks(log: str) -> Iterator[str]:
    """What the server said of each deadlock: who waited for whom, and with which statements."""
    lines = log.splitlines()
    for number, line in enumerate(lines):
        if "deadlock detected" in line:
            yield "\n".join(["PostgreSQL ended a deadlock:", *lines[number : number + DEADLOCK_LINES], ""])


def main(words: list[str]) -> int:
    """Run pytest's words, or every test that meets a database, on PostgreSQL."""
    root = Path(__file__).resolve().parent.parent
    chosen = [word for word in words if (root / word.partition("::")[0]).exists()]
    folders = [] if chosen else [f"tests/{folder}" for folder in FOLDERS]
    with cluster() as url:
        argv = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadgroup", *words, *folders]
        return subprocess.run(argv, cwd=root, env={**os.environ, VARIABLE: url}).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
