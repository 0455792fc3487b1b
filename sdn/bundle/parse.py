"""The texts of a bundle as values. Nothing here raises for what a file holds: what is not understood is left out."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sdn.bundle.values import LearnedMac

# what a dump tells and add-flow does not take, or what would make a flow vanish from the shadow
_STATISTICS = re.compile(r"\b(?:duration|n_packets|n_bytes|idle_age|hard_age|idle_timeout|hard_timeout|packet_count|byte_count|ref_count)=[^,\s]*,?\s*")  # fmt: skip
_OFPORT = re.compile(r"^\s+([0-9]{1,20}|LOCAL)\(([^)]*)\): ")
_FDB = re.compile(r"^\s*([0-9]{1,20}|LOCAL)\s+([0-9]{1,20})\s+([0-9a-f:]{17})\s+\S+")
_TLV = re.compile(r"^\s*(0x[0-9a-f]+)\s+(0x[0-9a-f]+)\s+([0-9]{1,20})\s+(tun_metadata[0-9]{1,20})")
_CARD = re.compile(
    r"^((?:[0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])\s(?:.*\[)?02[0-9a-f]{2}[\]:]"
)  # class 02: network
_PAIR = re.compile(r'([\w.-]+)="?([^",}]*)"?')


def clean_flows(text: str) -> tuple[str, ...]:
    """A dump's flows as add-flow takes them, statistics and time-outs left out."""
    lines = (line.strip() for line in text.splitlines())
    return tuple(_STATISTICS.sub("", line).strip(" ,") for line in lines if "actions=" in line)


def clean_groups(text: str) -> tuple[str, ...]:
    """A dump's groups as add-group takes them."""
    return tuple(line.strip() for line in text.splitlines() if line.strip().startswith("group_id="))


def parse_ofports(text: str) -> dict[str, int]:
    """`ovs-ofctl show`: interface name → ofport (LOCAL is 65534). Names over 15 characters are cut there."""
    found = {}
    for line in text.splitlines():
        if match := _OFPORT.match(line):
            found[match[2]] = 65534 if match[1] == "LOCAL" else int(match[1])
    return found


def parse_fdb(text: str) -> tuple[LearnedMac, ...]:
    """`ovs-appctl fdb/show`."""
    rows = (_FDB.match(line) for line in text.splitlines())
    return tuple(LearnedMac(row[1], int(row[2]), row[3]) for row in rows if row)


def parse_tlv_map(text: str) -> tuple[str, ...]:
    """`ovs-ofctl dump-tlv-map` as add-tlv-map takes it."""
    rows = (_TLV.match(line) for line in text.splitlines())
    return tuple(f"{{class={row[1]},type={row[2]},len={row[3]}}}->{row[4]}" for row in rows if row)


def parse_map(text: str) -> dict[str, str]:
    """OVSDB's map in text, `{key="value", …}`."""
    return {match[1]: match[2] for match in _PAIR.finditer(text)}


def parse_show(text: str) -> dict[str, dict[str, dict[str, dict[str, str]]]]:
    """`ovs-vsctl show`: bridge → port → {"": the port's columns, interface: its columns}."""
    bridges: dict[str, dict[str, dict[str, dict[str, str]]]] = {}
    ports: dict[str, dict[str, dict[str, str]]] | None = None
    columns: dict[str, str] | None = None
    interfaces: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        word, _, rest = line.strip().partition(" ")
        name = rest.strip().strip('"')
        if word == "Bridge":
            ports = bridges.setdefault(name, {})
            columns = None
        elif word == "Port" and ports is not None:
            interfaces = ports.setdefault(name, {})
            columns = interfaces.setdefault("", {})
        elif word == "Interface" and ports:
            columns = interfaces.setdefault(name, {})
        elif word.endswith(":") and columns is not None:
            columns[word[:-1]] = rest.strip()
    return bridges


def parse_network_cards(text: str) -> tuple[str, ...]:
    """The addresses of network cards in `lspci -nnvv` or `lspci -nvv`, with the domain that lspci leaves out."""
    found = (match[1] for line in text.splitlines() if (match := _CARD.match(line)))
    return tuple(address if address.count(":") == 2 else f"0000:{address}" for address in found)


def parse_records(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """`list` format, of ovs-vsctl or `ovsdb-client -f list dump`: (table or "", column → text) for each record."""
    table, record = "", dict[str, str]()
    for line in [*text.splitlines(), ""]:
        if line.endswith(" table") and " : " not in line:
            table = line.removesuffix(" table").strip()
        elif " : " in line:
            name, _, value = line.partition(" : ")
            record[name.strip()] = value.strip()
        elif ":" in line and line.split(":", 1)[0].strip().isidentifier() and not line.startswith(" "):
            name, _, value = line.partition(":")
            record[name.strip()] = value.strip()
        elif not line.strip() and record:
            yield table, record
            record = {}
