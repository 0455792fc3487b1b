"""A trace at an instant: the recorded flows of then in shadow switches, a host's when the packet comes to it.

1. Where a port was plugged is read from the flows of then: a port's flow in `classify` names its ofport, and the tunnels'
   flows name theirs. Names, addresses and MTUs are the rows' of now.
2. Connections are not recorded: the packet counts as its connection's first, and that is said.
3. A gap, a host that was away, and flows that are no longer kept are said, never guessed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from portal.accounts.models import Team
from portal.hosts.models import Host
from portal.networks.models import Port
from portal.networks.owners import owner_of
from portal.topology.flow_rows import flow_line, table_at
from portal.topology.models import FlowChange, FlowRecord, HostSeen
from portal.traces.models import TraceRequest
from portal.traces.packets import KINDS
from sdn.bundle import Bundle, BundleShadow
from sdn.bundle.values import BundleBridge, BundleInterface, BundlePort
from sdn.linux.bridges import BridgeReading
from sdn.linux.namespaces import FarEnd
from sdn.model.cookie import Cause, CauseKind, parse_cookie
from sdn.model.device import DeviceChain
from sdn.model.switch import switch_from_json
from sdn.model.trace import Intent, Trace
from sdn.pipeline import TABLE_BY_NAME
from sdn.reconcile import WireFlow
from sdn.trace import Endpoint, HostUnreachable, LiveWorld, Question, TraceHost, predict
from sdn.trace.question import PortFacts
from sdn.transport.flowtext import decode_flow
from tasks.trace_outside import asked_question
from tasks.trace_rows import HostPorts, Setting, question_of, read_ports

Explain = Callable[[Iterable[Cause]], dict[Cause, Intent]]
BRIDGE, DEADLINE_S, TOLD_PROBLEMS = "br-int", 30.0, 3
NO_CONNECTIONS = "Connections are not recorded: the packet counts as the first of its connection."


@dataclass
class Switch:
    """A host's br-int as it was: its flows, and what its ofports were."""

    host: Host
    flows: list[WireFlow]
    placed: dict[int, int] = field(default_factory=dict)  # ofport → id of the port row
    tunnels: set[int] = field(default_factory=set)
    cables: set[int] = field(default_factory=set)
    doubts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        classify = TABLE_BY_NAME["classify"].table_id
        for wire in self.flows:
            match = dict(decode_flow(wire).key.match) if wire.table_id == classify else {}
            cause = parse_cookie(wire.cookie)
            if not match.get("in_port", "").isdigit() or cause is None:
                continue
            ofport = int(match["in_port"])
            if cause.kind == CauseKind.PORT:
                self.placed[ofport] = cause.row_id
            elif "tun_id" in match:
                self.tunnels.add(ofport)
            elif cause.kind == CauseKind.EXTERNAL_NETWORK:
                self.cables.add(ofport)

    @property
    def facts(self) -> tuple[PortFacts, ...]:
        """Its ports, as a live switch would tell them."""
        seen = _types_seen(self.host)
        tunnels = {ofport: seen.get(ofport, "vxlan") for ofport in self.tunnels}
        kinds = {**dict.fromkeys(self.placed, ""), **dict.fromkeys(self.cables, "patch"), **tunnels}
        return tuple(PortFacts(BRIDGE, ofport, f"port {ofport}", kind, "") for ofport, kind in sorted(kinds.items()))

    def bundle(self) -> Bundle:
        """It as what a shadow is loaded with."""
        ports = tuple(BundlePort(f"p{one.ofport}", (BundleInterface(f"p{one.ofport}", one.ofport),)) for one in self.facts)  # fmt: skip
        lines = tuple(flow_line(flow) for flow in self.flows)
        return Bundle(self.host.name, (BundleBridge(BRIDGE, ports, lines),), "", (), ())


