"""From a bundle's files to one value: bridges with their ports and tables, connections, guests, and what is missing."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lxml import etree

from sdn.bundle import parse
from sdn.bundle.files import CONF_DB, HOST_NAME, BundleFile, domain_files, find_files, find_root, network_files, newest
from sdn.bundle.linux import BundleLinux, read_linux
from sdn.bundle.nics import bypass_of, forward_mode, passed_devices
from sdn.bundle.values import BundleBridge, BundleInterface, BundlePort, Guest
from sdn.linux.conntrack import kernel_conntrack
from sdn.model.bypass import Bypass

Show = dict[str, dict[str, dict[str, dict[str, str]]]]
TOOL_DEADLINE_S = 30


class BundleError(Exception):
    """The folder is no bundle that anything could be asked of; the message says what was looked for."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """One host. `missing` says what the bundle does not have, a sentence each."""

    host: str
    bridges: tuple[BundleBridge, ...]
    conntrack: str
    guests: tuple[Guest, ...]
    missing: tuple[str, ...]
    linux: BundleLinux = field(default_factory=BundleLinux)


def read_bundle(folder: Path) -> Bundle:
    """The bundle in `folder`. Raises BundleError where there is none, or it tells of no bridge."""
    if not folder.is_dir():
        raise BundleError(f"{folder} is no folder: unpack the archive first")
    root = find_root(folder)
    if root is None:
        raise BundleError(f"{folder} holds neither sos_commands/ nor outputs such as ovs-vsctl_show")
    files = find_files(root)
    shown, missing = _database(root, files)
    names = sorted({*shown, *newest(files, "flows"), *newest(files, "ofctl_show")})
    if not names:
        raise BundleError(f"{root} tells of no bridge: neither ovs-vsctl show nor ovs-ofctl outputs are there")
    columns = _interface_columns(files)
    bridges = tuple(_bridge(name, shown.get(name, {}), columns, files, missing) for name in names)
    conntrack = "\n".join(file.text() for file in files if file.kind == "conntrack")
    conntrack += "\n" + "\n".join(kernel_conntrack(file.text()) for file in files if file.kind == "kernel_conntrack")  # fmt: skip
    if not conntrack.strip():
        missing.append("no conntrack dump: each connection counts as not there yet")
    return Bundle(_host_name(root), bridges, conntrack.strip(), _guests(root, files), tuple(missing), read_linux(files))


def _database(root: Path, files: list[BundleFile]) -> tuple[Show, list[str]]:
    """Bridges and ports by `ovs-vsctl show`, else by a dump of OVSDB, else by its file."""
    if texts := [file.text() for file in files if file.kind == "show"]:
        return parse.parse_show(texts[0]), []
    if texts := [file.text() for file in files if file.kind == "database"]:
        return _from_records(texts[0]), []
    for name in CONF_DB:
        if (root / name).is_file():
            return _from_file(root / name)
    return {}, ["no ovs-vsctl show, OVSDB dump or conf.db: ports are those that ovs-ofctl show and the flows name"]


def _from_file(path: Path) -> tuple[Show, list[str]]:
    rows: list[dict[str, object]] = [
        {"op": "select", "table": table, "where": []} for table in ("Bridge", "Port", "Interface")
    ]
    argv = ["ovsdb-tool", "query", str(path), json.dumps(["Open_vSwitch", *rows])]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=TOOL_DEADLINE_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as problem:
        return {}, [f"{path.name} could not be read: {problem}"]
    if done.returncode:
        return {}, [f"{path.name} could not be read: {done.stderr.strip()[:200]}"]
    return _from_query(done.stdout), []


def _from_query(text: str) -> Show:
    """ovsdb-tool's answer: three lists of rows, in OVSDB's JSON (RFC 7047, 5.1)."""
    bridges, ports, interfaces = ({row["_uuid"][1]: row for row in part["rows"]} for part in json.loads(text))
    shown: Show = {}
    for bridge in bridges.values():
        of_bridge = shown.setdefault(bridge["name"], {})
        for port_id in _set(bridge["ports"]):
            port = ports.get(port_id)
            if port is None:
                continue
            of_port = of_bridge.setdefault(port["name"], {"": {name: _words(port.get(name)) for name in ("tag", "trunks", "vlan_mode")}})  # fmt: skip
            for interface_id in _set(port["interfaces"]):
                if row := interfaces.get(interface_id):
                    of_port[row["name"]] = {name: _words(row.get(name)) for name in ("type", "options", "ofport", "external_ids")}  # fmt: skip
    return shown


def _set(value: object) -> list[str]:
    """An OVSDB set of uuids."""
    if isinstance(value, list) and len(value) == 2 and value[0] == "set":
        return [one[1] for one in value[1]]
    return [value[1]] if isinstance(value, list) and len(value) == 2 else []


def _words(value: object) -> str:
    if isinstance(value, list) and len(value) == 2 and value[0] == "map":
        return "{" + ", ".join(f'{name}="{word}"' for name, word in value[1]) + "}"
    if isinstance(value, list) and len(value) == 2 and value[0] == "set":
        return "[" + ", ".join(str(word) for word in value[1]) + "]"
    return "" if value is None else str(value)


def _from_records(text: str) -> Show:
    """A dump of OVSDB in list format: its rows joined by uuid."""
    rows: dict[str, dict[str, dict[str, str]]] = {"Bridge": {}, "Port": {}, "Interface": {}}
    for table, record in parse.parse_records(text):
        if table in rows:
            rows[table][record.get("_uuid", "")] = record
    shown: Show = {}
    for bridge in rows["Bridge"].values():
        of_bridge = shown.setdefault(bridge.get("name", "").strip('"'), {})
        for port_id in _ids(bridge.get("ports", "")):
            port = rows["Port"].get(port_id, {})
            of_port = of_bridge.setdefault(port.get("name", "").strip('"'), {"": port})
            for interface_id in _ids(port.get("interfaces", "")):
                row = rows["Interface"].get(interface_id, {})
                of_port[row.get("name", "").strip('"')] = row
    return shown


def _ids(text: str) -> list[str]:
    return [word.strip() for word in text.strip("[]").split(",") if word.strip()]


def _interface_columns(files: list[BundleFile]) -> dict[str, dict[str, str]]:
    """By interface, what `list interface` or a dump of OVSDB tells."""
    found: dict[str, dict[str, str]] = {}
    for file in files:
        if file.kind in ("interfaces", "database"):
            for table, record in parse.parse_records(file.text()):
                if table in ("", "Interface") and "ofport" in record and "name" in record:
                    found[record["name"].strip('"')] = record
    return found


def _bridge(
    name: str, shown: Mapping[str, Mapping[str, Mapping[str, str]]], columns: Mapping[str, Mapping[str, str]],
    files: list[BundleFile], missing: list[str],
) -> BundleBridge:  # fmt: skip
    flows, show = newest(files, "flows").get(name), newest(files, "ofctl_show").get(name)
    if flows is None:
        missing.append(f"no flows of {name}: it is loaded empty")
    ofports = parse.parse_ofports(show.text()) if show else {}
    ports = [_port(port, told, columns, ofports) for port, told in shown.items()]
    known = {interface.name[:15] for port in ports for interface in port.interfaces}
    ports += [BundlePort(one, (BundleInterface(one, ofport),)) for one, ofport in ofports.items() if one[:15] not in known]  # fmt: skip
    groups, tlv, fdb = (newest(files, kind).get(name) for kind in ("groups", "tlv_map", "fdb"))
    if fdb is None:
        missing.append(f"no MAC table of {name}: what NORMAL does there is a flood")
    return BundleBridge(
        name, tuple(port for port in ports if port.name != name),
        parse.clean_flows(flows.text()) if flows else (), parse.clean_groups(groups.text()) if groups else (),
        parse.parse_tlv_map(tlv.text()) if tlv else (), parse.parse_fdb(fdb.text()) if fdb else (),
    )  # fmt: skip


def _port(name: str, told: Mapping[str, Mapping[str, str]], columns: Mapping[str, Mapping[str, str]], ofports: Mapping[str, int]) -> BundlePort:  # fmt: skip
    own = told.get("", {})
    interfaces = [_interface(one, row, columns.get(one, {}), ofports) for one, row in told.items() if one]
    trunks = tuple(int(word) for word in _ids(own.get("trunks", "")) if word.isdigit())
    tag = own.get("tag", "")
    mode = own.get("vlan_mode", "").strip('[]"')
    return BundlePort(name, tuple(interfaces), int(tag) if tag.isdigit() else None, trunks, mode)


def _interface(name: str, row: Mapping[str, str], more: Mapping[str, str], ofports: Mapping[str, int]) -> BundleInterface:  # fmt: skip
    ofport = ofports.get(name, ofports.get(name[:15]))
    number = more.get("ofport", row.get("ofport", ""))
    if ofport is None and number.isdigit():
        ofport = int(number)
    columns = {**row, **{key: value for key, value in more.items() if value}}
    return BundleInterface(
        name, ofport, columns.get("type", "").strip('"[]'), parse.parse_map(columns.get("options", "")),
        parse.parse_map(columns.get("external_ids", "")),
    )  # fmt: skip


def _host_name(root: Path) -> str:
    for path in (root / name for name in HOST_NAME):
        if path.is_file() and (words := path.read_text(errors="replace").split()):
            return words[0][:63]
    return "bundle"


def _guests(root: Path, files: list[BundleFile]) -> tuple[Guest, ...]:
    """The NICs of libvirt's domains; a running domain's file, which names its taps and devices, comes before its definition."""
    found: dict[str, Guest] = {}
    networks, cards = _networks(root), _network_cards(files)
    for path in domain_files(root):
        tree = _tree(path)
        if tree is None:
            continue
        for guest in _guests_in(tree, path.stem, networks, cards):
            known = found.setdefault(guest.mac or f"{guest.domain} {guest.bypass}", guest)
            if not known.tap and guest.tap:
                found[guest.mac] = replace(known, tap=guest.tap, bridge=guest.bridge)
    return tuple(found.values())


def _guests_in(tree: etree._ElementTree, stem: str, networks: Mapping[str, str], cards: frozenset[str] | None) -> Iterator[Guest]:  # fmt: skip
    domain = str(tree.findtext(".//name") or stem)
    for nic in tree.iterfind(".//devices/interface"):
        guest = Guest(
            domain, _attribute(nic, "mac", "address"), _attribute(nic, "model", "type"), _attribute(nic, "target", "dev"),
            _attribute(nic, "virtualport/parameters", "interfaceid"), bypass_of(nic, networks), _linux_bridge(nic),
        )  # fmt: skip
        if guest.mac:
            yield guest
    for devices in tree.iterfind(".//devices"):
        yield from (
            Guest(domain, "", "", bypass=Bypass("pci", address))
            for address in passed_devices(devices)
            if cards is None or address in cards
        )


def _networks(root: Path) -> dict[str, str]:
    """The forward modes of libvirt's networks, as far as their files are there."""
    trees = [tree for path in network_files(root) if (tree := _tree(path)) is not None]
    return {str(tree.findtext("name") or ""): forward_mode(tree.getroot()) for tree in trees}


def _network_cards(files: list[BundleFile]) -> frozenset[str] | None:
    """The PCI addresses of network cards (class 02) by lspci; None where the bundle has no list, and then any device may be one."""
    lists = [file.text() for file in files if file.kind == "lspci"]
    return frozenset(address for text in lists for address in parse.parse_network_cards(text)) if lists else None


def _tree(path: Path) -> etree._ElementTree | None:
    try:
        return etree.parse(str(path), etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False))
    except (etree.XMLSyntaxError, OSError):
        return None


def _linux_bridge(nic: etree._Element) -> str:
    """The bridge that a NIC's tap is in, where that is no Open vSwitch's."""
    virtual = nic.find("virtualport")
    is_switch = virtual is not None and virtual.get("type") == "openvswitch"
    return "" if is_switch else _attribute(nic, "source", "bridge") or _attribute(nic, "actual/source", "bridge")


def _attribute(node: etree._Element, path: str, name: str) -> str:
    found = node.find(path)
    return str(found.get(name, "")) if found is not None else ""
