"""A trace while it is made: what holds for all of it, and the legs that it is put together from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sdn.model.trace import Branch, Hop, Step, Verdict
from sdn.trace.hops import BridgeDraft
from sdn.trace.near import Near
from sdn.trace.question import Endpoint, Question, TraceHost, TraceWorld
from sdn.trace.walked import Seen

AnyHop = Hop | BridgeDraft
Enter = Callable[["Journey", TraceHost, dict[str, str], dict[str, str]], "Leg"]  # host, how it comes in, the packet


@dataclass(slots=True)
class Leg:
    """One copy's way from here on, and how it ended."""

    verdict: Verdict
    reason: str
    hops: list[AnyHop] = field(default_factory=list)
    reached: Endpoint | None = None
    branches: list[Branch] = field(default_factory=list)
    cause: tuple[Seen, TraceHost] | Step | None = None  # the look-up that decided, or another device's own
    nearest: tuple[Near, ...] = ()
    suggestion: str = ""
    where: str = ""
    host: str = ""


@dataclass(slots=True)
class Journey:
    """What holds for the whole trace: the question, how it is answered, and what was noticed on the way."""

    question: Question
    world: TraceWorld
    enter: Enter
    size: int = 0  # of the IP packet, as it is on the wire
    visited: set[tuple[str, str]] = field(default_factory=set)
    findings: list[str] = field(default_factory=list)
    tunnels: dict[str, dict[int, str]] = field(default_factory=dict)  # host → kind by ofport

    def find(self, words_: str) -> None:
        if words_ and words_ not in self.findings:
            self.findings.append(words_)


def with_hops(before: Sequence[AnyHop], leg: Leg) -> Leg:
    leg.hops = [*before, *leg.hops]
    return leg
