"""A program's log-in by its person's browser (the device grant of RFC 8628, sections 3.1 to 3.5, in our own words).

The program asks for a pair of codes, shows the short one and waits; the person, logged in, types it on a page of ours, sees
who asks, and agrees. Only then, and only to who holds the long code, a token is given, once. Redis keeps the waiting pairs
under their SHA-256 and forgets them after LIFE_S; a token is made when it is fetched, so that none waits anywhere.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, replace

from django.db import transaction
from django.utils.translation import gettext

from portal.accounts.audit import record
from portal.accounts.models import User
from portal.accounts.scopes import WORDS
from portal.accounts.teams import TeamProblem, digest_of
from portal.accounts.tokens import TokenSpec, make_scoped
from portal.live.events import connection

LIFE_S = 600
INTERVAL_S = 2
TOKEN_LIFE_DAYS = 30
LETTERS = "BCDFGHJKLMNPQRSTVWXZ"  # no vowels, so no words; no digits, so no 0 and O (RFC 8628, 6.1)
CODE_LETTERS = 8
MAX_ASKED = 20  # by one address, and codes typed by one person, within LIFE_S
PENDING, AGREED, DENIED, EXPIRED = "pending", "agreed", "denied", "expired"


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks: the name that the program gave itself, and from which address."""

    name: str
    address: str
    scopes: tuple[str, ...]
    code: str
    state: str = PENDING
    user_id: int = 0


def ask(name: str, address: str, scopes: tuple[str, ...]) -> tuple[str, Asked]:
    """(long code, what waits). Raises TeamProblem for a bad name, or for an address that asks too often."""
    label = " ".join(name.split())
    if not 1 <= len(label) <= 60 or not label.isprintable():
        raise TeamProblem(
            "name",
            gettext("%(count)s characters were given; 1 to 60 printable ones are allowed") % {"count": len(label)},
        )
    if unknown := [scope for scope in scopes if scope not in WORDS]:
        raise TeamProblem(
            "scopes",
            gettext("“%(unknown)s” was given; %(words)s are allowed")
            % {"unknown": unknown[0][:40], "words": ", ".join(WORDS)},
        )
    if not _counted(f"asked:{address}"):
        raise TeamProblem(
            "name",
            gettext("%(max_asked)s log-ins were asked for from your address: wait %(life_s)s minutes")
            % {"max_asked": MAX_ASKED, "life_s": LIFE_S // 60},
        )
    long_code = secrets.token_urlsafe(32)
    code = "".join(secrets.choice(LETTERS) for _ in range(CODE_LETTERS))
    waiting = Asked(label, address, scopes, f"{code[:4]}-{code[4:]}")
    connection().set(_key("code", _plain(code)), digest_of(long_code), ex=LIFE_S)
    connection().set(_key("pair", digest_of(long_code)), json.dumps(asdict(waiting)), ex=LIFE_S)
    return long_code, waiting


def find(code: str, user: User) -> Asked:
    """What waits for the person's word under a short code. Raises TeamProblem."""
    if not _counted(f"typed:{user.pk}"):
        raise TeamProblem(
            "code", gettext("too many codes were typed: wait %(life_s)s minutes") % {"life_s": LIFE_S // 60}
        )
    pair = _pair_of(code)
    waiting = _waiting(pair)
    if waiting is None or waiting.state != PENDING:
        raise TeamProblem(
            "code", gettext("no program waits with this code: it is used up after one answer, or 10 minutes")
        )
    return waiting


def answer(code: str, user: User, agreed: bool) -> Asked:
    """The person's word. Raises TeamProblem when nothing waits for it any more."""
    waiting = find(code, user)
    told = replace(waiting, state=AGREED if agreed else DENIED, user_id=user.pk)
    connection().set(_key("pair", _pair_of(code)), json.dumps(asdict(told)), keepttl=True)
    connection().delete(_key("code", _plain(code)))
    if not agreed:
        record(
            "device.deny", None, user, ("program", waiting.code, waiting.name), after={"asked_from": waiting.address}
        )
    return told


def fetch(long_code: str) -> tuple[str, str, User | None]:
    """(state, token, person) for the program that waits; the token is there once, in state `agreed`."""
    key = _key("pair", digest_of(long_code))
    waiting = _waiting(digest_of(long_code))
    if waiting is None or waiting.state == PENDING:
        return (EXPIRED if waiting is None else PENDING), "", None
    if connection().getdel(key) is None:  # another poll was faster
        return EXPIRED, "", None
    user = User.objects.filter(pk=waiting.user_id, is_active=True).first()
    if waiting.state == DENIED or user is None:
        return DENIED, "", None
    with transaction.atomic():
        _, secret = make_scoped(user, TokenSpec(waiting.name, tuple(waiting.scopes), TOKEN_LIFE_DAYS), user)
    return AGREED, secret, user


def _pair_of(code: str) -> str:
    found = connection().get(_key("code", _plain(code)))
    return found.decode() if isinstance(found, bytes) else ""


def _waiting(pair: str) -> Asked | None:
    found = connection().get(_key("pair", pair)) if pair else None
    return Asked(**json.loads(found)) if isinstance(found, bytes) else None


def _counted(what: str) -> bool:
    """Whether this is one of the first MAX_ASKED within LIFE_S."""
    key = _key("count", digest_of(what))
    connection().set(key, 0, ex=LIFE_S, nx=True)
    return int(connection().incr(key)) <= MAX_ASKED


def _plain(code: str) -> str:
    return digest_of("".join(char for char in code.upper() if char in LETTERS))


def _key(kind: str, name: str) -> str:
    return f"hopsight:device:{kind}:{name}"
