"""nft's JSON, written short: what `nft -j list ruleset` prints for rules of one chain."""

from __future__ import annotations

import json
from typing import Any

from sdn.linux.frame import Frame
from sdn.linux.judge import ChainVerdict, judge_chain
from sdn.linux.ruleset import Ruleset, parse_ruleset

WEB_MAC, DB_MAC = "52:54:00:00:00:01", "52:54:00:00:00:02"
SYN = {
    "tcp": "", "dl_src": WEB_MAC, "dl_dst": DB_MAC, "nw_src": "10.20.0.11", "nw_dst": "10.20.0.12", "nw_ttl": "64",
    "tp_src": "49152", "tp_dst": "22", "tcp_flags": "syn",
}  # fmt: skip
ECHO6 = {
    "icmp6": "", "dl_src": WEB_MAC, "dl_dst": DB_MAC, "ipv6_src": "fd00::b", "ipv6_dst": "fd00::c", "nw_ttl": "64",
    "icmp_type": "128", "icmp_code": "0",
}  # fmt: skip
ARP = {
    "arp": "", "dl_src": WEB_MAC, "dl_dst": "ff:ff:ff:ff:ff:ff", "arp_op": "1", "arp_spa": "10.20.0.11",
    "arp_tpa": "10.20.0.12", "arp_sha": WEB_MAC,
}  # fmt: skip
DROP, ACCEPT = {"drop": None}, {"accept": None}


def payload(protocol: str, name: str, right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": {"payload": {"protocol": protocol, "field": name}}, "right": right}}


def meta(key: str, right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": {"meta": {"key": key}}, "right": right}}


def ct(key: str, right: Any, op: str = "in") -> dict[str, Any]:
    return {"match": {"op": op, "left": {"ct": {"key": key}}, "right": right}}


def text_of(*rules: list[Any], family: str = "bridge", hook: str = "forward", policy: str = "accept", more: tuple[Any, ...] = ()) -> str:  # fmt: skip
    """The JSON of a table `t` with a base chain `c` of these rules; `more`: further objects."""
    place = {"family": family, "table": "t"}
    chain = {**place, "name": "c", "handle": 1, "type": "filter", "hook": hook, "prio": 0, "policy": policy}
    listed = [{"rule": {**place, "chain": "c", "handle": at, "expr": expr}} for at, expr in enumerate(rules, 2)]
    return json.dumps(
        {"nftables": [{"metainfo": {}}, {"table": {**place, "name": "t"}}, {"chain": chain}, *more, *listed]}
    )


def sub_chain(name: str, *rules: list[Any], family: str = "bridge") -> tuple[Any, ...]:
    """A chain that is jumped to, with its rules."""
    place = {"family": family, "table": "t"}
    listed = [{"rule": {**place, "chain": name, "handle": 100 + at, "expr": expr}} for at, expr in enumerate(rules)]
    return ({"chain": {**place, "name": name, "handle": 50}}, *listed)


def ruleset_of(*rules: list[Any], **asked: Any) -> Ruleset:
    return parse_ruleset(text_of(*rules, **asked))


def frame(fields: dict[str, str] | None = None, state: str = "new", is_reply: bool = False) -> Frame:
    """A frame from web's tap to the cable."""
    return Frame(fields or SYN, "vnet1", "qvb1", "qbr1", state, is_reply)


def judged(*rules: list[Any], fields: dict[str, str] | None = None, state: str = "new", **asked: Any) -> ChainVerdict:
    """The verdict of the chain of these rules on a frame."""
    ruleset = ruleset_of(*rules, **asked)
    base = next(chain for chain in ruleset.chains.values() if chain.hook)
    return judge_chain(ruleset, base, frame(fields, state))
