"""Small pictures of running VMs' screens: a worker takes them when somebody looks, Redis forgets them after a minute.

Its rules:
- Asking answers what is kept, at once, and orders a new picture when that is older than FRESH_S. The web process waits for no host.
- A VM is ordered at most once in ORDER_EVERY_S, however many look.
- What a host is to take is one set, which one worker at a time works off: its turn. A host that hangs holds up nobody else's
  pictures, and rests until its turn runs out.
- A picture is as private as the console: nothing of it is logged, and it is asked for by the console's right.
"""

from __future__ import annotations

import logging
from uuid import UUID

import redis

from portal.compute.models import VM
from portal.console.access import not_possible
from portal.console.wire import Kind
from portal.live.events import connection
from portal.operations.dispatch import enqueue_screens

log = logging.getLogger("hopsight.screens")
KEPT_S, FRESH_S, ORDER_EVERY_S = 60, 10, 5
TURN_S, REST_S = 30, 60
FAILED_S = 300  # a guest whose screen was not to be had is asked so much later: its QEMU may hang
MEDIA_TYPE = "image/png"


def picture_of(vm: VM) -> bytes | None:
    """The VM's screen as a small PNG of the last minute; None where there is none (yet). A newer one is ordered."""
    if not_possible(vm, Kind.SCREEN) or vm.host_id is None:
        return None
    try:
        with connection().pipeline(transaction=False) as asked:
            asked.get(_picture(vm.uuid))
            asked.pttl(_picture(vm.uuid))
            kept, left_ms = asked.execute()
        if left_ms < (KEPT_S - FRESH_S) * 1000:
            _order(vm.uuid, vm.host_id)
    except redis.RedisError as problem:
        log.warning("no picture vm=%s problem=%s", vm.uuid, problem)
        return None
    return bytes(kept) if kept is not None else None


def _order(vm: UUID, host_id: int) -> None:
    if not connection().set(_ordered(vm), 1, nx=True, ex=ORDER_EVERY_S):
        return
    with connection().pipeline() as order:
        order.sadd(_wanted(host_id), str(vm))
        order.expire(_wanted(host_id), TURN_S)
        order.execute()
    # whoever has the turn takes this one too; one that comes just as a turn ends is taken with the next order
    if connection().set(_turn(host_id), 1, nx=True, ex=TURN_S):
        enqueue_screens(host_id, TURN_S)


def next_wanted(host_id: int) -> UUID | None:
    """For the worker that has the host's turn: the next VM whose picture is wanted."""
    taken = connection().spop(_wanted(host_id))
    return UUID(taken.decode()) if isinstance(taken, bytes) else None


def keep_picture(vm: UUID, png: bytes) -> None:
    """What the VM's screen shows now."""
    connection().set(_picture(vm), png, ex=KEPT_S)


def keep_failure(vm: UUID) -> None:
    """Its screen was not to be had: it is not ordered for a while."""
    connection().set(_ordered(vm), 1, ex=FAILED_S)


def end_turn(host_id: int, rests: bool = False) -> None:
    """The next order begins a turn; of a host that rests, only when it has rested."""
    if rests:
        connection().set(_turn(host_id), 1, ex=REST_S)
    else:
        connection().delete(_turn(host_id))


def _picture(vm: UUID) -> str:
    return f"hopsight:screen:{vm}"


def _ordered(vm: UUID) -> str:
    return f"hopsight:screen-ordered:{vm}"


def _wanted(host_id: int) -> str:
    return f"hopsight:screens-wanted:{host_id}"


def _turn(host_id: int) -> str:
    return f"hopsight:screens-turn:{host_id}"
