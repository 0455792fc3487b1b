"""A world of shadows: the switches that an intent should make, each host's br-int a bridge of one shadow, for traces.

`load` takes an intent and what each host has plugged, compiles, and changes the shadow by the difference only, so a world
that is kept warm follows the generations for the price of what changed. Several worlds (now, and what if) share a shadow,
each with a prefix of its own for its bridges. A world is no more one thread's than its shadow is: the caller holds a lock.

Its switches have no connections and no learned MACs: every packet is the first of its connection here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sdn.compiler import compile_host
from sdn.linux.bridges import BridgeReading
from sdn.linux.namespaces import FarEnd
from sdn.model.flow import Flow, FlowKey, format_flow, format_match
from sdn.model.intent import HostView, IntentSnapshot
from sdn.reach.touched import SwitchState
from sdn.shadow.shadow import Shadow, ShadowBridge, ShadowError, ShadowPort
from sdn.trace.question import HostUnreachable, PortFacts
from sdn.transport.ofctl import OfctlError, dump_table
from sdn.transport.unixctl import UnixctlClient, UnixctlError

BRIDGE, TUNNEL_PORT, GENEVE_PORT, EXTERNAL_PORT = "br-int", "vxlan0", "geneve0", "the cable to br-ex"
DUMP_DEADLINE_S = 5.0
PORTS_AT_ONCE = 200  # of one ovs-vsctl's words


@dataclass(frozen=True, slots=True)
class Switch:
    """One host's switch as it is loaded: its bridge in the shadow, its ofports, its flows."""

    bridge: str
    ofports: frozenset[int]
    tunnel_ofport: int | None
    external_ofport: int | None
    geneve_ofport: int | None
    flows: Mapping[FlowKey, Flow]


def without_limits(snapshot: IntentSnapshot) -> IntentSnapshot:
    """The intent without rate limits and mirrors: whether a packet gets through is no matter of how many there are, nor
    of who gets copies, and a flow that names a meter is refused by a switch without it."""
    snapshot = replace(snapshot, mirrors=()) if snapshot.mirrors else snapshot
    if not any(port.is_limited for port in snapshot.ports):
        return snapshot
    ports = tuple(replace(port, sends=None, receives=None) if port.is_limited else port for port in snapshot.ports)
    return replace(snapshot, ports=ports)


