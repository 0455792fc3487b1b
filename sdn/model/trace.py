"""The one model of a trace, for predicted, probed and observed alike (DESIGN: a trace).

`to_json` and `from_json` are inverse; the JSON is what is stored, sent to the page and exported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, Literal

from sdn.model.asked import Asked, asked_from_json

TraceKind = Literal["predicted", "probed", "observed"]
Direction = Literal["forward", "return"]
Verdict = Literal["delivered", "dropped", "flooded", "to_controller", "unknown"]
HopKind = Literal[
    "guest_nic", "backend", "tap", "linux_bridge", "veth", "ovs_port", "bridge", "patch", "conntrack", "tunnel_encap",
    "underlay_nic", "underlay", "tunnel_decap", "router", "external",
]  # fmt: skip
Layer = Literal["guest", "host", "overlay", "underlay"]
LAYER_OF_HOP: dict[HopKind, Layer] = {
    "guest_nic": "guest", "backend": "host", "tap": "host", "linux_bridge": "host", "veth": "host", "ovs_port": "host",
    "bridge": "host", "patch": "host", "conntrack": "host", "router": "host", "tunnel_encap": "overlay",
    "tunnel_decap": "overlay", "underlay_nic": "underlay", "underlay": "underlay", "external": "underlay",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Intent:
    """Why a flow exists, in words: `words` reads as a sentence, `url` leads to the row's page if there is one.

    `team` is the slug of the team whose row it is, "" for what is everybody's.
    """

    kind: str
    row_id: int
    words: str
    url: str = ""
    team: str = ""


@dataclass(frozen=True, slots=True)
class Counters:
    """Packets and bytes of a flow or port, as read at `at_s` (seconds since the epoch)."""

    packets: int
    bytes: int
    at_s: float


@dataclass(frozen=True, slots=True)
class Step:
    """One table look-up or action inside a hop. `table` is None for what is no look-up (a ct, an output)."""

    table: int | None
    table_name: str
    priority: int | None
    match: str
    actions: str
    cookie: int | None
    intent: Intent | None
    note: str
    changed: dict[str, tuple[str, str]] = field(default_factory=dict)  # field → (before, after)
    evidence: tuple[int, int] | None = None  # start and end offset in the hop's evidence text
    flow_key: str = ""  # "table=…, priority=…, match": joins the step with live counters


@dataclass(frozen=True, slots=True)
class Hop:
    """One device that the packet meets. Headers are field → value in ovs-ofctl's words."""

    kind: HopKind
    layer: Layer
    host: str
    object: str  # "web-1 eth0", "vnet3", "br-int", …
    detail: str  # one short line: "virtio-net", "port 7", "VNI 4097"
    steps: tuple[Step, ...] = ()
    header_before: dict[str, str] = field(default_factory=dict)
    header_after: dict[str, str] = field(default_factory=dict)
    header_stack: tuple[str, ...] = ()  # outermost first: ("eth", "ipv4", "udp", "vxlan 4097", "eth", "ipv4", "icmp")
    latency_us: float | None = None
    counters: Counters | None = None
    commands: tuple[str, ...] = ()  # the equivalent commands, as one would type them on the host
    evidence: str = ""  # raw text it was read from
    measured: bool = True  # False: inferred, nobody looked (drawn dashed)
    latency_error_us: float | None = None  # the measured time is latency_us ± this


@dataclass(frozen=True, slots=True)
class NearFlow:
    """A flow of the table that decided which would have let the packet on: `differs` is (field, wanted, had)."""

    step: Step
    differs: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Branch:
    """Where one copy of a packet ended that a switch copied, or dropped beside what went on."""

    host: str
    where: str
    verdict: Verdict
    reason: str
    is_main: bool  # the copy that `hops` follow


@dataclass(frozen=True, slots=True)
class Trace:
    """A packet's way through the network. `reason` is the sentence that the page opens with."""

    id: str
    kind: TraceKind
    direction: Direction
    packet: dict[str, str]
    hops: tuple[Hop, ...]
    verdict: Verdict
    reason: str
    started_at: str  # ISO 8601, UTC
    generation: int
    branches: tuple[Branch, ...] = ()
    cause: Step | None = None  # the look-up that decided a drop
    nearest: tuple[NearFlow, ...] = ()
    suggestion: str = ""  # what to change so that it arrives, one sentence
    findings: tuple[str, ...] = ()  # what else is worth knowing: sizes, states that could not be read
    question: Asked | None = None  # what it is the answer to


_LEAVES = frozenset((str, int, float, bool, type(None)))
_READING: dict[type, tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]] = {
    kind: (names := tuple(one.name for one in fields(kind)), attrgetter(*names))
    for kind in (Asked, Intent, Counters, Step, Hop, NearFlow, Branch, Trace)
}


def to_json(trace: Trace) -> dict[str, Any]:
    """The trace as JSON types only (tuples become lists)."""
    return _plain(trace)  # type: ignore[no-any-return]


def from_json(value: dict[str, Any]) -> Trace:
    """The trace that `to_json` made this of. Raises KeyError or TypeError for anything else."""
    read = {
        "hops": tuple(_hop(hop) for hop in value["hops"]),
        "branches": tuple(Branch(**branch) for branch in value.get("branches", ())),
        "cause": _step(value["cause"]) if value.get("cause") else None,
        "nearest": tuple(_near(near) for near in value.get("nearest", ())),
        "findings": tuple(value.get("findings", ())),
        "question": asked_from_json(value.get("question")),
    }
    return Trace(**{**value, **read})


def _plain(value: Any) -> Any:
    """JSON types only. `asdict` does the same and takes ten times as long: nearly all of a trace is leaves."""
    if isinstance(value, (list, tuple)):
        return [item if type(item) in _LEAVES else _plain(item) for item in value]
    if reading := _READING.get(type(value)):
        value = dict(zip(reading[0], reading[1](value), strict=True))
    if isinstance(value, dict):
        return {name: item if type(item) in _LEAVES else _plain(item) for name, item in value.items()}
    return value


def _hop(value: dict[str, Any]) -> Hop:
    known = {name.name for name in fields(Hop)}
    plain = {key: item for key, item in value.items() if key in known}
    plain["steps"] = tuple(_step(step) for step in value["steps"])
    plain["counters"] = Counters(**value["counters"]) if value["counters"] else None
    plain["header_stack"] = tuple(value["header_stack"])
    plain["commands"] = tuple(value["commands"])
    return Hop(**plain)


def _near(value: dict[str, Any]) -> NearFlow:
    return NearFlow(_step(value["step"]), tuple((name, wanted, had) for name, wanted, had in value["differs"]))


def _step(value: dict[str, Any]) -> Step:
    plain = dict(value)
    plain["intent"] = Intent(**value["intent"]) if value["intent"] else None
    plain["changed"] = {name: (before, after) for name, (before, after) in value["changed"].items()}
    plain["evidence"] = tuple(value["evidence"]) if value["evidence"] else None
    return Step(**plain)
