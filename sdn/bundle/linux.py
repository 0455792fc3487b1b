"""The Linux bridges and netfilter of a bundle's host, as far as its files tell.

`manage.py bundle` writes JSON, which is judged as on a live host; sos writes text. Links and the MAC table are read of either. Rules of
iptables-save are judged, except where they are nft's own and its JSON has them too. nft's text is shown as evidence, and that it is
not evaluated is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sdn.bundle.files import BundleFile, Kind
from sdn.linux.bridges import BridgeReading, FdbEntry, parse_bridge, parse_bridge_ports, parse_fdb, parse_links
from sdn.linux.iptables import LEGACY, merged, parse_save
from sdn.linux.ruleset import Ruleset, RulesetUnread, parse_ruleset

_HEAD = re.compile(r"^\d{1,9}: ([^:@\s]+)(?:@([^:\s]+))?: <([^>]*)>(.*)$")
_MASTER = re.compile(r"\bmaster (\S+)")
_PAIR = re.compile(r"\b(state|hairpin|flood|mcast_flood|bcast_flood|isolated|locked) (\w+)")
_BRIDGE_NUMBER = re.compile(r"\b(ageing_time|stp_state|vlan_filtering|nf_call_iptables|nf_call_ip6tables) (\d{1,9})")
_FDB = re.compile(r"^\s*([0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}) dev (\S+)(.*)$")
_SWITCH = re.compile(r"^net\.bridge\.bridge-nf-call-(ip6?)tables\s*=\s*1\s*$", re.M)
_VLAN = re.compile(r"\bvlan (\d{1,5})")
EVIDENCE_CHARS = 10_000
BY_NFT = "(nf_tables)"  # in the first line of what iptables-save prints


@dataclass(frozen=True, slots=True)
class BundleLinux:
    """What the host's kernel had. `texts` are netfilter's rules where they are no JSON."""

    links: tuple[dict[str, Any], ...] = ()
    fdb: tuple[FdbEntry, ...] = ()
    ruleset: Ruleset | None = None
    texts: str = ""
    sees: Mapping[str, bool] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def ports_of(self, bridge: str) -> tuple[str, ...]:
        """The ports of a Linux bridge, by name."""
        return tuple(parse_bridge_ports(list(self.links), bridge))

    def cable_of(self, port: str) -> tuple[str, str]:
        """The Linux bridge that a switch's port is cabled to by a veth pair, and the pair's end in it; ("", "") for none."""
        for link in self.links:
            if link.get("link") == port and link.get("master"):
                return str(link["master"]), str(link["ifname"])
        return "", ""

    def reading(self, bridge: str, conntrack: str) -> BridgeReading:
        """The bridge as a live host's is read."""
        links = list(self.links)
        facts, ports = parse_bridge(links, bridge), parse_bridge_ports(links, bridge)
        if facts is None:
            return BridgeReading(bridge, problems=("the bundle has no `ip -d link` that shows it",))
        own = tuple(entry for entry in self.fdb if entry.port in ports or entry.port == bridge)
        return BridgeReading(
            bridge, facts, ports, own, self.ruleset, self.sees.get("ip", False), self.sees.get("ip6", False), conntrack or None,
            self.problems, self.texts[:EVIDENCE_CHARS],
        )  # fmt: skip


