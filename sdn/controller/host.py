"""One host as the controller sees it: its OVSDB, its channel, and the flows it is known to have.

A sync compiles for the ofports of now and sends the difference in one bundle: to what the switch has, which is dumped on a
new connection and every 10 s or more, and in between to what was compiled before. A second sync finds nothing to do, so a
restarted controller moves no packet.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import threading
from collections.abc import Callable
from dataclasses import replace

from sdn.compiler import HostCompiler, IntentIndex, Memo
from sdn.controller.drops import DropCount, limit_drops
from sdn.controller.gateway import Gateway
from sdn.controller.meter import Meter
from sdn.controller.meters import MeterKeeper
from sdn.controller.patience import Patience
from sdn.controller.standing import Floats
from sdn.controller.standins import StandIns
from sdn.controller.values import ControllerObserver, HostConnection
from sdn.model.intent import HostView, IntentSnapshot
from sdn.model.switch import SwitchSeen
from sdn.pipeline import FLAG_PROBE, TABLE_BY_NAME, Register
from sdn.reconcile import Plan, WireFlow, WireKey, diff_flows, format_plan, plan_changes
from sdn.transport.codec import PORT_CONTROLLER, encode_flow, packet_out
from sdn.transport.ctflush import flush_connections
from sdn.transport.flowtext import format_wire_flow
from sdn.transport.openflow import Channel, PacketIn
from sdn.transport.ovsdb import BRIDGE, EXTERNAL_BRIDGE, BridgeFacts, HostDatabase
from sdn.transport.tls import Remote, expect_database, parse_remote, server_context

log = logging.getLogger("hopsight.controller")
FULL_EVERY_S = 10.0
FULL_SHARE = 20.0  # a look at everything is followed by this many times its time of rest
RETRY_S = 1.0
ASK_AGAIN_S = 1.5
TICK_S = 1.0
MOST_TOLD = 20  # of the flows that nothing explains
NEIGHBOUR_MISS, FROM_OUTSIDE = (TABLE_BY_NAME[name].table_id for name in ("external_neighbour", "external_in"))


class Common:
    """What the hosts of one controller share: compiled pieces, and turns at looking at everything, which takes memory."""

    def __init__(self) -> None:
        self.memo: Memo[WireFlow] = Memo()
        self.turns = asyncio.Semaphore(2)
        self.keeps: Callable[[int], bool] = lambda cookie: False  # flows that come and go beside the intent


class HostLink:
    """Keeps one host's flows as the intent says. `poke` makes it look again soon, `stop` ends it."""

    def __init__(
        self,
        connection: HostConnection,
        observer: ControllerObserver,
        index: Callable[[], IntentIndex | None],
        on_packet_in: Callable[[Channel, PacketIn], None],
        common: Common,
    ) -> None:
        self.connection = connection
        self.channel: Channel | None = None
        self.facts: BridgeFacts | None = None
        self._observer = observer
        self._index = index
        self._on_packet_in = on_packet_in
        self._compiler = HostCompiler(encode_flow, common.memo)
        self._turns = common.turns
        self._common = common
        self._synced: Channel | None = None  # whose switch has what the compiler has
        self._database: HostDatabase | None = None
        self._server: asyncio.Server | None = None
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._is_news = True  # OVSDB may say something else than `facts`
        self._told: tuple[int, HostView] | None = None
        self._told_bridges: tuple[tuple[str, ...], int] = ((), 0)
        self._lost = ""
        self._target = ""
        self._asked_at = 0.0
        self._patience = Patience(str(connection.name))
        self._meters = MeterKeeper()
        self._has_meters: tuple[Channel, bool] | None = None
        self._sampled: tuple[int, ...] = ()
        self._gateway = Gateway(self.poke)
        self._floats = Floats()
        self.stand_ins = StandIns(self.poke)
        self._meter = Meter()
        self._is_recovered = False
        self._full_took_s = 0.0
        self._compiled_view: HostView
        self._wired: tuple[int, BridgeFacts] | None = None
        self._wired_news = asyncio.Event()
        self._beside = [self._loop.create_task(work) for work in (self._tick_on(), self._tell_wired())]
        self._task = self._loop.create_task(self._run())

    @property
    def name(self) -> str:
        return self.connection.name

    def _intent(self) -> IntentSnapshot | None:
        index = self._index()
        return index.snapshot if index else None

    def poke(self) -> None:
        """Something changed: look again at once."""
        self._wake.set()

    def set_sampled(self, port_ids: tuple[int, ...]) -> None:
        """The ports whose dropped packets are wanted here, sorted."""
        if port_ids != self._sampled:
            self._sampled = port_ids
            self.poke()

    async def limits_counted(self) -> list[DropCount]:
        """What the rate limits dropped. Raises ChannelError."""
        places = {number: port.intent.id for port in self._compiler.limited for number in port.meters if number}
        if not places or self.channel is None:
            return []
        return [count for row in await self.channel.dump_meter_drops() for count in limit_drops(row, places)]

    def _attach(self, channel: Channel) -> None:
        self.channel = channel
        self._synced = None
        self.poke()

    def _detach(self, channel: Channel, why: str) -> None:
        if self.channel is channel:
            self.channel = None
            self._synced = None
            self._told = None
            self._lost = f"OpenFlow channel: {why}"
            self.poke()

    async def switch_seen(self) -> SwitchSeen | None:
        """What OVSDB says is on the host; None while it is not reached, or its switch does not run: a switch that lives tells
        OVSDB soon that it lost us, and what one that died left there is nobody's word any more."""
        database = self._database
        seen = await asyncio.to_thread(database.switch_seen) if database else None
        if database is None or seen is None or self.channel is not None:
            return seen
        return None if seen.is_said_connected(BRIDGE) or await asyncio.to_thread(database.is_behind) else seen

    async def stop(self) -> None:
        """End the link; the switch keeps its flows."""
        for task in (self._task, *self._beside):
            task.cancel()
        await asyncio.gather(self._task, *self._beside, return_exceptions=True)
        if self._server:
            self._server.close()
        if self.channel:
            self.channel.close("the controller ends")
        if self._database:
            await asyncio.to_thread(self._database.close)

    async def _run(self) -> None:
        full_at = 0.0
        while True:
            try:
                if self._database is None:
                    if problems := self.connection.problems():
                        raise ValueError("; ".join(problems))
                    await self._connect_database()
                await self._tell_lost()  # before the switch is asked for anything: one that hangs keeps us waiting
                await self._listen()
                if self._loop.time() > full_at:
                    full_at = self._loop.time() + max(FULL_EVERY_S, self._full_took_s * FULL_SHARE)
                    self._synced = None
                    self._is_news = True
                    await self._patience.run(self._ensure_bridge)
                if self._is_news or self.facts is None:
                    self._is_news = False  # before it is read: what comes meanwhile is news again
                    self.facts = await self._patience.run(self._observe)
                await self._tell_bridges()
                await self._ensure_ports()
                await self._sync()
                await self._sleep(FULL_EVERY_S if self.channel else ASK_AGAIN_S)
            except asyncio.CancelledError:
                raise
            except Exception as problem:  # a host's trouble must not end the controller
                log.warning("host=%s problem=%s", self.name, problem)
                self._synced = None
                self._is_news = True
                await self._observer.host_lost(self.connection.name, str(problem))
                await self._sleep(RETRY_S)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):  # wait_for of Python 3.11 loses a cancellation that meets a poke
                await self._wake.wait()
        except TimeoutError:
            return
        finally:
            self._wake.clear()

    async def _listen(self) -> None:
        """Open a socket of a new name and tell the switch, so that it connects at once.

        OVS 3.1 waits up to 8 s between tries whatever max_backoff says, but a changed target is tried at once; the
        bridge never is without a controller, for that would flush its flows.
        """
        if self.channel is not None or (self._server and self._loop.time() - self._asked_at < ASK_AGAIN_S):
            return
        remote = parse_remote(self.connection.controller_target)
        if remote.scheme != "unix":
            await self._listen_tcp(remote)
            return
        if self._server is not None:
            self._server.close()
        for old in self.connection.rundir.glob("hopsight-*.sock"):
            old.unlink(missing_ok=True)
        path, self._target = self.connection.sockets(secrets.token_hex(3))
        self._server = await self._loop.create_unix_server(
            lambda: Channel(self._attach, self._detach, self._received), str(path)
        )
        os.chmod(path, 0o600)
        await self._patience.run(self._ensure_bridge)
        self._asked_at = self._loop.time()

    async def _listen_tcp(self, remote: Remote) -> None:
        """Listen for this host at an address; a port of 0 is a new one each time, and so tried at once."""
        if self._server is None or not remote.port:
            if self._server is not None:
                self._server.close()
            tls = self.connection.tls
            context = server_context(tls) if remote.scheme == "ssl" and tls else None
            owner = str(self.connection.name) if context else ""
            self._server = await self._loop.create_server(
                lambda: Channel(self._attach, self._detach, self._received, owner=owner),
                (self.connection.listen or remote.address).strip("[]"), remote.port, ssl=context,
            )  # fmt: skip
            self._target = remote.with_port(self._server.sockets[0].getsockname()[1])
        await self._patience.run(self._ensure_bridge)
        self._asked_at = self._loop.time()

    def _received(self, channel: Channel, packet: PacketIn) -> None:
        is_probe = packet.registers.get(Register.FLAGS, 0) & FLAG_PROBE
        if is_probe or packet.table_id not in (NEIGHBOUR_MISS, FROM_OUTSIDE):
            self._on_packet_in(channel, packet)
            return
        intent, facts, now = self._intent(), self.facts, self._loop.time()
        if intent is None or facts is None or not self._may(packet, now):
            return
        take = self._gateway.missed if packet.table_id == NEIGHBOUR_MISS else self._gateway.heard
        take(intent, facts.view, packet.registers, packet.frame, now, self._send)

    def _may(self, packet: PacketIn, now: float) -> bool:
        return self._meter.may(packet.table_id, packet.in_port, "other", now)

    def _send(self, frame: bytes, actions: tuple[str, ...]) -> None:
        if self.channel is not None:
            self.channel.send(packet_out(frame, actions, PORT_CONTROLLER, self.channel.next_xid()))

    def _tick(self) -> None:
        intent, facts = self._intent(), self.facts
        if intent is not None and facts is not None and self.channel is not None and self._synced is self.channel:
            self._gateway.tick(intent, facts.view, self._loop.time(), self._send)

    async def _tick_on(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            try:
                self.stand_ins.tick()
                self._tick()
            except Exception:  # one bad second must not end the gateway
                log.exception("host=%s gateway not looked after", self.name)

    async def _connect_database(self) -> None:
        def changed() -> None:
            self._is_news = True
            self._loop.call_soon_threadsafe(self._wake.set)

        connection = self.connection
        if connection.tls and connection.ovsdb.startswith("ssl:"):
            expect_database(connection.ovsdb, str(connection.name), connection.tls)
        self._database = await self._patience.run(
            lambda: HostDatabase(connection.name, connection.ovsdb, changed), too_late=self._adopt
        )

    def _adopt(self, database: HostDatabase) -> None:
        """A connection that came late is taken: a host with thousands of ports would else be read in vain for ever."""
        if self._database is not None or self._task.done():
            threading.Thread(target=database.close, daemon=True).start()
            return
        self._database = database
        self.poke()

    def _ensure_bridge(self) -> None:
        assert self._database is not None
        connection = self.connection
        self._database.ensure_bridge(connection.datapath_type, connection.underlay_ip, self._target)

    async def _ensure_ports(self) -> None:
        """At once when the first network came, or the last went, that needs the cable to br-ex or the Geneve port; the
        rest of the bridge is looked at now and then."""
        intent, facts, database = self._intent(), self.facts, self._database
        if intent is None or facts is None or database is None:
            return
        cable = intent.needs_cable and EXTERNAL_BRIDGE in facts.bridges
        geneve, underlay_ip = intent.needs_geneve, self.connection.underlay_ip
        if cable != (facts.view.external_ofport is not None):
            await self._patience.run(lambda: database.ensure_cable(cable))
        if geneve != (facts.view.geneve_ofport is not None):
            await self._patience.run(lambda: database.ensure_geneve(geneve, underlay_ip))

    def _observe(self) -> BridgeFacts | None:
        assert self._database is not None
        return self._database.observe()

    async def _tell_bridges(self) -> None:
        """Which bridges the host has, foreign ones too; told again now and then, for what is told may be lost."""
        told = (self.facts.bridges if self.facts else (), int(self._loop.time() / FULL_EVERY_S))
        if self.facts and told != self._told_bridges:
            self._told_bridges = told
            await self._observer.bridges_seen(self.connection.name, self.facts.bridges)

    async def _tell_lost(self) -> None:
        if self._lost:
            why, self._lost = self._lost, ""
            await self._observer.host_lost(self.connection.name, why)

    async def _sync(self) -> None:
        index, facts, channel = self._index(), self.facts, self.channel
        await self._tell_lost()
        if index is None or facts is None or channel is None:
            return
        intent = index.snapshot
        plan = await self._plan(index, facts, channel)
        self._synced = None  # until the switch has it, and if it is another by then
        if not plan.is_empty:
            log.info("host=%s generation=%d %s", self.name, intent.generation, format_plan(plan))
            await self._meters.before(channel, self._compiler.meters)
            await channel.apply(plan)
        await self._meters.after(channel, self._compiler.meters)
        for ended in self._floats.ended(index, self.connection.name):
            channel.send(flush_connections(*ended, channel.next_xid()))
        self._synced = channel
        self.stand_ins.told(self._compiled_view.stand_ins)
        self._tick()
        self._wired = (intent.generation, facts)
        self._wired_news.set()

    async def _tell_wired(self) -> None:
        """Told beside the syncs, so that no port waits for another's rows; what was not written down is told again."""
        while True:
            await self._wired_news.wait()
            self._wired_news.clear()
            assert self._wired is not None
            generation, facts = self._wired
            if self._told == (generation, facts.view):
                continue
            try:
                await self._observer.ports_wired(
                    self.connection.name, generation, dict(facts.view.ofports), facts.interface_names
                )
                self._told = (generation, facts.view)
            except Exception as problem:  # a database's trouble must not end the telling
                log.warning("host=%s ports not told problem=%s", self.name, problem)
                await asyncio.sleep(RETRY_S)
                self._wired_news.set()

    def _view(self, facts: BridgeFacts) -> HostView:
        seen = self._gateway.view(facts.view)
        has_meters = self._has_meters is None or self._has_meters[1]
        sampled = self._sampled if has_meters else ()  # unmetered copies would be as many as what is dropped
        self._compiled_view = replace(seen, sampled=sampled, stand_ins=self.stand_ins.wanted, has_meters=has_meters)
        return self._compiled_view

    async def _look_for_meters(self, channel: Channel) -> None:
        """Once a connection: a flow that names a meter is refused by a datapath without, and its whole bundle with it."""
        if self._has_meters is None or self._has_meters[0] is not channel:
            self._has_meters = channel, await channel.has_meters()
            await self._observer.meters_seen(self.connection.name, self._has_meters[1])

    async def _plan(self, index: IntentIndex, facts: BridgeFacts, channel: Channel) -> Plan:
        """What the switch lacks: found by looking at all it has where that is not known, else by what changed."""
        if self._synced is channel:
            view = self._view(facts)
            before = await asyncio.to_thread(self._compiler.update, index, view)
            return plan_changes(before, self._compiler.flows)
        began = self._loop.time()
        self._meters.forget()
        await self._look_for_meters(channel)
        async with self._turns:
            observed: dict[WireKey, WireFlow] = {
                flow.key: flow for flow in await channel.dump_flows() if not self._common.keeps(flow.cookie)
            }
            if not self._is_recovered:
                self._is_recovered = True
                self._gateway.recover(observed.values(), self._loop.time())
                self._floats.recover(observed.values())
            view = self._view(facts)
            knew = bool(self._compiler.flows)
            before = await asyncio.to_thread(self._compiler.update, index, view)
            plan = await asyncio.to_thread(diff_flows, observed, self._compiler.flows.values())
        self._full_took_s = self._loop.time() - began
        await self._observer.host_connected(self.connection.name, facts.dpid, facts.ovs_version)
        # What the compiler never asked for has our mark from somebody else. Where it knows of no earlier intent, as after
        # a start, it may be of rows that are gone.
        strange = [flow for flow in plan.delete if knew and before.get(flow.key) is None]
        if strange:
            lines = tuple(format_wire_flow(flow) for flow in strange[:MOST_TOLD])
            log.warning("host=%s flows that nothing explains are removed count=%d", self.name, len(strange))
            await self._observer.flows_removed(self.connection.name, len(strange), lines)
        return plan
