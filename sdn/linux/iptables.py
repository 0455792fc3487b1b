"""iptables' rules as `iptables-save` and `ip6tables-save` print them, in the shape of nft's, so that one judge is for both.

1. Each option that is known here becomes the expression that nft has for it (sdn.linux.match). One that is not becomes a match that nobody can
   tell: both ways are followed, never a guess.
2. A rule's number is its place in its chain, as `iptables -L --line-numbers` counts.
3. Bridged frames meet PREROUTING, FORWARD and POSTROUTING alone, with the kernel's priorities (netfilter_ipv4.h).
"""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sdn.linux.ruleset import TEXT_CHARS, Chain, ChainKey, Rule, Ruleset

LEGACY = "iptables-legacy"
HOOKS = {"PREROUTING": "prerouting", "FORWARD": "forward", "POSTROUTING": "postrouting"}
PRIORITIES = {"raw": -300, "mangle": -150, "filter": 0, "security": 50}
NAT_PRIORITIES = {"PREROUTING": -100, "POSTROUTING": 100}
TARGETS = {"ACCEPT": "accept", "DROP": "drop", "RETURN": "return", "REJECT": "reject"}
STATES = ("invalid", "established", "related", "new", "untracked")
_HEAD = re.compile(r"^:(\S+) (\S+)(?: \[\d+:\d+\])?$")
_RULE = re.compile(r"^(?:\[(\d{1,20}):(\d{1,20})\] )?(-A (\S+).*)$")
Expression = dict[str, Any]


def merged(*rulesets: Ruleset | None) -> Ruleset | None:
    """All of them as one; None where there is none."""
    known = [one for one in rulesets if one is not None]
    if not known:
        return None
    return Ruleset(
        dict(pair for one in known for pair in one.chains.items()),
        dict(pair for one in known for pair in one.rules.items()),
        dict(pair for one in known for pair in one.sets.items()),
    )


def parse_save(text: str, family: str, by: str = LEGACY) -> Ruleset:
    """The rules of `iptables-save` (family "ip") or `ip6tables-save` ("ip6"); `by` says in a table's name whose it is."""
    chains: dict[ChainKey, Chain] = {}
    rules: dict[ChainKey, list[Rule]] = {}
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
        elif table and (head := _HEAD.match(line)):
            key = (family, f"{table} ({by})", head[1])
            chains[key] = _chain(key, table, head[1], head[2])
        elif table and (found := _RULE.match(line)):
            key = (family, f"{table} ({by})", found[4])
            own = rules.setdefault(key, [])
            counted = (int(found[1]), int(found[2])) if found[1] else None
            names = frozenset(one[2] for one in chains if one[:2] == key[:2])
            own.append(_rule(key, len(own) + 1, (found[3], counted), names))
    return Ruleset(chains, {key: tuple(own) for key, own in rules.items()}, {})


def _chain(key: ChainKey, table: str, name: str, policy: str) -> Chain:
    hook = HOOKS.get(name, "") if policy != "-" else ""
    priority = NAT_PRIORITIES.get(name, 0) if table == "nat" else PRIORITIES.get(table, 0)
    return Chain(key, hook, "nat" if table == "nat" else "filter", priority, "drop" if policy == "DROP" else "accept")


def _rule(key: ChainKey, number: int, told: tuple[str, tuple[int, int] | None], chains: frozenset[str]) -> Rule:
    """`told`: its text, and what it counted; `chains`: the table's, which a target may be called as."""
    text, counted = told
    shown = text if len(text) <= TEXT_CHARS else f"{text[: TEXT_CHARS - 1]}…"
    try:
        words = shlex.split(text)[2:]
        statements = _Reader(words, key[0], chains).statements()
    except ValueError:  # a quote that does not end
        statements = [("?", text)]
    if counted is not None:
        statements.append(("counter", {"packets": counted[0], "bytes": counted[1]}))
    return Rule(key, number, tuple(_counter_first(statements)), shown)


