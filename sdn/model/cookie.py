"""Cookie = why: 16-bit owner mark, 8-bit kind, 40-bit id of the row that the flow exists for.

The kind's top bit marks a flow that drops, so that a switch can be asked for the counters of those alone (ADR 6).
"""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

OWNER_MARK = 0x4853  # "HS"
OWNER_COOKIE = OWNER_MARK << 48
OWNER_COOKIE_MASK = 0xFFFF << 48
_ID_MASK = (1 << 40) - 1
_KIND_MASK = 0x7F
DROPS = 1 << 47
DROPS_COOKIE, DROPS_COOKIE_MASK = OWNER_COOKIE | DROPS, OWNER_COOKIE_MASK | DROPS


class CauseKind(IntEnum):
    """What sort of row a flow exists for; stored in 7 bits of the cookie, so never renumber."""

    SYSTEM = 1
    PORT = 2
    NETWORK = 3
    ROUTER = 4
    SECURITY_RULE = 5
    SECURITY_GROUP = 6
    EXTERNAL_NETWORK = 7
    FLOATING_ADDRESS = 8
    CAPTURE = 9  # of no row that the compiler reads: these flows come and go by themselves
    MIRROR = 10


class Cause(NamedTuple):
    """The row that a flow exists for."""

    kind: CauseKind
    row_id: int


def format_cookie(cause: Cause, *, drops: bool = False) -> int:
    """The 64-bit cookie of a cause; `drops` marks a flow that drops. Raises ValueError for an id over 40 bits."""
    if not 0 <= cause.row_id <= _ID_MASK:
        raise ValueError(f"row id {cause.row_id} does not fit the cookie's 40 bits")
    return OWNER_COOKIE | (DROPS if drops else 0) | int(cause.kind) << 40 | cause.row_id


@lru_cache(maxsize=4096)
def parse_cookie(cookie: int) -> Cause | None:
    """The cause of a flow of ours; None for a foreign cookie, or for a kind that this version does not know."""
    if cookie & OWNER_COOKIE_MASK != OWNER_COOKIE:
        return None
    try:
        return Cause(CauseKind(cookie >> 40 & _KIND_MASK), cookie & _ID_MASK)
    except ValueError:
        return None
