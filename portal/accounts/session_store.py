"""Sessions in the database, as Django keeps them; the one of a request is read by SQL that is written once."""

from __future__ import annotations

from typing import Any

from django.contrib.sessions.backends.db import SessionStore as InDatabase
from django.utils import timezone

from portal.config.kept_query import KeptQuery

_LIVE = KeptQuery(lambda key, now: InDatabase.get_model_class().objects.filter(session_key=key, expire_date__gt=now))


class SessionStore(InDatabase):
    """Django's, read faster."""

    def load(self) -> dict[str, Any]:
        """What the session holds; of one that is over or unknown Django's own makes nothing, and says so in the log."""
        rows = _LIVE(self.session_key, timezone.now()) if self.session_key else []
        found: dict[str, Any] = self.decode(rows[0].session_data) if rows else super().load()
        return found