class ShadowWorld:
    """A TraceWorld over the switches of one intent. Raises ShadowError where the shadow fails, HostUnreachable in a trace."""

    def __init__(self, shadow: Shadow, prefix: str = "a") -> None:
        self._shadow, self._prefix = shadow, prefix
        self._switches: dict[str, Switch] = {}
        self._loaded_of: tuple[IntentSnapshot, tuple[HostView, ...], Mapping[str, tuple[Flow, ...]]] | None = None
        self._client: UnixctlClient | None = None

    def load(
        self, snapshot: IntentSnapshot, views: Sequence[HostView], given: Mapping[str, tuple[Flow, ...]] | None = None
    ) -> None:
        """Make the switches what the intent says, those of the hosts that are `given` what that says instead. Where that fails
        nothing counts as loaded, and the next load is whole."""
        instead = dict(given or {})
        if self._loaded_of == (snapshot, tuple(views), instead):
            return
        self._loaded_of = None
        unlimited = without_limits(snapshot)
        wanted = {str(view.host): view for view in views}
        try:
            bridges = {
                str(host.name): f"{self._prefix}{host.id}" for host in snapshot.hosts if str(host.name) in wanted
            }
            # a host that went and came again by its name has another id, thus another bridge
            self._remove([name for name, was in self._switches.items() if bridges.get(name) != was.bridge])
            for name, view in wanted.items():
                flows = {flow.key: flow for flow in instead.get(name) or compile_host(unlimited, view)}
                self._switches[name] = self._loaded(self._switches.get(name), bridges[name], view, flows)
        except ShadowError:
            self._switches.clear()
            raise
        self._loaded_of = snapshot, tuple(views), instead

    @property
    def compiled(self) -> dict[str, tuple[Flow, ...]]:
        """Host → the flows of its br-int, in their order."""
        return {name: tuple(sorted(switch.flows.values())) for name, switch in self._switches.items()}

    @property
    def states(self) -> dict[str, SwitchState]:
        """Host → its switch as it is loaded now: what is asked later may be asked by what differs from it."""
        return {name: _state(switch) for name, switch in self._switches.items()}

    def ofproto_trace(self, host: str, bridge: str, flow: str, ct_next: tuple[str, ...]) -> str:
        """The text of `ofproto/trace`, with the host's own name of its bridge."""
        here = self._switch(host).bridge
        states = [word for state in ct_next for word in ("--ct-next", state)]
        try:
            if self._client is None:
                self._client = UnixctlClient(self._shadow.unixctl)
            text = self._client.run("ofproto/trace", here, flow, *states)
        except (UnixctlError, ShadowError) as problem:
            raise HostUnreachable(f"the shadow of {host} could not be asked: {problem}") from problem
        return text.replace(f'bridge("{here}")', f'bridge("{BRIDGE}")')

    def conntrack(self, host: str, zone: int) -> str:
        """No connection."""
        return ""

    def ports(self, host: str) -> tuple[PortFacts, ...]:
        """The loaded ports, the tunnel's among them by the name it has on hosts."""
        switch = self._switch(host)
        plugged = [PortFacts(BRIDGE, number, f"port {number}", "dummy", "") for number in sorted(switch.ofports)]
        if switch.tunnel_ofport is not None:
            plugged.append(PortFacts(BRIDGE, switch.tunnel_ofport, TUNNEL_PORT, "vxlan", ""))
        if switch.geneve_ofport is not None:
            plugged.append(PortFacts(BRIDGE, switch.geneve_ofport, GENEVE_PORT, "geneve", ""))
        if switch.external_ofport is not None:
            plugged.append(PortFacts(BRIDGE, switch.external_ofport, EXTERNAL_PORT, "patch", ""))
        return tuple(plugged)

    def wait_for_neighbour(self, host: str, attempt: int) -> bool:
        """A shadow has no underlay."""
        return False

    def linux_bridge(self, host: str, bridge: str) -> BridgeReading:
        """A shadow has switches only."""
        return BridgeReading(bridge, problems=("it is a copy of the switches alone",))

    def behind(self, host: str, port: PortFacts) -> FarEnd | None:
        """A shadow has switches only."""
        return None

    def flows(self, host: str, bridge: str, table: int) -> str:
        """One table's flows as the shadow has them."""
        try:
            return dump_table(self._shadow.rundir / f"{self._switch(host).bridge}.mgmt", table, DUMP_DEADLINE_S)
        except OfctlError as problem:
            raise HostUnreachable(f"the flows of {host}'s shadow could not be read: {problem}") from problem

    def close(self) -> None:
        """Close the control socket; the shadow is its owner's."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _switch(self, host: str) -> Switch:
        if host not in self._switches:
            raise HostUnreachable(f"{host} is no host of this intent")
        return self._switches[host]

    def _remove(self, names: list[str]) -> None:
        words = [word for name in names for word in ("--", "del-br", self._switches.pop(name).bridge)]
        if words:
            self._shadow.vsctl(*words[1:])

    def _loaded(self, before: Switch | None, bridge: str, view: HostView, flows: dict[FlowKey, Flow]) -> Switch:
        after = Switch(
            bridge,
            frozenset(number for _, number in view.ofports),
            view.tunnel_ofport,
            view.external_ofport,
            view.geneve_ofport,
            flows,
        )
        if before is None:
            ports = tuple(ShadowPort(_port_name(bridge, number), number) for number in sorted(_numbers(after)))
            self._shadow.load([ShadowBridge(bridge, ports, "\n".join(map(format_flow, flows.values())))])
            return after
        self._change_ports(bridge, _numbers(before), _numbers(after))
        if lines := list(flow_mods(before.flows, flows)):
            self._shadow.ofctl("add-flows", bridge, "\n".join(lines))
        return after

    def _change_ports(self, bridge: str, before: frozenset[int], after: frozenset[int]) -> None:
        changes: list[tuple[str, ...]] = [
            ("--", "del-port", bridge, _port_name(bridge, number)) for number in sorted(before - after)
        ]
        for number in sorted(after - before):
            name = _port_name(bridge, number)
            new = ("--", "add-port", bridge, name, "--", "set", "interface", name)
            changes.append((*new, "type=dummy", f"ofport_request={number}"))
        for start in range(0, len(changes), PORTS_AT_ONCE):
            words = [word for change in changes[start : start + PORTS_AT_ONCE] for word in change]
            self._shadow.vsctl(*words[1:])


def flow_mods(before: Mapping[FlowKey, Flow], after: Mapping[FlowKey, Flow]) -> Iterable[str]:
    """The lines that `ovs-ofctl add-flows` makes `after` of `before` by."""
    for key in before.keys() - after.keys():
        match = format_match(key.match)
        yield f"delete_strict table={key.table_id},priority={key.priority}{',' + match if match else ''}"
    for key, flow in after.items():
        if before.get(key) != flow:
            yield f"add {format_flow(flow)}"


def _state(switch: Switch) -> SwitchState:
    own = (
        (TUNNEL_PORT, switch.tunnel_ofport),
        (GENEVE_PORT, switch.geneve_ofport),
        (EXTERNAL_PORT, switch.external_ofport),
    )
    return SwitchState(
        switch.flows, switch.ofports, frozenset((name, number) for name, number in own if number is not None)
    )


def _numbers(switch: Switch) -> frozenset[int]:
    own = (switch.tunnel_ofport, switch.external_ofport, switch.geneve_ofport)
    return switch.ofports | {number for number in own if number is not None}


def _port_name(bridge: str, ofport: int) -> str:
    return f"{bridge}p{ofport}"  # at most 15 characters: a prefix of two and 99999 hosts fit
