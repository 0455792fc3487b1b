"""Where probes are ordered from the controller: a list in Redis, answered on a list of the order's own.

Only the controller process has the switches' channels, so whoever wants a probe (a worker that answers a trace) leaves
an order and waits. An order that nobody takes is gone after `ORDER_LIFE_S`, and one that is answered too late is not
waited for: probes change nothing, so there is nothing to clean up.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import secrets
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import redis
import redis.asyncio
from django.conf import settings

from portal.live.events import connection, waiting_connection
from sdn.model.addresses import HostName, IfaceId
from sdn.probe import ProbeOrder, ProbeReport
from sdn.transport.openflow import ChannelError

if TYPE_CHECKING:
    from sdn.controller import Controller

log = logging.getLogger("hopsight.probes")
ORDERS, ANSWERS = "hopsight:probe:orders", "hopsight:probe:answer:"
OPEN = "hopsight:probe:open"  # there while a controller takes orders
ORDER_LIFE_S = 10
AT_ONCE = 100
TAKE_WAIT_S = 5
STAND_IN_WITHIN_S = 1.5
GRACE_S = 1.5  # for the way through Redis, beside the probe's own deadline


class ProbeRefused(Exception):
    """No probe was sent, or nobody answered; the message is for people."""


def order_probe(order: ProbeOrder, within_s: float) -> list[dict[str, Any]]:
    """The reports as JSON (ProbeReport's fields, the frame as base64). Blocks; raises ProbeRefused."""
    words = {
        "host": order.host, "ofport": order.ofport, "stand_in": order.stand_in, "token": order.token.hex(),
        "frame": base64.b64encode(order.frame).decode(), "within_s": within_s,
        "hand_over_at": order.hand_over_at,
    }  # fmt: skip
    reports: list[dict[str, Any]] = _order(words, within_s)["reports"]
    return reports


def order_stand_in(host: HostName, iface_id: IfaceId) -> None:
    """Returns when the host's switch takes packets in the name of a port that is plugged nowhere. As `order_probe`."""
    try:
        is_open = connection().exists(OPEN)
    except redis.RedisError as problem:
        raise ProbeRefused(f"Redis does not answer: {problem}") from problem
    if not is_open:  # nobody is made to wait for a controller that is not there
        raise ProbeRefused("the controller takes no orders: is it running?")
    _order({"host": host, "stand_in": iface_id}, STAND_IN_WITHIN_S)


def _order(words: dict[str, Any], within_s: float) -> dict[str, Any]:
    key = secrets.token_hex(8)
    try:
        client = connection()
        with client.pipeline() as pipe:
            pipe.rpush(ORDERS, json.dumps({"key": key, **words}))
            pipe.expire(ORDERS, ORDER_LIFE_S)
            pipe.execute()
        taken: Any = waiting_connection().blpop([ANSWERS + key], timeout=within_s + GRACE_S)
    except redis.RedisError as problem:
        raise ProbeRefused(f"Redis, which takes the order to the controller, does not answer: {problem}") from problem
    if taken is None:
        raise ProbeRefused("the controller did not take the order: is it running?")
    answer: dict[str, Any] = json.loads(taken[1])
    if "refused" in answer:
        raise ProbeRefused(str(answer["refused"]))
    return answer


class ProbeDesk:
    """Takes orders for ever, in the controller process; at most a hundred probes fly at once."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._seats = asyncio.Semaphore(AT_ONCE)
        self._flying: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until cancelled; a Redis that is away is asked again."""
        while True:
            client = redis.asyncio.Redis.from_url(settings.REDIS_URL, socket_timeout=TAKE_WAIT_S * 2)
            try:
                while True:
                    await self._seats.acquire()
                    await client.set(OPEN, 1, ex=TAKE_WAIT_S * 2)
                    taken: Any = await client.blpop([ORDERS], timeout=TAKE_WAIT_S)
                    if taken is None:
                        self._seats.release()
                        continue
                    self._serve(taken[1])
            except (redis.RedisError, OSError) as problem:
                self._seats.release()
                log.warning("no orders from redis problem=%s", problem)
            finally:
                await client.aclose()
            await asyncio.sleep(1.0)

    def _serve(self, text: bytes) -> None:
        task = asyncio.create_task(self._answer(text))
        self._flying.add(task)

        def landed(done: asyncio.Task[None]) -> None:
            self._flying.discard(done)
            self._seats.release()
            if not done.cancelled() and (problem := done.exception()):
                log.error("an order was not answered problem=%r", problem)

        task.add_done_callback(landed)

    async def _answer(self, text: bytes) -> None:
        words = json.loads(text)
        try:
            answer = await self._done(words)
        except ChannelError as problem:
            answer = {"refused": str(problem)}
        await asyncio.to_thread(_reply, words["key"], answer)

    async def _done(self, words: dict[str, Any]) -> dict[str, Any]:
        """What an order came to. Raises ChannelError."""
        if "frame" not in words:
            await self._controller.stand_in(HostName(words["host"]), IfaceId(words["stand_in"]))
            return {}
        frame, token = base64.b64decode(words["frame"]), bytes.fromhex(words["token"])
        stand_in = IfaceId(words["stand_in"]) if words["stand_in"] else None
        place = (HostName(words["hand_over_at"][0]), words["hand_over_at"][1]) if words["hand_over_at"] else None
        order = ProbeOrder(token, HostName(words["host"]), words["ofport"], frame, stand_in, place)
        reports = await self._controller.probes.send(order, float(words["within_s"]))
        return {"reports": [_plain(report) for report in reports]}


def _plain(report: ProbeReport) -> dict[str, Any]:
    return {**asdict(report), "frame": base64.b64encode(report.frame).decode()}


def _reply(key: str, answer: dict[str, Any]) -> None:
    with connection().pipeline() as pipe:
        pipe.rpush(ANSWERS + key, json.dumps(answer))
        pipe.expire(ANSWERS + key, ORDER_LIFE_S)
        pipe.execute()
