"""What every port carried, into Redis every ten seconds: /metrics reads it there."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import redis

from portal.metrics.tally import PortCount, keep_port_counts

if TYPE_CHECKING:
    from sdn.controller import Controller

log = logging.getLogger("hopsight.metrics")
COUNT_EVERY_S = 10.0


async def keep_ports(controller: Controller) -> None:
    """Count until cancelled."""
    while True:
        try:
            for host, ports in (await controller.ports_counted()).items():
                counts = {
                    str(uuid): PortCount(one.rx_packets, one.tx_packets, one.rx_bytes, one.tx_bytes, one.lost)
                    for uuid, one in ports.items()
                }
                await asyncio.to_thread(keep_port_counts, str(host), counts)
        except redis.RedisError as problem:
            log.warning("ports not counted problem=%s", problem)
        except Exception:  # the process's edge: a count that is late must not end the network's keeper
            log.exception("ports not counted")
        await asyncio.sleep(COUNT_EVERY_S)