def _types_seen(host: Host) -> dict[int, str]:
    """Type by ofport of br-int's tunnels, as OVSDB has them now: flows do not tell VXLAN from Geneve."""
    seen = HostSeen.objects.filter(host=host).first()
    bridges = switch_from_json(seen.switch).bridges if seen and seen.switch else ()
    ports = [port for bridge in bridges if bridge.name == BRIDGE for port in bridge.ports]
    return {one.ofport: one.type for port in ports for one in port.interfaces if one.kind == "tunnel"}


class Then:
    """What the records tell of one instant. `close` ends the shadows."""

    def __init__(self, at: datetime, hosts: tuple[Host, ...]) -> None:
        self.at, self.findings = at, [NO_CONNECTIONS]
        self._hosts = {host.name: host for host in hosts}
        self._switches: dict[str, Switch | None] = {}
        self._loaded: dict[str, BundleShadow] = {}

    def switch(self, name: str) -> Switch | None:
        """The host's switch as it was; None where nothing that old is kept of it."""
        if name not in self._switches:
            self._switches[name] = self._read(name)
        return self._switches[name]

    def place_of(self, port: Port) -> tuple[str, int] | None:
        """(host, ofport) where the port was plugged in; the host that it is on now is looked at first."""
        now = [port.host.name] if port.host else []
        for name in dict.fromkeys([*now, *self._hosts]):
            switch = self.switch(name)
            for ofport, row_id in (switch.placed if switch else {}).items():
                if row_id == port.pk:
                    return name, ofport
        return None

    def rundir(self, name: str) -> Path:
        """The run folder of the host's shadow, loaded when it is first asked for. Raises HostUnreachable."""
        if name not in self._loaded:
            switch = self.switch(name)
            if switch is None:
                raise HostUnreachable(f"the flows that {name} had then are not kept")
            self.findings += [words for words in switch.doubts if words not in self.findings]
            loaded = BundleShadow(switch.bundle())
            self._loaded[name] = loaded.__enter__()
            told = [words for words in loaded.problems if "left out" in words]
            self.findings += told[:TOLD_PROBLEMS]
        return self._loaded[name].rundir

    def close(self) -> None:
        """End the shadows."""
        for loaded in self._loaded.values():
            loaded.__exit__(None, None, None)
        self._loaded.clear()

    def generation(self) -> int:
        """The intent's generation of then, as far as the records tell."""
        last = FlowChange.objects.filter(at__lte=self.at).order_by("-at", "-id").values_list("generation", flat=True)
        return last.first() or 0

    def _read(self, name: str) -> Switch | None:
        record = FlowRecord.objects.filter(host__name=name, bridge=BRIDGE).first()
        table = table_at(record, self.at) if record else None
        if record is None or table is None:
            return None
        return Switch(self._hosts[name], list(table.values()), doubts=tuple(doubts_of(record, self.at)))


def doubts_of(record: FlowRecord, at: datetime) -> Iterator[str]:
    """What is not certain about the record at that instant, in words."""
    name = record.host.name
    for gap in record.changes.filter(kind=FlowChange.Kind.GAP, at__lte=at, until__gte=at):
        until = f"{gap.until:%H:%M:%S}" if gap.until else "now"
        yield f"Not certain: from {gap.at:%H:%M:%S} to {until} UTC nobody could tell {name}'s flows ({gap.why}); they are shown as they were last known."  # fmt: skip
    if record.away and at > record.seen_at:
        yield f"Not certain: since {record.seen_at:%H:%M:%S} UTC {name}'s flows are not known ({record.away}); they are shown as they were last known."  # fmt: skip


