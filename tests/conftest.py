"""What every test shares. The lab is one per run: see tests/lab/conftest.py."""

from __future__ import annotations

import gc
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

from tests.waiting import wait_for

# The suite draws the same examples each time, so that it is red for a change and never by chance; a search for new
# ones is `pytest --hypothesis-profile=search`.
hypothesis_settings.register_profile("suite", derandomize=True, deadline=None)
hypothesis_settings.register_profile("search", max_examples=2000, deadline=None)
hypothesis_settings.load_profile("suite")


# how many objects are made until the garbage is looked at: Python's 700, 10 and 10 cost a quarter of all CPU
YOUNG, OLDER, OLD = 50_000, 20, 50


def pytest_collection_finish() -> None:
    """What was imported stays to the end: no search for garbage passes through it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, OLDER, OLD)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """A private Redis on a unix socket; settings point to it while the session runs."""
    from django.conf import settings

    from portal.live.events import connection
    from portal.operations import dispatch

    with tempfile.TemporaryDirectory(prefix="hs-redis-") as folder:
        socket = Path(folder) / "redis.sock"
        argv = ["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", folder]
        server = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
        before = (settings.REDIS_URL, settings.CELERY_BROKER_URL)
        try:
            wait_for(socket.exists, 10, "the private Redis listens")
            settings.REDIS_URL, settings.CELERY_BROKER_URL = f"unix://{socket}", f"redis+socket://{socket}"
            connection.cache_clear()
            dispatch._celery.cache_clear()
            yield settings.REDIS_URL
        finally:
            settings.REDIS_URL, settings.CELERY_BROKER_URL = before
            connection.cache_clear()
            server.terminate()
            server.wait(10)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """SQLite's rows lie in a file, as they do in use: in memory, two threads of one process share a cache that answers
    "table is locked" at once, whatever the timeout."""
    from django.conf import settings

    database = settings.DATABASES["default"]
    if database["ENGINE"].endswith("sqlite3"):
        database.setdefault("TEST", {})["NAME"] = str(tmp_path_factory.mktemp("rows") / "hopsight.sqlite3")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> Iterator[None]:
    """After a test that commits, the tables that have rows are emptied, and no other."""
    from django.test import TransactionTestCase

    from tests.scenes import sweep

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda self: sweep())
        yield


@pytest.fixture
def cast(db: None, redis_server: str, settings, tmp_path):  # type: ignore[no-untyped-def]
    from tests.cast import make_cast
    from tests.lock_order import watched

    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # five of argon2's take a second

    settings.IMAGE_CACHE = tmp_path / "images"
    made = make_cast()
    with watched():
        yield made
