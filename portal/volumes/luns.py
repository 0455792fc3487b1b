"""Which LUNs a team can be given, asked of rows alone: those that no volume has, and that no domain named at the last look."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.translation import gettext

from portal.volumes.models import Pool, Volume
from portal.volumes.reach import Lun

MOST_NAMED = 8  # sizes of free LUNs in one sentence


def taken_luns(pools: Iterable[Pool] | None = None) -> frozenset[str]:
    """The keys of the LUNs that volumes have, on whatever host; not asked for where none of these pools has any."""
    if pools is not None and not any(one.luns for one in pools):
        return frozenset()
    return frozenset(Volume.objects.exclude(lun="").values_list("lun", flat=True))


def free_luns(pool: Pool, taken: frozenset[str] | None = None) -> list[Lun]:
    """The pool's LUNs that can be given, small ones first; those that have less than a GiB are none."""
    if not pool.luns:
        return []
    held = taken_luns() if taken is None else taken
    return [one for one in pool.seen_luns if one.key not in held and not one.user and one.gib > 0]


def lock_luns() -> None:
    """Nobody else chooses a LUN until the caller's transaction ends."""
    list(Pool.objects.select_for_update(of=("self",)).exclude(luns=[]).order_by("pk").values_list("pk", flat=True))


def lun_for(pool: Pool, size_gib: int) -> Lun | None:
    """The smallest that has so much. The caller has `lock_luns`."""
    return next((one for one in free_luns(pool) if one.gib >= size_gib), None)


def luns_for(pool: Pool, sizes_gib: Iterable[int]) -> tuple[list[Lun], str]:
    """One for each of the sizes, the smallest that has so much; or why there is not. The caller has `lock_luns`."""
    left, found = free_luns(pool), []
    for size_gib in sizes_gib:
        lun = next((one for one in left if one.gib >= size_gib), None)
        if lun is None:
            return [], no_lun_words(pool, size_gib, left)
        left.remove(lun)
        found.append(lun)
    return found, ""


def no_lun_words(pool: Pool, size_gib: int, left: Iterable[Lun] | None = None) -> str:
    """Why there is none of that size, and which there are (none said: all that are free)."""
    sizes = [str(one.gib) for one in (free_luns(pool) if left is None else left)]
    if not sizes:
        return gettext("%(pool)s has no free LUN: every one is a volume’s or in use; choose another pool") % {
            "pool": pool
        }
    shown = ", ".join(sizes[:MOST_NAMED]) + (" …" if len(sizes) > MOST_NAMED else "")
    words = gettext(
        "%(size_gib)s GiB were given; the free LUNs of %(pool)s have %(sizes)s GiB: ask for no more than one has"
    )
    return words % {"size_gib": size_gib, "pool": pool, "sizes": shown}
