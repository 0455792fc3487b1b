"""A frame's way through a Linux bridge, from one port to another, in the kernel's order (br_input.c, br_forward.c).

    ingress (netdev) → prerouting (bridge, and IP's where br_netfilter hands frames to it) → MAC table → forward (both) →
    postrouting (both) → egress (netdev)

Rules
1. What surely stops the frame decides, even past a rule that nobody can tell: it does not arrive either way.
2. A station of which nothing was read says nothing. That is told by who asks (`BridgeReading.problems`), never guessed.
3. IP's chains see a bridged frame only where `bridge-nf-call-iptables` (or the bridge's own flag) is on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sdn.linux.bridges import BridgeFacts, BridgePort, BridgeReading, FdbEntry
from sdn.linux.frame import Frame
from sdn.linux.judge import ChainVerdict, judge_chain
from sdn.linux.ruleset import Chain, Ruleset

Outcome = Literal["passed", "dropped", "undecided"]
FORWARDING = "forwarding"
STATE_WORDS = {
    "disabled": "its link is down or it is switched off",
    "blocking": "the spanning tree blocks it",
    "listening": "the spanning tree has not opened it yet",
    "learning": "the spanning tree has not opened it yet",
}


@dataclass(frozen=True, slots=True)
class Station:
    """One look on the way: where, what was looked for, what came of it, and what is worth knowing."""

    place: str  # "fdb", "bridge filter forward"
    looked: str
    outcome: Outcome
    done: str
    note: str = ""
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """How it ended. `words` says why where it did not surely pass, as the second half of a sentence."""

    outcome: Outcome
    stations: tuple[Station, ...]
    words: str = ""
    decided: Station | None = None


def pass_bridge(reading: BridgeReading, frame: Frame) -> Passage:
    """The frame's way. A bridge of which nothing was read lets it pass with no station."""
    doubt: tuple[Station, str] | None = None
    stations: list[Station] = []
    for station, words in _stations(reading, frame):
        stations.append(station)
        if station.outcome == "dropped":
            return Passage("dropped", tuple(stations), words, station)
        if station.outcome == "undecided" and doubt is None:
            doubt = station, words
    if doubt is not None:
        return Passage("undecided", tuple(stations), doubt[1], doubt[0])
    return Passage("passed", tuple(stations))


def _stations(reading: BridgeReading, frame: Frame) -> Iterator[tuple[Station, str]]:
    facts, ruleset = reading.facts, reading.ruleset
    if facts is not None:
        yield from _entry(reading, facts, frame)
    if ruleset is not None:
        yield from _hook(ruleset, ("netdev", "inet"), "ingress", frame, frame.came_in)
        yield from _both(reading, ruleset, "prerouting", frame)
    if facts is not None:
        yield _look_up(reading, facts, frame)
    if ruleset is not None:
        yield from _both(reading, ruleset, "forward", frame)
        yield from _both(reading, ruleset, "postrouting", frame)
        yield from _hook(ruleset, ("netdev",), "egress", frame, frame.goes_out)


def _entry(reading: BridgeReading, facts: BridgeFacts, frame: Frame) -> Iterator[tuple[Station, str]]:
    """The bridge and both ports, where something is wrong with them."""
    if not facts.is_up:
        yield Station("link", facts.name, "dropped", "drop", "down"), f"the bridge {facts.name} is down"
    for name in (frame.came_in, frame.goes_out):
        port = reading.ports.get(name)
        if port is None:
            words = f"{name} is no port of {facts.name} any more"
            yield Station("port", name, "dropped", "drop", "not in the bridge"), words
        elif port.state not in (FORWARDING, ""):
            why = STATE_WORDS.get(port.state, port.state)
            yield Station("port", name, "dropped", "drop", port.state), f"port {name} does not forward: {why}"
    if facts.vlan_filtering:
        words = f"{facts.name} filters VLANs, and which of them its ports are in is not read"
        yield Station("vlan", "VLAN filtering is on", "undecided", "not told"), words
    came = reading.ports.get(frame.came_in)
    if came is not None and came.locked and not _known_at(reading, frame, came):
        words = f"port {came.name} is locked, and no entry of the MAC table allows {frame.fields.get('dl_src')} there"
        yield Station("port", came.name, "dropped", "drop", "locked"), words


def _known_at(reading: BridgeReading, frame: Frame, port: BridgePort) -> bool:
    source = frame.fields.get("dl_src", "").lower()
    return any(entry.mac == source and entry.port == port.name for entry in reading.fdb)


def _look_up(reading: BridgeReading, facts: BridgeFacts, frame: Frame) -> tuple[Station, str]:
    """The MAC table: by which port the frame leaves."""
    mac = frame.fields.get("dl_dst", "").lower()
    looked = f"dl_dst={mac}"
    if frame.is_group:
        return _flood(reading, frame, looked, "a group's frame goes to every other port")
    entry = next((one for one in reading.fdb if one.mac == mac and not (one.vid and not facts.vlan_filtering)), None)
    if entry is None:
        why = "no entry is kept (ageing 0)" if facts.ageing_s == 0 else f"no entry (what is learned is kept {facts.ageing_s:.0f} s)"  # fmt: skip
        return _flood(reading, frame, looked, f"{why}: it goes to every other port")
    return _entry_says(reading, facts, frame, entry, looked)