class PortsThen(HostPorts):
    """What was behind a host's ofports then; another team's is told as just that."""

    def __init__(self, then: Then, host: Host, team: Team, family: int) -> None:
        super().__init__(host, team, family)
        self._then = then

    def __getitem__(self, ofport: int) -> Endpoint:
        switch = self._then.switch(self._host.name)
        row_id = switch.placed[ofport] if switch else 0
        port = read_ports().filter(pk=row_id).first()
        if port is None:
            raise KeyError(ofport)
        return replace(self._endpoint(port), host=self._host.name, ofport=ofport)

    def __iter__(self) -> Iterator[int]:
        switch = self._then.switch(self._host.name)
        return iter(switch.placed if switch else ())

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _Rundirs(Mapping[str, Path]):
    def __init__(self, then: Then) -> None:
        self._then = then

    def __getitem__(self, name: str) -> Path:
        return self._then.rundir(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


class ThenWorld(LiveWorld):
    """Asks the shadows of an instant."""

    def __init__(self, then: Then) -> None:
        super().__init__(_Rundirs(then), DEADLINE_S)
        self._then = then

    def conntrack(self, host: str, zone: int) -> str:
        """No connection."""
        return ""

    def ports(self, host: str) -> tuple[PortFacts, ...]:
        """As the flows of then name them."""
        switch = self._then.switch(host)
        if switch is None:
            raise HostUnreachable(f"the flows that {host} had then are not kept")
        return switch.facts

    def linux_bridge(self, host: str, bridge: str) -> BridgeReading:
        """What was in the kernel then is not kept."""
        return BridgeReading(bridge, problems=("what the kernel had then is not kept",))

    def behind(self, host: str, port: PortFacts) -> FarEnd | None:
        """What was in the kernel then is not kept."""
        return None

    def wait_for_neighbour(self, host: str, attempt: int) -> bool:
        """A shadow has no underlay."""
        return False


def _question_then(then: Then, question: Question, hosts: tuple[Host, ...], team: Team, ends: tuple[Port | None, ...]) -> Question:  # fmt: skip
    """The question, with its ends where they were, and every host's ports as they were; nothing is read before it is met."""
    family = question.packet.ip_dst.version
    trace_hosts = tuple(
        TraceHost(host.name, host.underlay_ip, None, PortsThen(then, host, team, family), host.underlay_mtu) for host in hosts
    )  # fmt: skip
    source, target = (
        _moved(then, end, port) for end, port in zip((question.source, question.target), ends, strict=True)
    )
    assert source is not None
    return replace(question, source=source, target=target, hosts=trace_hosts, generation=then.generation())


def _moved(then: Then, end: Endpoint | None, port: Port | None) -> Endpoint | None:
    if end is None or port is None:
        return end
    host, ofport = then.place_of(port) or ("", None)
    return replace(end, host=host, ofport=ofport, tap="then", chain=DeviceChain())


def predict_then(
    request: TraceRequest, setting: Setting, source: Port | None, target: Port | None, explain: Explain
) -> tuple[Question, Trace, Trace | None]:
    """The question, the trace there, and the one back where there is one, as of `request.at`."""
    assert request.at is not None
    then = Then(request.at, setting.hosts)
    world = ThenWorld(then)
    team = owner_of(source or target) if source or target else request.team  # type: ignore[arg-type]
    try:
        question, _ = asked_question(request, setting, source, target)
        asked = _question_then(then, question, setting.hosts, team, (source, target))
        there = _told(then, asked, predict(asked, world, explain))
        back: Trace | None = None
        if source is not None and target is not None and KINDS[request.protocol].has_answer:
            answered, _ = question_of(request, setting, target, source, "return")
            returned = _question_then(then, answered, setting.hosts, team, (target, source))
            back = _told(then, returned, predict(returned, world, explain))
        return asked, there, back
    finally:
        world.close()
        then.close()


def _told(then: Then, question: Question, trace: Trace) -> Trace:
    findings = tuple(dict.fromkeys((*then.findings, *trace.findings)))
    if question.source.ofport is None and question.outside is None:
        gone = f"By the recorded flows {question.source.name} was plugged into no switch then."
        return replace(trace, verdict="unknown", reason=gone, suggestion="", findings=findings)
    return replace(trace, findings=findings)
