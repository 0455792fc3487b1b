"""Captures in the controller process: orders from Redis become flows, copies become rows, the end becomes a file.

A row that waits or runs and that this process does not know is of another life: it is failed at the start, and its flows
are gone by the reconcile or by their own timeout.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import redis
import redis.asyncio
from django.conf import settings
from django.db import DatabaseError

from portal.captures.models import Capture
from portal.captures.requests import ORDERS
from portal.live.transient import publish_transient
from sdn.capture import Captured, CaptureOrder, CapturePoint, format_pcapng, join, summary_of
from sdn.model.addresses import HostName
from sdn.transport.openflow import ChannelError
from tasks.catching import FIRST_NUMBER, catch, fail_former
from tasks.rows import in_rows

if TYPE_CHECKING:
    from sdn.controller import Controller

log = logging.getLogger("hopsight.captures")
TAKE_WAIT_S, WRITE_EVERY_S, TRY_AGAIN_S = 5, 0.5, 1.0
NO_PORT = "the hosts have no tunnel, or no cable to the outside, to capture at: their switches are not connected"
LIFE_OVER = "the controller process was started again meanwhile"


class CaptureDesk:
    """Takes orders for ever."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._running: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Serve until cancelled; a Redis or a database that is away is asked again."""
        is_first = True
        while True:
            client = redis.asyncio.Redis.from_url(settings.REDIS_URL, socket_timeout=TAKE_WAIT_S * 2)
            try:
                if is_first:
                    await in_rows(_fail_former)
                    await in_rows(fail_former)
                    is_first = False
                while True:
                    taken: Any = await client.blpop([ORDERS], timeout=TAKE_WAIT_S)
                    if taken is not None:
                        self._serve(json.loads(taken[1]))
            except (redis.RedisError, OSError, DatabaseError) as problem:
                log.warning("no capture orders problem=%s", problem)
            finally:
                await client.aclose()
            await asyncio.sleep(TRY_AGAIN_S)

    def _serve(self, order: dict[str, int]) -> None:
        if "stop" in order:
            self._controller.captures.stop(order["stop"])
            return
        if "catch" in order:
            self._begin(FIRST_NUMBER + order["catch"], catch(self._controller, order["catch"]))
            return
        number = order["start"]
        if number not in self._running:
            self._begin(number, self._capture(number))

    def _begin(self, number: int, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._running[number] = task
        task.add_done_callback(lambda done: self._ended(number, done))

    def _ended(self, number: int, done: asyncio.Task[None]) -> None:
        self._running.pop(number, None)
        if not done.cancelled() and (problem := done.exception()):
            log.error("capture=%d failed problem=%r", number, problem)

    async def _capture(self, number: int) -> None:
        row = await in_rows(_start, number)
        if row is None:
            return
        caught: list[Captured] = []
        order, names = self._order(row)
        if not order.points:
            await in_rows(_finish, row, caught, names, Capture.State.FAILED, NO_PORT)
            return
        writer = asyncio.create_task(_keep_writing(row, caught, names))
        try:
            why = await self._controller.captures.run(order, caught.append)
            state = Capture.State.DONE
        except ChannelError as problem:
            why, state = str(problem), Capture.State.FAILED
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
        await in_rows(_finish, row, caught, names, state, why)

    def _order(self, row: Capture) -> tuple[CaptureOrder, list[str]]:
        """The row's points with the ofports that the hosts have now."""
        points: list[CapturePoint] = []
        for point in row.points:
            for ofport in self._ofports(point["host"], point["port"]):
                coming, going = (tuple(tuple((name, value) for name, value in one) for one in point[way]) for way in ("coming", "going"))  # fmt: skip
                points.append(CapturePoint(point["name"], point["host"], ofport, coming, going))
        return CaptureOrder(row.pk, tuple(points), row.max_packets, row.seconds), [point.name for point in points]

    def _ofports(self, host: str, port: int | str) -> tuple[int, ...]:
        if isinstance(port, int):
            return (port,)
        return self._controller.tunnel_and_cable(HostName(host))[port]


async def _keep_writing(row: Capture, caught: list[Captured], names: list[str]) -> None:
    """What was caught so far, twice a second, for those who look."""
    written = 0
    while True:
        await asyncio.sleep(WRITE_EVERY_S)
        if len(caught) != written:
            written = len(caught)
            await in_rows(_write, row, list(caught), names)


def _fail_former() -> None:
    live = (Capture.State.WAITING, Capture.State.RUNNING)
    for row in Capture.objects.filter(state__in=live).defer("file"):
        row.state, row.why = Capture.State.FAILED, LIFE_OVER
        row.save(update_fields=["state", "why"])
        _tell(row)


def _start(number: int) -> Capture | None:
    """The row, claimed; None where it is gone, or was stopped before it began."""
    claimed = Capture.objects.filter(pk=number, state=Capture.State.WAITING).update(state=Capture.State.RUNNING)
    row = Capture.objects.filter(pk=number).first() if claimed else None
    if row is not None:
        _tell(row)
    return row


def _write(row: Capture, caught: list[Captured], names: list[str]) -> None:
    row.count = len(caught)
    row.rows = rows_of(caught, names)
    row.meetings = [[list(sight) for sight in one.sights] for one in join(caught)]
    Capture.objects.filter(pk=row.pk).update(count=row.count, rows=row.rows, meetings=row.meetings)
    _tell(row)


def _finish(row: Capture, caught: list[Captured], names: list[str], state: Capture.State, why: str) -> None:
    row.state, row.why = state, why[:300]
    ordered = sorted(caught, key=lambda one: one.at_s)
    file = format_pcapng(names, ordered, f"Hopsight capture {row.uuid}")
    Capture.objects.filter(pk=row.pk).update(state=row.state, why=row.why, file=file)
    _write(row, caught, names)


def _tell(row: Capture) -> None:
    name = f"capture:{row.uuid}"
    publish_transient(name, "capture.changed", name, {"state": row.state, "count": row.count, "why": row.why})


def rows_of(caught: list[Captured], names: list[str]) -> list[dict[str, Any]]:
    """The packet list: when (in milliseconds after the first), where, which way, and what."""
    began = caught[0].at_s if caught else 0.0
    return [
        {"at_ms": round((one.at_s - began) * 1000, 3), "point": names[one.point], "is_out": one.is_out,
         "size": len(one.frame), **summary_of(one.frame)}
        for one in caught
    ]  # fmt: skip
