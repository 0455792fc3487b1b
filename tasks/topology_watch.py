"""Maps for those who look: `topology` (operators) and `topology:<team>`, what is there and what it carries.

Twice a second the rows' stamp is asked for; when it differs, the map is made anew, redacted for its readers, compared
with what they have, and the difference told. Once a second the hosts' port counters are read and told as rates, one
object a host, with only the ports that the map names; the rest is one sum.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portal.accounts.models import Team
from portal.hosts.models import Host
from portal.live.transient import Change, TransientWriter
from portal.topology.inventory import INTEGRATION, Inventory, Scope, inventory_stamp, load_inventory
from portal.topology.serialize import State, inventory_as_state
from sdn.transport.port_counters import KERNEL_TUNNEL, PortCounters, PortRate, parse_port_counters, rates_between
from sdn.transport.unixctl import UnixctlClient, UnixctlError, find_vswitchd_socket
from tasks.rows import in_rows

log = logging.getLogger("hopsight.watching")
LOOK_EVERY_S = 0.5
TRAFFIC_EVERY_S = 1.0
DEADLINE_S = 0.8
HOSTS_AT_ONCE = 16
OTHERS = ""  # the sum of the ports that the map does not name


async def watch_topology(name: str) -> None:
    """Keep the map's topic true until cancelled. Raises Team.DoesNotExist."""
    scope = Scope(await in_rows(Team.objects.get, slug=name) if name else None)
    topic = MapTopic(scope)
    await asyncio.to_thread(topic.writer.load)
    traffic = asyncio.create_task(_watch_traffic(topic))
    try:
        while not traffic.done():
            await in_rows(topic.look)
            await asyncio.sleep(LOOK_EVERY_S)
        traffic.result()
    finally:
        traffic.cancel()


@dataclass(slots=True)
class MapTopic:
    """One scope's map and its readers' state."""

    scope: Scope
    writer: TransientWriter = field(init=False)
    named: dict[str, frozenset[str]] = field(default_factory=dict)  # host → ports that may be named
    rundirs: dict[str, Path] = field(default_factory=dict)
    stamp: tuple[object, ...] = ()
    _lock: threading.Lock = field(default_factory=threading.Lock)  # inventory and traffic are told from two threads

    def __post_init__(self) -> None:
        self.writer = TransientWriter(self.scope.topic)

    def look(self) -> None:
        """Tell what differs, when anything may."""
        stamp = inventory_stamp()
        if stamp == self.stamp:
            return
        inventory = load_inventory(self.scope)
        self.named = ports_to_name(inventory)
        self.rundirs = {name: Path(rundir) for name, rundir in Host.objects.values_list("name", "ovs_rundir")}
        state = inventory_as_state(inventory)
        with self._lock:
            self.writer.write(changes_between(self.writer.state, state))
        self.stamp = stamp

    def write(self, changes: list[Change]) -> None:
        """Tell the changes; none keeps the topic alive."""
        with self._lock:
            self.writer.write(changes)


def changes_between(before: Mapping[str, Mapping[str, Any]], after: State) -> list[Change]:
    """What makes the one state the other, ends first; traffic is not the inventory's and is left alone, unless its host
    is gone."""
    changes = [
        Change(f"{_kind(key)}.deleted", key, None)
        for key in before
        if key not in after and (_kind(key) != "traffic" or f"host:{key.partition(':')[2]}" not in after)
    ]
    changes += [Change(f"{_kind(key)}.changed", key, data) for key, data in after.items() if before.get(key) != data]
    return changes


def ports_to_name(inventory: Inventory) -> dict[str, frozenset[str]]:
    """Host → the ports of the map: the guests' taps and what its bridges show."""
    named: dict[str, set[str]] = {host.name: set() for host in inventory.hosts}
    for host in inventory.hosts:
        for bridge in host.bridges:
            for port in bridge.ports:
                named[host.name].update((port.name, *port.members))
    for guest in inventory.guests:
        named.get(guest.host, set()).update(nic.tap for nic in guest.nics if nic.tap)
    for foreign in inventory.foreign:
        named.get(foreign.host, set()).update(foreign.taps)
    return {name: frozenset(ports) for name, ports in named.items()}


async def _watch_traffic(topic: MapTopic) -> None:
    readers: dict[str, HostCounters] = {}
    while True:
        began = time.monotonic()
        for host, rundir in list(topic.rundirs.items()):
            readers.setdefault(host, HostCounters(rundir))
        gate = asyncio.Semaphore(HOSTS_AT_ONCE)
        told = await asyncio.gather(*(_read(gate, host, readers[host], topic) for host in list(topic.rundirs)))
        changes = [change for change in told if change is not None]
        await asyncio.to_thread(topic.write, changes)
        await asyncio.sleep(max(TRAFFIC_EVERY_S - (time.monotonic() - began), 0.1))


async def _read(gate: asyncio.Semaphore, host: str, reader: HostCounters, topic: MapTopic) -> Change | None:
    async with gate:
        rates = await asyncio.to_thread(reader.rates)
    if rates is None:
        return None
    return Change("traffic.changed", f"traffic:{host}", traffic_data(rates, topic.named.get(host, frozenset())))


def traffic_data(rates: Mapping[str, PortRate], named: frozenset[str]) -> dict[str, Any]:
    """Port → [rx packets, tx packets, rx bits, tx bits, lost], each per second; silent ports are left out."""
    ports: dict[str, list[float]] = {}
    for name, rate in rates.items():
        if not (rate.rx_pps or rate.tx_pps or rate.lost_ps):
            continue
        key = _named_as(name, named)
        numbers = [rate.rx_pps, rate.tx_pps, rate.rx_bps, rate.tx_bps, rate.lost_ps]
        ports[key] = [round(old + new, 1) for old, new in zip(ports.get(key, [0.0] * 5), numbers, strict=True)]
    return {"ports": ports, "at": round(time.time(), 1)}


def _named_as(port: str, named: frozenset[str]) -> str:
    """The datapath calls a tunnel by its device (`vxlan_sys_4789`): it is counted under our tunnel port's name."""
    if port in named:
        return port
    if KERNEL_TUNNEL.match(port):
        return next((name for name in sorted(named) if name.startswith(("vxlan", "geneve"))), OTHERS)
    return OTHERS


class HostCounters:
    """Reads one host's counters; remembers the last reading. Blocks: call from a thread."""

    def __init__(self, rundir: Path) -> None:
        self._rundir = rundir
        self._client: UnixctlClient | None = None
        self._last: tuple[float, dict[str, PortCounters]] | None = None

    def rates(self) -> dict[str, PortRate] | None:
        """Since the last reading; None for the first one, or when the switch does not answer."""
        try:
            if self._client is None:
                self._client = UnixctlClient(find_vswitchd_socket(self._rundir), DEADLINE_S)
            text = self._client.run("dpctl/show", "-s")
        except (UnixctlError, OSError, TimeoutError) as problem:
            log.info("no counters rundir=%s problem=%s", self._rundir, problem)
            if self._client:
                self._client.close()
            self._client, self._last = None, None
            return None
        now, counters = time.monotonic(), _without_bridges(parse_port_counters(text))
        before, self._last = self._last, (now, counters)
        return rates_between(before[1], counters, now - before[0]) if before else None


def _without_bridges(counters: dict[str, PortCounters]) -> dict[str, PortCounters]:
    """Not the datapath's own port, and not the bridge's: what goes through it is its ports'."""
    return {name: one for name, one in counters.items() if not name.startswith("ovs-") and name != INTEGRATION}


def _kind(key: str) -> str:
    return key.partition(":")[0]
