"""Cookie = why: 16-bit owner mark, 8-bit kind, 40-bit id of the row that the flow exists for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

OWNER_MARK = 0x4853  # "HS"
OWNER_COOKIE = OWNER_MARK << 48
OWNER_COOKIE_MASK = 0xFFFF << 48
_ID_MASK = (1 << 40) - 1


class CauseKind(IntEnum):
    """What sort of row a flow exists for; stored in 8 bits of the cookie, so never renumber."""

    SYSTEM = 1
    PORT = 2
    NETWORK = 3
    ROUTER = 4
    SECURITY_RULE = 5
    SECURITY_GROUP = 6
    EXTERNAL_NETWORK = 7
    FLOATING_ADDRESS = 8


@dataclass(frozen=True, slots=True, order=True)
class Cause:
    """The row that a flow exists for."""

    kind: CauseKind
    row_id: int


def format_cookie(cause: Cause) -> int:
    """The 64-bit cookie of a cause. Raises ValueError for an id over 40 bits."""
    if not 0 <= cause.row_id <= _ID_MASK:
        raise ValueError(f"row id {cause.row_id} does not fit the cookie's 40 bits")
    return OWNER_COOKIE | int(cause.kind) << 40 | cause.row_id


@lru_cache(maxsize=4096)
def parse_cookie(cookie: int) -> Cause | None:
    """The cause of a flow of ours; None for a foreign cookie, or for a kind that this version does not know."""
    if cookie & OWNER_COOKIE_MASK != OWNER_COOKIE:
        return None
    try:
        return Cause(CauseKind(cookie >> 40 & 0xFF), cookie & _ID_MASK)
    except ValueError:
        return None
