"""netfilter's verdict on a frame: every end that the rules may lead to, never a guess.

Rules
1. A rule that surely does not match is passed over, one that surely does decides. Of one that nobody can tell (a statement
   that is not known here, a rate, a mark) both ways are followed.
2. So a chain has a set of ends: where all of them are the same, the verdict holds whatever the doubtful rules say. Else it
   is undecided, and the first doubtful rule is named.
3. A drop ends the packet. An accept ends its own base chain only: the next one of the hook, by priority, sees it too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sdn.linux.frame import Frame
from sdn.linux.match import any_of, is_in, is_match, keys_of
from sdn.linux.ruleset import Chain, ChainKey, Rule, Ruleset

End = Literal["accept", "drop", "reject", "return", "on", "unknown"]
Ends = dict[End, "Rule | None"]  # each end, and the rule that it is by (None: no rule's)
DEEPEST = 16  # jumps in jumps: the kernel's own limit (NFT_JUMP_STACK_SIZE)
PASSING = frozenset(("counter", "log", "set", "map", "last", "ct helper", "ct timeout", "flow", "dup", "comment", "continue"))  # fmt: skip
RATES = frozenset(("limit", "quota", "ct count", "meter"))  # what they let on depends on what came before
PASSING_TARGETS = frozenset(("LOG", "NFLOG", "MARK", "CONNMARK", "CHECKSUM", "TCPMSS", "DSCP", "TOS", "TTL", "HL", "CLASSIFY", "TRACE", "CT", "AUDIT", "SECMARK", "CONNSECMARK", "mark"))  # fmt: skip
Outcome = Literal["accept", "drop", "reject", "undecided"]
_OUTCOMES: dict[End, Outcome] = {"accept": "accept", "drop": "drop", "reject": "reject"}
KNOWN_ENDS: dict[str, End] = {"accept": "accept", "drop": "drop", "reject": "reject", "return": "return"}


@dataclass(frozen=True, slots=True)
class ChainVerdict:
    """What a base chain does with the frame. `rule` decided it (None: the policy), or is the one that nobody can tell."""

    chain: Chain
    verdict: Outcome
    rule: Rule | None


def judge_chain(ruleset: Ruleset, chain: Chain, frame: Frame) -> ChainVerdict:
    """The verdict of one base chain."""
    judge = _Judge(ruleset, frame)
    ends = dict(judge.ends_of(chain.key, 0))
    if "return" in ends:
        del ends["return"]
        ends.setdefault("drop" if chain.policy == "drop" else "accept", None)
    outcomes = {_OUTCOMES.get(end, "undecided"): rule for end, rule in reversed(ends.items())}
    if outcomes.keys() == {"drop", "reject"}:  # either way it does not get past
        del outcomes["drop"]
    if len(outcomes) > 1 or "undecided" in outcomes:
        return ChainVerdict(chain, "undecided", judge.doubt)
    verdict, rule = next(iter(outcomes.items()))
    return ChainVerdict(chain, verdict, rule)


@dataclass(slots=True)
class _Judge:
    ruleset: Ruleset
    frame: Frame
    doubt: Rule | None = None  # the first rule that nobody can tell, and that may decide
    _known: dict[ChainKey, Ends] = field(default_factory=dict)
    _open: set[ChainKey] = field(default_factory=set)

    def ends_of(self, key: ChainKey, depth: int) -> Ends:
        """The ends of a chain; "return" where it decides nothing."""
        if key in self._known:
            return self._known[key]
        if depth > DEEPEST or key in self._open or key not in self.ruleset.chains:
            return {"unknown": None}
        self._open.add(key)
        found: Ends = {}
        goes_on = True
        for rule in self.ruleset.rules.get(key, ()):
            sure, ends = self._effect(rule, depth)
            if sure is False or set(ends) == {"on"}:
                continue
            if (sure is None or "unknown" in ends) and self.doubt is None:
                self.doubt = rule
            for end, by in ends.items():
                if end != "on":
                    found.setdefault(end, by)
            if sure and "on" not in ends:
                goes_on = False
                break
        if goes_on:
            found.setdefault("return", None)
        self._open.discard(key)
        self._known[key] = found
        return found

    def _effect(self, rule: Rule, depth: int) -> tuple[bool | None, Ends]:
        """Does the rule match, and to which ends does it lead then?"""
        sure: bool | None = True
        for kind, value in rule.statements:
            if kind == "match":
                found = is_match(value, self.frame, rule.chain, self.ruleset)
                if found is False:
                    return False, {}
                sure = sure and found
            elif kind in RATES:
                sure = None
            elif (verdict := KNOWN_ENDS.get(kind)) is not None:
                return sure, {verdict: rule}
            elif (act := _VERDICTS.get(kind)) is not None:
                return act(self, rule, value, sure, depth)
            elif _is_xt(value, kind, "target", "REJECT"):
                return sure, {"reject": rule}
            elif _is_xt(value, kind, "match") or (kind in ("set", "map") and _has_rate(value)):
                sure = sure and _PASSING_MATCHES.get(value.get("name"))
            elif not _passes(kind, value):
                return sure, {"unknown": rule}
        return sure, {"on": None}

    def _jump(self, rule: Rule, value: object, sure: bool | None, depth: int) -> tuple[bool | None, Ends]:
        ends = self._target(rule, value, depth)
        if "return" in ends:
            ends["on"] = ends.pop("return")
        return sure, ends

    def _goto(self, rule: Rule, value: object, sure: bool | None, depth: int) -> tuple[bool | None, Ends]:
        return sure, self._target(rule, value, depth)

    def _target(self, rule: Rule, value: object, depth: int) -> Ends:
        name = value.get("target") if isinstance(value, dict) else None
        return dict(self.ends_of((rule.chain[0], rule.chain[1], str(name)), depth + 1))

    def _map(self, rule: Rule, value: object, sure: bool | None, depth: int) -> tuple[bool | None, Ends]:
        """A verdict map: the first element that the key is in."""
        keys = keys_of(value.get("key"), self.frame, rule.chain) if isinstance(value, dict) else None
        pairs = self._pairs(value.get("data"), rule.chain) if isinstance(value, dict) else None
        if keys is not None and any(key.is_there is False for key in keys):
            return False, {}
        if keys is None or pairs is None or len(keys) != 1 or keys[0].value is None:
            return sure, {"unknown": rule}
        kind, at, doubtful = keys[0].kind, keys[0].value, keys[0].is_there is None
        hits = [(is_in(kind, at, one, rule.chain, self.ruleset), verdict) for one, verdict in pairs]
        if any_of(hit for hit, _ in hits) is None or doubtful:
            return sure, {"unknown": rule}
        verdict = next((verdict for hit, verdict in hits if hit), None)
        if not isinstance(verdict, dict) or len(verdict) != 1:
            return sure, {"on": None} if verdict is None else {"unknown": rule}
        word, told = next(iter(verdict.items()))
        if word in KNOWN_ENDS:
            return sure, {KNOWN_ENDS[word]: rule}
        act = _VERDICTS.get(word)
        if act is None or word == "vmap":
            return sure, {"on": None} if word == "continue" else {"unknown": rule}
        return act(self, rule, told, sure, depth)

    def _pairs(self, data: object, chain: ChainKey) -> list[tuple[Any, Any]] | None:
        members: object = None
        if isinstance(data, str) and data.startswith("@"):
            members = self.ruleset.sets.get((chain[0], chain[1], data[1:]))
        elif isinstance(data, dict):
            members = data.get("set")
        if not isinstance(members, (list, tuple)):
            return None
        pairs = [(one[0], one[1]) for one in members if isinstance(one, list) and len(one) == 2]
        return pairs if len(pairs) == len(members) else None


_VERDICTS: Mapping[str, Callable[[_Judge, Rule, Any, bool | None, int], tuple[bool | None, Ends]]] = {
    "jump": _Judge._jump,
    "goto": _Judge._goto,
    "vmap": _Judge._map,
}


_PASSING_MATCHES: dict[str | None, bool] = {"comment": True}


def _is_xt(value: Any, kind: str, type_: str, name: str = "") -> bool:
    """Is it a statement of iptables' that nft shows by its name alone?"""
    is_one = kind == "xt" and isinstance(value, dict) and value.get("type") == type_
    return is_one and name in ("", value.get("name"))


def _has_rate(value: Any) -> bool:
    """Does the element that it adds to a set hold a rate?"""
    return isinstance(value, dict) and bool(value.get("stmt"))


def _passes(kind: str, value: object) -> bool:
    """Does the statement let the frame on to the next one, unchanged in what rules look at here?"""
    if kind == "mangle" and isinstance(value, dict):
        key = value.get("key")
        is_zone = isinstance(key, dict) and key.get("ct") == {"key": "zone"}
        return (
            isinstance(key, dict) and not is_zone and bool(key.keys() & {"meta", "ct"})
        )  # what looks at a mark is doubtful anyway
    if kind == "xt" and isinstance(value, dict):
        return value.get("type") == "target" and value.get("name") in PASSING_TARGETS
    return kind in PASSING
