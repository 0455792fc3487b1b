"""Tickets for a console's socket: one use, 30 s, for one session of one person, one VM and one kind. Redis keeps their
SHA-256 and forgets them by itself; taking one is one command (GETDEL), so that it cannot be used twice."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import astuple, dataclass

from portal.live.events import connection

LIFE_S = 30


@dataclass(frozen=True, slots=True)
class Holder:
    """Whom and what a ticket is for."""

    user_id: int
    session_key: str
    vm: str
    kind: str


def issue_ticket(holder: Holder, life_s: float = LIFE_S) -> str:
    """A new ticket."""
    secret = secrets.token_urlsafe(32)
    connection().set(_key(secret), json.dumps(astuple(holder)), px=int(life_s * 1000))
    return secret


def redeem_ticket(secret: str, holder: Holder) -> bool:
    """Whether it is a ticket of theirs; in any case it is one no more."""
    kept = connection().getdel(_key(secret))
    return kept is not None and json.loads(kept) == list(astuple(holder))


def _key(secret: str) -> str:
    return f"hopsight:console-ticket:{hashlib.sha256(secret.encode(errors='replace')).hexdigest()}"