def _flood(reading: BridgeReading, frame: Frame, looked: str, note: str) -> tuple[Station, str]:
    out = reading.ports.get(frame.goes_out)
    is_all = frame.fields.get("dl_dst", "").lower() == "ff:ff:ff:ff:ff:ff"
    if out is not None and not (out.floods if not frame.is_group else out.floods_broadcast if is_all else out.floods_multicast):  # fmt: skip
        kind = "broadcasts" if is_all else "multicasts" if frame.is_group else "frames for MACs that it does not know"
        words = f"port {out.name} is set to take no {kind} (flooding is off)"
        return Station("fdb", looked, "dropped", "drop", f"{note}; {out.name} floods none"), words
    if _is_isolated(reading, frame):
        return _isolated(frame, looked)
    others = [name for name in reading.ports if name not in (frame.came_in, frame.goes_out)]
    more = f", and to {', '.join(_led(reading, name) for name in others[:4])}" if others else ""
    return Station("fdb", looked, "passed", f"to {frame.goes_out}{more}", note), ""


def _led(reading: BridgeReading, port: str) -> str:
    """The port, and where it leads where that is told."""
    into = reading.into.get(port, "")
    return f"{port} (into {into})" if into else port


def _entry_says(reading: BridgeReading, facts: BridgeFacts, frame: Frame, entry: FdbEntry, looked: str) -> tuple[Station, str]:  # fmt: skip
    a, mac = ("a static" if entry.kind == "static" else f"a {entry.kind}"), entry.mac
    came = reading.ports.get(frame.came_in)
    if entry.kind == "local":
        words = f"{a} entry of the MAC table of {facts.name} says that {mac} is the host's own: the host takes the frame itself"
        return Station("fdb", looked, "dropped", "to the host itself", f"{a} entry"), words
    if entry.port == frame.came_in and not (came is not None and came.hairpin):
        words = f"{a} entry of the MAC table of {facts.name} has {mac} at {entry.port}, where the frame comes from: a bridge sends none back"
        return Station("fdb", looked, "dropped", "drop", f"{a} entry: at {entry.port}"), words
    if entry.port != frame.goes_out:
        words = f"{a} entry of the MAC table of {facts.name} has {mac} at {_led(reading, entry.port)}: it is sent there, and not to {frame.goes_out}"
        return Station("fdb", looked, "dropped", f"to {entry.port}", f"{a} entry"), words
    if _is_isolated(reading, frame):
        return _isolated(frame, looked)
    return Station("fdb", looked, "passed", f"to {entry.port}", f"{a} entry"), ""


def _is_isolated(reading: BridgeReading, frame: Frame) -> bool:
    ends = [reading.ports.get(name) for name in (frame.came_in, frame.goes_out)]
    return all(end is not None and end.isolated for end in ends)


def _isolated(frame: Frame, looked: str) -> tuple[Station, str]:
    words = f"ports {frame.came_in} and {frame.goes_out} are both isolated: a bridge passes nothing between such"
    return Station("fdb", looked, "dropped", "drop", "both ports are isolated"), words


def _both(reading: BridgeReading, ruleset: Ruleset, hook: str, frame: Frame) -> Iterator[tuple[Station, str]]:
    """The bridge family's chains of a hook, and IP's where they see bridged frames."""
    yield from _hook(ruleset, ("bridge",), hook, frame)
    facts = reading.facts
    sees_ip = reading.sees_ip or (facts is not None and facts.calls_iptables)
    sees_ip6 = reading.sees_ip6 or (facts is not None and facts.calls_ip6tables)
    if frame.ether_type == 0x0800 and sees_ip:
        yield from _hook(ruleset, ("ip", "inet"), hook, frame)
    elif frame.ether_type == 0x86DD and sees_ip6:
        yield from _hook(ruleset, ("ip6", "inet"), hook, frame)


def _hook(ruleset: Ruleset, families: tuple[str, ...], hook: str, frame: Frame, device: str = "") -> Iterator[tuple[Station, str]]:  # fmt: skip
    for chain in ruleset.base_chains(families, hook):
        if device and chain.devices and device not in chain.devices:
            continue
        found = judge_chain(ruleset, chain, frame.at_hook(hook))
        is_told = not device or bool(chain.devices)
        if not is_told and found.verdict == "accept":
            continue  # of which device it is was not told, and it matters not
        yield _judged(chain, found, is_told)


def _count_words(packets: int, size: int) -> str:
    return f"counted {packets} packet{'s' * (packets != 1)}, {size} B so far" if packets else "counted none so far"


def _judged(chain: Chain, found: ChainVerdict, is_told: bool) -> tuple[Station, str]:
    family, table, _ = chain.key
    place = f"{family} {table} {chain.hook}"
    rule, verdict = found.rule, found.verdict if is_told else "undecided"
    counted = rule.counter if rule else None
    count = "" if counted is None else _count_words(*counted)
    looked = rule.text if rule else f"no rule decides: policy {chain.policy}"
    if rule is not None and rule.chain[2] != chain.key[2]:
        looked = f"chain {rule.chain[2]}: {looked}"
    if verdict == "accept":
        return Station(place, looked, "passed", "accept", count, chain.priority), ""
    if verdict == "undecided":
        if rule is None:
            words = f"whether {chain.words} lets it past can't be told: it jumps to what is not in the listing"
        elif not is_told:
            words = f"of which device {chain.words} is can't be told; its rule would stop the frame: {rule.text}"
        else:
            words = f"whether {chain.words} lets it past can't be told: nobody can evaluate its rule here: {rule.text}"
        return Station(place, looked, "undecided", "can't be told", count, chain.priority), words
    said = "rejects it" if verdict == "reject" else "drops it"
    counts = f" (it has {count})" if count else ""
    if rule is None:
        words = f"the policy of {chain.words} drops it"
    else:
        words = f"rule {rule.handle} of chain {rule.chain[2]}, table {family} {table}, {said}: {rule.text}{counts}"
    return Station(place, looked, "dropped", verdict, count, chain.priority), words
