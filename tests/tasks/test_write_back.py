"""SQLite's log goes into the database's file by a thread of its own, while others write, and by no commit."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from django.db import close_old_connections, connection
from django.utils import timezone

from portal.live.models import Event
from tasks.write_back import WriteBack, write_back
from tests.waiting import wait_for

LARGE = {"text": "x" * 40_000}  # ten pages


def written(count: int, name: str) -> None:
    for number in range(count):
        Event.objects.create(topic=name, seq=number, at=timezone.now(), type="test", object="test", data=LARGE)


@pytest.mark.django_db(transaction=True)
def test_what_was_committed_is_written_back_and_no_commit_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    if connection.vendor != "sqlite":
        assert write_back() is None
        return
    write_back()
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_autocheckpoint")
        assert cursor.fetchone() == (16000,)
    file = Path(connection.settings_dict["NAME"])
    size = file.stat().st_size
    written(200, "many")
    assert file.stat().st_size == size, "2,000 pages are twice SQLite's own bound, and they are in the log still"
    found = write_back()
    assert found is not None
    assert found[0] == found[1] > 2000
    assert file.stat().st_size > size
    monkeypatch.setattr("tasks.write_back.EVERY_S", 0.05)
    keeper = WriteBack()
    keeper.start()
    try:
        writer = threading.Thread(target=lambda: (written(50, "beside"), close_old_connections()))
        writer.start()
        writer.join(30)
        assert Event.objects.filter(topic="beside").count() == 50
        wait_for(lambda: (now := write_back()) is not None and now[0] == now[1], 20, "the log is written back")
    finally:
        keeper.stop()
        keeper._thread.join(20)
    assert not keeper._thread.is_alive()
