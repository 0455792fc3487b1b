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
from sdn.transport.openflow import Channel, ChannelError, open_channel
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
    virtual: dict[str, dict[int, str]] = field(default_factory=dict)  # host → ofport → tunnel or patch port
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
        self.virtual = virtual_ports(inventory)
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


def virtual_ports(inventory: Inventory) -> dict[str, dict[int, str]]:
    """Host → ofport → name of the integration bridge's ports that are none of the datapath."""
    return {
        host.name: {
            port.ofport: port.name
            for bridge in host.bridges
            if bridge.name == INTEGRATION
            for port in bridge.ports
            if port.kind in ("tunnel", "patch") and port.ofport
        }
        for host in inventory.hosts
    }


async def _watch_traffic(topic: MapTopic) -> None:
    readers: dict[str, HostCounters] = {}
    gate = asyncio.Semaphore(HOSTS_AT_ONCE)
    try:
        while True:
            began = time.monotonic()
            for host, rundir in list(topic.rundirs.items()):
                readers.setdefault(host, HostCounters(rundir))
            told = await asyncio.gather(*(_read(gate, host, readers[host], topic) for host in list(topic.rundirs)))
            await asyncio.to_thread(topic.write, [change for change in told if change is not None])
            await asyncio.sleep(max(TRAFFIC_EVERY_S - (time.monotonic() - began), 0.1))
    finally:
        for reader in readers.values():
            reader.close()


async def _read(gate: asyncio.Semaphore, host: str, reader: HostCounters, topic: MapTopic) -> Change | None:
    async with gate:
        rates = await reader.rates(topic.virtual.get(host, {}))
    if rates is None:
        return None
    return Change("traffic.changed", f"traffic:{host}", traffic_data(rates, topic.named.get(host, frozenset())))


def traffic_data(rates: Mapping[str, PortRate], named: frozenset[str]) -> dict[str, Any]:
    """Port → [rx packets, tx packets, rx bits, tx bits, lost], each per second; silent ports are left out."""
    ports: dict[str, list[float]] = {}
    for name, rate in rates.items():
        if not (rate.rx_pps or rate.tx_pps or rate.lost_ps):
            continue
        key = name if name in named else OTHERS
        numbers = [rate.rx_pps, rate.tx_pps, rate.rx_bps, rate.tx_bps, rate.lost_ps]
        ports[key] = [round(old + new, 1) for old, new in zip(ports.get(key, [0.0] * 5), numbers, strict=True)]
    return {"ports": ports, "at": round(time.time(), 1)}


class HostCounters:
    """Reads one host's counters, the datapath's ports and the bridge's virtual ones; remembers the last reading."""

    def __init__(self, rundir: Path) -> None:
        self._rundir = rundir
        self._client: UnixctlClient | None = None
        self._channel: Channel | None = None
        self._last: tuple[float, dict[str, PortCounters]] | None = None

    async def rates(self, virtual: Mapping[int, str]) -> dict[str, PortRate] | None:
        """Since the last reading; None for the first one, or when the switch does not answer."""
        try:
            counters = await asyncio.to_thread(self._datapath)
            counters |= await self._virtual(virtual)
        except (UnixctlError, ChannelError, OSError, TimeoutError) as problem:
            log.info("no counters rundir=%s problem=%s", self._rundir, problem)
            self.close()
            return None
        now = time.monotonic()
        before, self._last = self._last, (now, counters)
        return rates_between(before[1], counters, now - before[0]) if before else None

    def close(self) -> None:
        """Close both connections; the next reading opens new ones and is a first one."""
        if self._client:
            self._client.close()
        if self._channel:
            self._channel.close("counters are no longer read")
        self._client = self._channel = self._last = None

    def _datapath(self) -> dict[str, PortCounters]:
        if self._client is None:
            self._client = UnixctlClient(find_vswitchd_socket(self._rundir), DEADLINE_S)
        counters = parse_port_counters(self._client.run("dpctl/show", "-s"))
        return {name: one for name, one in counters.items() if not _is_no_port(name)}

    async def _virtual(self, names: Mapping[int, str]) -> dict[str, PortCounters]:
        if not names:
            return {}
        if self._channel is None or self._channel.is_closed:
            self._channel = await open_channel(str(self._rundir / f"{INTEGRATION}.mgmt"))
        counted = await self._channel.dump_ports()
        return {names[ofport]: one for ofport, one in counted.items() if ofport in names}


def _is_no_port(name: str) -> bool:
    """The datapath itself, the bridge (what goes through it is its ports'), and the device that all tunnels share."""
    return name.startswith("ovs-") or name == INTEGRATION or KERNEL_TUNNEL.match(name) is not None


def _kind(key: str) -> str:
    return key.partition(":")[0]
