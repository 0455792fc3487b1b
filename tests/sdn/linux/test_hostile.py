"""Whatever a host or its report prints, nothing raises, and every frame gets a verdict."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sdn.bundle.linux import fdb_of_text, links_of_text
from sdn.linux.bridges import BridgeReading, parse_bridge, parse_bridge_ports, parse_fdb, parse_links
from sdn.linux.frame import Frame
from sdn.linux.passage import pass_bridge
from sdn.linux.ruleset import Ruleset, RulesetUnread, parse_ruleset
from tests.sdn.bundle.test_linux_bridge import FDB
from tests.sdn.bundle.test_linux_bridge import LINKS as TEXT
from tests.sdn.linux.rules import ACCEPT, ARP, DROP, ECHO6, SYN, ct, frame, meta, payload, sub_chain, text_of
from tests.sdn.linux.test_judge import OF_SYN

WORDS = st.sampled_from(
    ["match", "left", "right", "op", "==", "in", "meta", "payload", "ct", "set", "elem", "val", "range", "prefix", "addr", "len",
     "concat", "&", "vmap", "key", "data", "jump", "target", "sub", "accept", "drop", "counter", "packets", "@m", "iifname", "vnet*",
     "ether", "saddr", "tcp", "dport", "10.0.0.1", "fd00::1", "52:54:00:00:00:01", "state", "mangle", "xt", "type", "name"]
)  # fmt: skip
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
FRAMES = st.sampled_from([frame(fields, state) for fields in (SYN, ARP, ECHO6, {}) for state in ("", "new", "established")])  # fmt: skip
REAL = st.sampled_from([one for one, _ in OF_SYN])
LINKS = json.dumps(
    [
        {"ifname": "qbr1", "flags": ["UP"], "linkinfo": {"info_kind": "bridge", "info_data": {"ageing_time": 0}}},
        {"ifname": "vnet1", "master": "qbr1", "linkinfo": {"info_slave_kind": "bridge", "info_slave_data": {"state": "forwarding"}}},
        {"ifname": "qvb1", "master": "qbr1", "linkinfo": {"info_slave_kind": "bridge", "info_slave_data": {"state": "forwarding"}}},
    ]
)  # fmt: skip


@st.composite
def statements(draw: st.DrawFn) -> Any:
    """A statement of nft's, with anything in the place of one of its parts."""
    one = json.loads(json.dumps(draw(REAL)))
    at = one
    for _ in range(draw(st.integers(0, 4))):
        keys = list(at) if isinstance(at, dict) else list(range(len(at))) if isinstance(at, list) else []
        if not keys:
            break
        key = draw(st.sampled_from(keys))
        if draw(st.booleans()):
            at[key] = draw(JUNK)
            break
        at = at[key]
    return one


@given(st.lists(st.lists(statements() | JUNK | st.just(DROP) | st.just(ACCEPT), max_size=4), max_size=5), FRAMES)
def test_every_frame_gets_a_verdict_whatever_the_rules_are(rules: list[list[Any]], one: Frame) -> None:
    for family in ("bridge", "ip", "netdev"):
        text = text_of(*rules, family=family, more=sub_chain("sub", *rules[:2], family=family))
        reading = BridgeReading("qbr1", ruleset=parse_ruleset(text), sees_ip=True, sees_ip6=True)
        assert pass_bridge(reading, one).outcome in ("passed", "dropped", "undecided")


@given(JUNK | st.fixed_dictionaries({"nftables": st.lists(st.dictionaries(st.sampled_from(["chain", "rule", "set", "map"]), JUNK, max_size=1))}), st.text(max_size=80))  # fmt: skip
def test_a_ruleset_of_any_json_is_read_or_refused_in_words(value: Any, listing: str) -> None:
    try:
        assert isinstance(parse_ruleset(json.dumps(value), listing), Ruleset)
    except RulesetUnread as problem:
        assert str(problem)


@given(st.text(max_size=60) | JUNK.map(json.dumps), st.integers(0, len(LINKS)), st.integers(0, 40), FRAMES)
def test_what_ip_and_bridge_print_is_read_whatever_it_is(junk: str, at: int, size: int, one: Frame) -> None:
    for text in (junk, LINKS[:at] + junk + LINKS[at + size :]):
        links = parse_links(text)
        reading = BridgeReading("qbr1", parse_bridge(links, "qbr1"), parse_bridge_ports(links, "qbr1"), parse_fdb(text))
        pass_bridge(reading, one)
    texts = links_of_text(junk.replace(" ", "\n")) + links_of_text(TEXT[:at] + junk + TEXT[at + size :])
    parse_bridge_ports(texts, "qbrdb"), parse_bridge(texts, "qbrdb"), fdb_of_text(FDB[:at] + junk + FDB[at + size :])


@given(st.permutations([[meta("mark", 1), ACCEPT], [payload("tcp", "dport", 22), ACCEPT], [ct("state", "new"), ACCEPT]]), st.integers(0, 3))  # fmt: skip
def test_a_doubtful_rule_never_turns_what_is_sure_elsewhere(rules: list[list[Any]], at: int) -> None:
    """All rules accept, so the policy alone could drop: whatever the order, an SSH packet passes."""
    reading = BridgeReading("qbr1", ruleset=parse_ruleset(text_of(*rules[:at], *rules[at:], policy="drop")))
    assert pass_bridge(reading, frame()).outcome == "passed"
