"""The controller process: rows to the controller, poked by Redis and, whatever happens, every few seconds by itself."""

from __future__ import annotations

import asyncio
import logging
import signal
from datetime import timedelta
from pathlib import Path

import redis.asyncio
from django.conf import settings
from django.utils import timezone

from portal.compute.models import VM, VMState
from portal.hosts.models import Host
from portal.networks.following import IntentReader
from portal.networks.gateways import reassign_gateways
from portal.networks.intent import POKE_CHANNEL
from portal.networks.models import Port
from sdn.controller import Controller, HostConnection
from sdn.model.addresses import HostName, IfaceId
from sdn.transport.tls import TlsFiles
from tasks.capture_desk import CaptureDesk
from tasks.controller_observer import RowObserver
from tasks.drop_samples import keep_samples
from tasks.drop_watch import keep_drops
from tasks.flow_history import keep_flow_history
from tasks.hint_desk import HintDesk
from tasks.inventory import keep_switches
from tasks.port_counts import keep_ports
from tasks.probe_desk import ProbeDesk
from tasks.process import settle_process
from tasks.rows import in_rows
from tasks.watching import Watching

log = logging.getLogger("hopsight.controller")
RELOAD_EVERY_S = 2.0
REST_AFTER_S = 0.02
PROBE_FOR = timedelta(minutes=10)


def load_hosts() -> tuple[HostConnection, ...]:
    """The hosts whose switch we keep."""
    folder = Path(settings.TLS_DIR)
    tls = TlsFiles(folder / "ca.pem", folder / "cert.pem", folder / "key.pem") if settings.TLS_DIR else None
    return tuple(
        HostConnection(
            HostName(host.name),
            host.ovsdb,
            host.datapath_type,
            host.underlay_ip,
            host.controller_target,
            Path(host.ovs_rundir),
            tls,
            settings.PLAIN_TCP,
            settings.CONTROLLER_LISTEN,
        )
        for host in Host.objects.order_by("id")
    )


def load_probes() -> frozenset[IfaceId]:
    """The ports of young running VMs whose SSH has not answered yet."""
    young = VM.objects.filter(
        ssh_at__isnull=True, state__in=[VMState.RUNNING, VMState.CREATING], created_at__gt=timezone.now() - PROBE_FOR
    )
    ports = Port.objects.filter(vm__in=young, wired_at__isnull=False)
    return frozenset(IfaceId(str(uuid)) for uuid in ports.values_list("uuid", flat=True))


def _load_rest() -> tuple[tuple[HostConnection, ...], frozenset[IfaceId]]:
    for router in reassign_gateways():
        log.warning("router=%s has a new gateway host=%s: its translated connections end", router, router.gateway_host)
    return load_hosts(), load_probes()


async def run() -> None:
    """Keep the hosts as the rows say until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    wake = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    controller = Controller(_Waking(wake))
    watching = Watching()
    reader = IntentReader()
    settle_process()
    hints = HintDesk()
    keepers = (keep_switches, keep_ports, keep_flow_history, hints.run)
    works = (
        _listen(wake, reader),
        watching.run(),
        ProbeDesk(controller).run(),
        CaptureDesk(controller).run(),
        keep_drops(controller, hints),
        keep_samples(controller, hints),
        *(keep(controller) for keep in keepers),
    )
    listeners = [loop.create_task(work) for work in works]
    ender = loop.create_task(stop.wait())
    try:
        while not stop.is_set():
            wake.clear()
            try:
                if await controller.set_intent(await in_rows(reader.read)):
                    await asyncio.sleep(REST_AFTER_S)  # so that reading the rest takes no turn from wiring
                hosts, probes = await in_rows(_load_rest)
                await controller.set_hosts(hosts)
                controller.forget_probes(probes)
                for iface_id in probes:
                    controller.probe_ssh(iface_id)
            except Exception as problem:  # the process's edge: a bad row must not take the network's keeper down
                log.warning("rows not taken over problem=%r", problem)
            waker = loop.create_task(wake.wait())
            await asyncio.wait({waker, ender}, timeout=RELOAD_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            waker.cancel()
    finally:
        for task in (*listeners, ender):
            task.cancel()
        await controller.stop()


class _Waking(RowObserver):
    """Looks at the rows again when ports were wired, so that their SSH is asked for at once."""

    def __init__(self, wake: asyncio.Event) -> None:
        self._wake = wake

    async def ports_wired(self, *args: object, **kwargs: object) -> None:
        await super().ports_wired(*args, **kwargs)  # type: ignore[arg-type]
        self._wake.set()


async def _listen(wake: asyncio.Event, reader: IntentReader) -> None:
    """Wake on every poke; a Redis that is away only makes us slower."""
    while True:
        client = redis.asyncio.Redis.from_url(settings.REDIS_URL)
        try:
            async with client.pubsub() as pubsub:
                await pubsub.subscribe(POKE_CHANNEL)
                async for message in pubsub.listen():
                    if message["type"] == "message":
                        reader.heard(message["data"])
                    wake.set()
        except (redis.RedisError, OSError) as problem:
            log.warning("no pokes from redis problem=%s", problem)
        finally:
            await client.aclose()
        await asyncio.sleep(1.0)