def _counter_first(statements: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """What a rule counted is told before its verdict, which ends the look at it."""
    return sorted(statements, key=lambda one: one[0] != "counter")


@dataclass(slots=True)
class _Reader:
    """The words of one rule after `-A CHAIN`."""

    words: list[str]
    family: str
    chains: frozenset[str]
    at: int = 0
    found: list[tuple[str, Any]] = field(default_factory=list)

    def statements(self) -> list[tuple[str, Any]]:
        while self.at < len(self.words):
            is_not = self.words[self.at] == "!"
            self.at += is_not
            option = self._next()
            if option in ("-j", "-g"):
                self._end(option, self._next())
                break  # the rest is the target's own
            if option == "-m":
                self._next()  # what it loads is known by its options
                continue
            read = _OPTIONS.get(option)
            self.found.append(("match", read(self, is_not)) if read else self._doubt(option))
        return self.found

    def _next(self) -> str:
        word = self.words[self.at] if self.at < len(self.words) else ""
        self.at += 1
        return word

    def _doubt(self, option: str) -> tuple[str, Any]:
        """A match that nobody can tell, with whatever is its own."""
        while self.at < len(self.words) and not self.words[self.at].startswith("-") and self.words[self.at] != "!":
            self.at += 1
        return ("comment", None) if option == "--comment" else ("xt", {"type": "match", "name": option})

    def _end(self, option: str, target: str) -> None:
        if target in TARGETS and option == "-j":
            self.found.append((TARGETS[target], None))
        elif target in self.chains:
            self.found.append(("jump" if option == "-j" else "goto", {"target": target}))
        else:
            self.found.append(("xt", {"type": "target", "name": target}))

    def left(self, protocol: str, name: str) -> Expression:
        return {"payload": {"protocol": protocol, "field": name}}

    @property
    def ip(self) -> str:
        return "ip6" if self.family == "ip6" else "ip"


def _match(left: Expression, right: Any, is_not: bool, op: str = "==") -> Expression:
    return {"op": "!=" if is_not else op, "left": left, "right": right}


UNTELLABLE: Expression = {"op": "?", "left": {}, "right": None}


def _address(field_: str) -> Callable[[_Reader, bool], Expression]:
    def read(reader: _Reader, is_not: bool) -> Expression:
        try:
            network = ipaddress.ip_network(reader._next(), strict=False)
        except ValueError:
            return UNTELLABLE
        prefix = {"prefix": {"addr": str(network.network_address), "len": network.prefixlen}}
        return _match(reader.left(reader.ip, field_), prefix, is_not)

    return read


def _address_range(field_: str) -> Callable[[_Reader, bool], Expression]:
    def read(reader: _Reader, is_not: bool) -> Expression:
        low, _, high = reader._next().partition("-")
        return _match(reader.left(reader.ip, field_), {"range": [low, high or low]}, is_not)

    return read


def _device(key: str) -> Callable[[_Reader, bool], Expression]:
    def read(reader: _Reader, is_not: bool) -> Expression:
        name = reader._next()
        shown = f"{name[:-1]}*" if name.endswith("+") else name
        return _match({"meta": {"key": key}}, shown, is_not)

    return read


def _protocol(reader: _Reader, is_not: bool) -> Expression:
    word = reader._next()
    given: Any = int(word) if word.isascii() and word.isdecimal() and len(word) < 4 else word
    return _match({"meta": {"key": "l4proto"}}, given, is_not)


def _ports(field_: str) -> Callable[[_Reader, bool], Expression]:
    def read(reader: _Reader, is_not: bool) -> Expression:
        parts = [_port_range(one) for one in reader._next().split(",")]
        if any(part is None for part in parts):
            return UNTELLABLE
        return _match(reader.left("th", field_), parts[0] if len(parts) == 1 else {"set": parts}, is_not)

    return read


def _port_range(text: str) -> Any:
    low, colon, high = text.partition(":")
    ends = [low or "0", (high or "65535") if colon else low]
    if not all(end.isascii() and end.isdecimal() and len(end) < 6 for end in ends):
        return None
    return {"range": [int(ends[0]), int(ends[1])]} if colon else int(ends[0])


def _tcp_flags(reader: _Reader, is_not: bool) -> Expression:
    mask, wanted = (reader._next().lower() for _ in range(2))
    names = {"all": "fin,syn,rst,psh,ack,urg", "none": ""}
    parts = [[one for one in names.get(text, text).split(",") if one] for text in (mask, wanted)]
    left = {"&": [reader.left("tcp", "flags"), parts[0]]}
    return _match(left, parts[1] if parts[1] else 0, is_not)


def _icmp(protocol: str) -> Callable[[_Reader, bool], Expression]:
    def read(reader: _Reader, is_not: bool) -> Expression:
        kind, slash, _ = reader._next().partition("/")
        if slash or not (kind.isascii() and kind.isdecimal() and len(kind) < 4) or kind == "255":
            return UNTELLABLE  # with a code, which is a second look; 255 is iptables' "any"
        return _match(reader.left(protocol, "type"), int(kind), is_not)

    return read


def _state(reader: _Reader, is_not: bool) -> Expression:
    given = [one.lower() for one in reader._next().split(",")]
    if any(one not in STATES for one in given):
        return UNTELLABLE
    wanted = [one for one in STATES if (one in given) is not is_not]
    return {"op": "in", "left": {"ct": {"key": "state"}}, "right": wanted}


def _mac(reader: _Reader, is_not: bool) -> Expression:
    return _match(reader.left("ether", "saddr"), reader._next().lower(), is_not)


def _ttl(op: str) -> Callable[[_Reader, bool], Expression]:
    def read(reader: _Reader, is_not: bool) -> Expression:
        word = reader._next()
        if is_not or not (word.isascii() and word.isdecimal() and len(word) < 4):
            return UNTELLABLE
        return {
            "op": op,
            "left": reader.left(reader.ip, "ttl" if reader.ip == "ip" else "hoplimit"),
            "right": int(word),
        }

    return read


def _is_bridged(reader: _Reader, is_not: bool) -> Expression:
    return _match({"meta": {"key": "physdev_bridged"}}, 1, is_not)


_OPTIONS: dict[str, Callable[[_Reader, bool], Expression]] = {
    "-s": _address("saddr"), "-d": _address("daddr"), "-p": _protocol, "-i": _device("iifname"), "-o": _device("oifname"),
    "--sport": _ports("sport"), "--dport": _ports("dport"), "--sports": _ports("sport"), "--dports": _ports("dport"),
    "--src-range": _address_range("saddr"), "--dst-range": _address_range("daddr"), "--tcp-flags": _tcp_flags,
    "--icmp-type": _icmp("icmp"), "--icmpv6-type": _icmp("icmpv6"), "--ctstate": _state, "--state": _state,
    "--mac-source": _mac, "--ttl-eq": _ttl("=="), "--ttl-lt": _ttl("<"), "--ttl-gt": _ttl(">"),
    "--physdev-in": _device("physdev_in"), "--physdev-out": _device("physdev_out"), "--physdev-is-bridged": _is_bridged,
}  # fmt: skip
