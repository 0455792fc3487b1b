"""A server that answers over HTTP, with the cast's rows, and a terminal for each person."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from portal.accounts.tokens import make_token
from tests.cast import Cast, make_cast
from tests.cli.terminal import Terminal


@pytest.fixture
def served(transactional_db: None, redis_server: str, settings: Any, live_server: Any) -> tuple[str, Cast]:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return live_server.url, make_cast()


@pytest.fixture
def terminal(served: tuple[str, Cast], tmp_path: Path) -> Callable[[str], Terminal]:
    """A person's terminal, logged in by the environment."""
    url, cast = served

    def of(person: str, can_write: bool = True) -> Terminal:
        home = tmp_path / person
        home.mkdir(exist_ok=True)
        return Terminal(home, url, make_token(getattr(cast, person), "cli", can_write, 7)[1])

    return of
