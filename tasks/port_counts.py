"""What every port carried, every ten seconds: into Redis, where /metrics reads it, and into the history."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import redis
from django.db import DatabaseError

from portal.metrics.tally import PortCount, keep_port_counts
from tasks.rows import in_rows
from tasks.sampling import PortSampler

if TYPE_CHECKING:
    from sdn.controller import Controller

log = logging.getLogger("hopsight.metrics")
COUNT_EVERY_S = 10.0


async def keep_ports(controller: Controller) -> None:
    """Count until cancelled."""
    sampler = PortSampler()
    while True:
        now_s, everything = int(time.time()), dict[str, PortCount]()
        try:
            for host, ports in (await controller.ports_counted()).items():
                counts = {
                    str(uuid): PortCount(one.rx_packets, one.tx_packets, one.rx_bytes, one.tx_bytes, one.lost)
                    for uuid, one in ports.items()
                }
                everything |= counts
                await asyncio.to_thread(keep_port_counts, str(host), counts)
            await in_rows(sampler.take, everything, now_s, time.monotonic())
        except (redis.RedisError, DatabaseError) as problem:
            log.warning("ports not counted problem=%s", problem)
        except Exception:  # the process's edge: a count that is late must not end the network's keeper
            log.exception("ports not counted")
        await asyncio.sleep(COUNT_EVERY_S - time.time() % COUNT_EVERY_S)  # on the tens: one sample for each step