def read_linux(files: Iterable[BundleFile]) -> BundleLinux:
    """The kernel's part of a bundle; what is not there, or only as text, is in `problems`."""
    by_kind: dict[Kind, list[BundleFile]] = {}
    for file in files:
        by_kind.setdefault(file.kind, []).append(file)

    def text(kind: Kind) -> str:
        return "\n".join(file.text() for file in by_kind.get(kind, ()))

    problems: list[str] = []
    links = parse_links(text("links_json")) or links_of_text(text("links"))
    fdb = parse_fdb(text("kernel_fdb_json")) or fdb_of_text(text("kernel_fdb"))
    if not (by_kind.keys() & {"kernel_fdb", "kernel_fdb_json"}):
        problems.append("the bundle has no `bridge fdb show`: its Linux bridges count as knowing no MAC")
    nft = _ruleset(text("nft_json"), text("nft"), problems)
    saved = _saved(by_kind.get("iptables_save", ()), is_nft_read=nft is not None)
    ruleset = merged(nft, *saved)
    kinds: tuple[Kind, ...] = ("nft", "iptables_save", "iptables")
    shown = "\n".join(text(kind) for kind in kinds).strip() if nft is None else ""
    if nft is None and saved:
        problems.append(
            "of netfilter's rules in the bundle those of iptables-save are evaluated; what nft has beside them is not"
        )
    elif nft is None:
        what = "only as text (see the bridge's raw evidence), which is not evaluated" if shown else "not at all"
        problems.append(f"netfilter's rules are in the bundle {what}")
    if ruleset is not None and not (by_kind.keys() & {"sysctl"}):
        problems.append("the bundle has no `sysctl`: IP's chains count as not seeing bridged frames")
    sees = dict.fromkeys(_SWITCH.findall(text("sysctl")), True)
    return BundleLinux(tuple(links), fdb, ruleset, shown, sees, tuple(problems))


def _saved(files: Iterable[BundleFile], *, is_nft_read: bool) -> list[Ruleset]:
    """The rules of iptables-save. Those that iptables keeps by nft are nft's own: where its JSON was read they are there already."""
    found = []
    for file in files:
        text = file.text()
        is_nfts = BY_NFT in text.partition("\n")[0]
        if "*" in text and not (is_nfts and is_nft_read):
            family = "ip6" if file.path.name.startswith("ip6") else "ip"
            found.append(parse_save(text, family, "iptables" if is_nfts else LEGACY))
    return found


def _ruleset(told: str, listing: str, problems: list[str]) -> Ruleset | None:
    if not told.strip():
        return None
    try:
        return parse_ruleset(told, listing)
    except RulesetUnread as problem:
        problems.append(f"the bundle's netfilter rules could not be read: {problem}")
        return None


def links_of_text(text: str) -> list[dict[str, Any]]:
    """`ip -d link` (or `ip -d address`) in the shape of its JSON, as far as bridges and their ports go."""
    found: list[dict[str, Any]] = []
    for block in _blocks(text):
        head = _HEAD.match(block[0])
        if head is None:
            continue
        body = " ".join([head[4], *block[1:]])
        master, numbers = _MASTER.search(head[4]), dict(_BRIDGE_NUMBER.findall(body))
        link: dict[str, Any] = {"ifname": head[1], "link": head[2], "flags": head[3].split(",")}
        if master:
            pairs = {name: _flag(word) for name, word in _PAIR.findall(body.partition("bridge_slave")[2])}
            link |= {"master": master[1], "linkinfo": {"info_slave_kind": "bridge", "info_slave_data": pairs}}
        elif "ageing_time" in numbers:
            data = {name: int(value) for name, value in numbers.items()}
            link["linkinfo"] = {"info_kind": "bridge", "info_data": data}
        found.append(link)
    return found


def _blocks(text: str) -> list[list[str]]:
    blocks: list[list[str]] = []
    for line in text.splitlines():
        if _HEAD.match(line):
            blocks.append([line])
        elif blocks:
            blocks[-1].append(line)
    return blocks


def _flag(word: str) -> object:
    return {"on": True, "off": False}.get(word, word)


def fdb_of_text(text: str) -> tuple[FdbEntry, ...]:
    """`bridge fdb show`, the bridges' own entries."""
    found = []
    for line in text.splitlines():
        match = _FDB.match(line)
        if match is None or "master" not in match[3]:
            continue
        words, vlan = match[3].split(), _VLAN.search(match[3])
        kind = "local" if "permanent" in words else "static" if "static" in words else "learned"
        found.append(FdbEntry(match[1].lower(), match[2], kind, int(vlan[1]) if vlan else 0))
    return tuple(found)
