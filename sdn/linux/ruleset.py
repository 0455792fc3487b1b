"""netfilter's rules as `nft -j list ruleset` tells them (libnftables-json(5)). Junk is left out, never an exception.

Beside the JSON, the text of `nft -a list ruleset` is read for two things: a rule as its writer knows it, found by its handle,
and the device of a netdev chain, which the JSON of nft 1.0.6 leaves out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ChainKey = tuple[str, str, str]  # family, table, chain
_TABLE = re.compile(r"^table (\S+) (\S+) \{")
_CHAIN = re.compile(r"^\tchain (\S+) \{")
_HANDLE = re.compile(r"^\t\t(.*\S)\s+# handle (\d{1,18})$")
_DEVICES = re.compile(r"^\t\ttype .* devices? (.*?) priority ")
_COUNT = re.compile(r"\b(counter) packets \d+ bytes \d+")  # told beside the rule: it is another number each time
_QUOTED = re.compile(r'"([^"]+)"')
TEXT_CHARS = 240


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its statements in order, (kind, value) each, and its text as nft prints it."""

    chain: ChainKey
    handle: int
    statements: tuple[tuple[str, Any], ...]
    text: str

    @property
    def counter(self) -> tuple[int, int] | None:
        """Packets and bytes that it counted so far; None where it counts nothing."""
        for kind, value in self.statements:
            if kind == "counter" and isinstance(value, dict):
                packets, size = value.get("packets"), value.get("bytes")
                if isinstance(packets, int) and isinstance(size, int):
                    return packets, size
        return None


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain. `hook` is "" for one that is only jumped to; `policy` is what becomes of what no rule decides."""

    key: ChainKey
    hook: str = ""
    type: str = ""
    priority: int = 0
    policy: str = "accept"
    devices: tuple[str, ...] = ()  # of an ingress or egress chain; none: not told

    @property
    def words(self) -> str:
        family, table, name = self.key
        return f"chain {name} of table {family} {table}"


@dataclass(frozen=True, slots=True)
class Ruleset:
    """Every chain with its rules, and the named sets and maps by (family, table, name)."""

    chains: Mapping[ChainKey, Chain] = field(default_factory=dict)
    rules: Mapping[ChainKey, tuple[Rule, ...]] = field(default_factory=dict)
    sets: Mapping[ChainKey, tuple[Any, ...]] = field(default_factory=dict)

    def base_chains(self, families: tuple[str, ...], hook: str) -> list[Chain]:
        """The chains of a hook, in the order in which a packet meets them."""
        found = [one for one in self.chains.values() if one.hook == hook and one.key[0] in families]
        return sorted(found, key=lambda one: one.priority)


class RulesetUnread(ValueError):
    """The text is no JSON of nft's."""


def parse_ruleset(text: str, listing: str = "") -> Ruleset:
    """The ruleset; `listing` is that of `nft -a list ruleset`, where there is one. Raises RulesetUnread."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise RulesetUnread(f"nft printed no JSON: {problem}") from problem
    objects = value.get("nftables") if isinstance(value, dict) else None
    if not isinstance(objects, list):
        raise RulesetUnread("nft's JSON has no list of objects")
    texts, devices = _listed(listing)
    chains: dict[ChainKey, Chain] = {}
    rules: dict[ChainKey, list[Rule]] = {}
    sets: dict[ChainKey, tuple[Any, ...]] = {}
    for one in objects:
        kind, told = next(iter(one.items())) if isinstance(one, dict) and one else ("", None)
        if not isinstance(told, dict):
            continue
        if kind == "chain":
            chain = _chain(told, devices)
            chains[chain.key] = chain
        elif kind == "rule":
            rule = _rule(told, texts)
            rules.setdefault(rule.chain, []).append(rule)
        elif kind in ("set", "map"):
            elements = told.get("elem", [])
            sets[_key(told, "name")] = tuple(elements) if isinstance(elements, list) else ()
    return Ruleset(chains, {key: tuple(of) for key, of in rules.items()}, sets)


def _key(told: Mapping[str, Any], name: str) -> ChainKey:
    return str(told.get("family", "")), str(told.get("table", "")), str(told.get(name, ""))


def _chain(told: Mapping[str, Any], devices: Mapping[ChainKey, tuple[str, ...]]) -> Chain:
    key, given, priority = _key(told, "name"), told.get("dev"), told.get("prio", 0)
    names = given if isinstance(given, list) else [given] if given else []
    return Chain(
        key, str(told.get("hook", "")), str(told.get("type", "")), priority if isinstance(priority, int) else 0,
        str(told.get("policy", "accept")), tuple(map(str, names)) or devices.get(key, ()),
    )  # fmt: skip


def _rule(told: Mapping[str, Any], texts: Mapping[tuple[ChainKey, int], str]) -> Rule:
    key, handle, listed = _key(told, "chain"), told.get("handle"), told.get("expr")
    number = handle if isinstance(handle, int) else 0
    expressions = listed if isinstance(listed, list) else []
    statements = tuple(_statement(one) for one in expressions)
    text = texts.get((key, number)) or json.dumps(expressions, ensure_ascii=False, default=str)
    return Rule(key, number, statements, text if len(text) <= TEXT_CHARS else f"{text[: TEXT_CHARS - 1]}…")


def _statement(one: object) -> tuple[str, Any]:
    if isinstance(one, dict) and len(one) == 1:
        kind, value = next(iter(one.items()))
        return str(kind), value
    return (one, None) if isinstance(one, str) else ("?", one)


def _listed(listing: str) -> tuple[dict[tuple[ChainKey, int], str], dict[ChainKey, tuple[str, ...]]]:
    """Rules' texts by chain and handle, and the devices of netdev chains."""
    texts: dict[tuple[ChainKey, int], str] = {}
    devices: dict[ChainKey, tuple[str, ...]] = {}
    family = table = chain = ""
    for line in listing.splitlines():
        if head := _TABLE.match(line):
            family, table, chain = head[1], head[2], ""
        elif head := _CHAIN.match(line):
            chain = head[1]
        elif line.startswith("\t}"):
            chain = ""
        elif chain and (rule := _HANDLE.match(line)):
            texts[(family, table, chain), int(rule[2])] = _COUNT.sub(r"\1", rule[1])
        elif chain and (named := _DEVICES.match(line)):
            devices[family, table, chain] = tuple(_QUOTED.findall(named[1]))
    return texts, devices
