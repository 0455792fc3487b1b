"""Which file of a bundle holds what: sos writes each command's output under the command's own name, made a file name.

Blanks become `_` and slashes `.` (`ovs-appctl fdb/show br-int` is `ovs-appctl_fdb.show_br-int`); options such as `-t 5`
come and go with sos's version, so they are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

Kind = Literal["show", "database", "interfaces", "ports", "bridges", "ofctl_show", "flows", "groups", "tlv_map", "fdb", "conntrack", "kernel_conntrack", "meters", "links", "links_json", "kernel_fdb", "kernel_fdb_json", "nft", "nft_json", "iptables", "iptables_save", "sysctl", "lspci"]  # fmt: skip
_OPTIONS = r"(?:_-t_\d+|_-f_list|_--names|_--no-names|_--no-stats|_-m|_-s|_--timeout.?\d+)*"
_VERSION = rf"{_OPTIONS}(?:_-O_?(?P<version>\w+?))?{_OPTIONS}"
_PATTERNS: tuple[tuple[Kind, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern))  # type: ignore[misc]
    for kind, pattern in (
        ("show", rf"ovs-vsctl{_OPTIONS}_show"),
        ("interfaces", rf"ovs-vsctl{_OPTIONS}_list_[Ii]nterface"),
        ("ports", rf"ovs-vsctl{_OPTIONS}_list_[Pp]ort"),
        ("bridges", rf"ovs-vsctl{_OPTIONS}_list_[Bb]ridge"),
        ("database", rf"ovsdb-client{_OPTIONS}(?:_unix\S*)?_dump(?:_.*)?"),
        ("flows", rf"ovs-ofctl{_VERSION}_dump-flows_(?P<bridge>.+)"),
        ("groups", rf"ovs-ofctl{_VERSION}_dump-groups_(?P<bridge>.+)"),
        ("meters", rf"ovs-ofctl{_VERSION}_dump-meters_(?P<bridge>.+)"),
        ("tlv_map", rf"ovs-ofctl{_VERSION}_dump-tlv-map_(?P<bridge>.+)"),
        ("ofctl_show", rf"ovs-ofctl{_VERSION}_show_(?P<bridge>.+)"),
        ("fdb", rf"ovs-appctl{_OPTIONS}_fdb.show_(?P<bridge>.+)"),
        ("conntrack", rf"ovs-(?:appctl|dpctl){_OPTIONS}_(?:dpctl.)?dump-conntrack(?:_.*)?"),
        ("kernel_conntrack", r"conntrack_-L.*"),
        ("lspci", r"lspci_-n\w*"),
        ("links_json", r"ip_-j_-d_link(?:_show)?"),
        ("links", r"ip(?:_-s)?_-d_link(?:_show)?"),
        ("kernel_fdb_json", r"bridge_-j_fdb_show"),
        ("kernel_fdb", r"bridge(?:_-[sdt])*_fdb_show"),
        ("nft_json", r"nft_-j_list_ruleset"),
        ("nft", r"nft(?:_-a)?_list_ruleset"),
        ("iptables_save", r"ip6?tables(?:-legacy)?-save(?:_-c)?"),
        ("iptables", r"ip6?tables(?:_-vnxL|_-t_\w+_-nvL)"),
        ("sysctl", r"sysctl_-a|sysctl_net\.bridge.*"),
    )
)
_VERSIONS = ("OpenFlow15", "OpenFlow14", "OpenFlow13", "OpenFlow12", "OpenFlow11", "", "OpenFlow10")
CONF_DB = ("etc/openvswitch/conf.db", "var/lib/openvswitch/conf.db", "usr/local/etc/openvswitch/conf.db")
LIBVIRT = ("run/libvirt/qemu", "var/run/libvirt/qemu", "etc/libvirt/qemu")
HOST_NAME = ("hostname", "sos_commands/host/hostname", "etc/hostname")
MAX_BYTES = 512 << 20


@dataclass(frozen=True, slots=True)
class BundleFile:
    """One command's output. `bridge` and `version` ("" when sos gave none) where the command names them."""

    kind: Kind
    path: Path
    bridge: str = ""
    version: str = ""

    def text(self) -> str:
        """Its text; what is over 512 MiB is cut."""
        with self.path.open(errors="replace") as file:
            return file.read(MAX_BYTES)


def find_root(folder: Path) -> Path | None:
    """The folder that holds `sos_commands`, or the outputs themselves: the given one or a folder just inside of it."""
    for candidate in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
        if (candidate / "sos_commands").is_dir() or any(_classify(path) for path in candidate.glob("ovs-*")):
            return candidate
    return None


def find_files(root: Path) -> list[BundleFile]:
    """Every file whose name tells what it holds, by name; symbolic links that lead out of the bundle are left alone."""
    folders = [root / "sos_commands"] if (root / "sos_commands").is_dir() else [root]
    found = []
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and _is_inside(path, root) and (file := _classify(path)):
                found.append(file)
    return found


def newest(files: list[BundleFile], kind: Kind) -> dict[str, BundleFile]:
    """By bridge, the file of a kind that was asked for with the newest OpenFlow version, which leaves least out."""
    chosen: dict[str, BundleFile] = {}
    for file in files:
        if file.kind != kind or not file.path.stat().st_size:
            continue
        before = chosen.get(file.bridge)
        if before is None or _rank(file) < _rank(before):
            chosen[file.bridge] = file
    return chosen


def domain_files(root: Path) -> Iterator[Path]:
    """libvirt's domain files, those of running domains first."""
    for folder in LIBVIRT:
        for path in sorted((root / folder).glob("*.xml")):
            if _is_inside(path, root):
                yield path


def network_files(root: Path) -> Iterator[Path]:
    """The definitions of libvirt's networks."""
    paths = sorted((root / "etc/libvirt/qemu/networks").glob("*.xml"))
    yield from (path for path in paths if _is_inside(path, root))


def _rank(file: BundleFile) -> int:
    return _VERSIONS.index(file.version) if file.version in _VERSIONS else len(_VERSIONS)


def is_wanted(path: PurePosixPath) -> bool:
    """Does an archive's entry of that path hold anything that is read?"""
    text = f"/{path}"
    if any(text.endswith(f"/{name}") for name in (*CONF_DB, *HOST_NAME)):
        return True
    if path.suffix == ".xml" and any(f"/{folder}/" in text for folder in LIBVIRT):
        return True
    return _classify(Path(path)) is not None


def _classify(path: Path) -> BundleFile | None:
    for kind, pattern in _PATTERNS:
        if found := pattern.fullmatch(path.name):
            groups = found.groupdict()
            return BundleFile(kind, path, groups.get("bridge") or "", groups.get("version") or "")
    return None


def _is_inside(path: Path, root: Path) -> bool:
    return path.resolve().is_relative_to(root.resolve())
