"""A bundle in a shadow switch: the real classifier with the host's ports, flows, groups, MACs and tunnel options.

What Open vSwitch refuses is left out and listed, a line each; the rest is loaded. Traps: a bridge's own (LOCAL) port is
there by itself; patch ports need both ends at once; a flow that names a meter is refused while the meter is not there,
and dumps of meters are rare, so one without a limit stands in for it, and is listed too.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import TracebackType

from sdn.bundle.read import Bundle
from sdn.bundle.values import BundleBridge, BundleInterface, BundlePort
from sdn.shadow import Shadow, ShadowError
from sdn.transport.unixctl import UnixctlClient, UnixctlError

REFUSED_LINE = re.compile(r"^(?:ovs-ofctl: )?-:(\d+): (.*)$", re.M)
REFUSED_FLOW = re.compile(r"OFPT_ERROR[^:]*: (\S+)")
METER = re.compile(r"\bmeter:(\d+)")
MOST_LISTED = 200
KEPT_TYPES = frozenset(("patch", "vxlan", "geneve", "gre"))  # every other type has no counterpart without a kernel


class BundleShadow:
    """`with BundleShadow(bundle) as loaded:`; `loaded.problems` says what is not as it was on the host."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.problems: list[str] = list(bundle.missing)
        self._shadow = Shadow()

    def __enter__(self) -> BundleShadow:
        self._shadow.__enter__()
        try:
            self._load()
        except BaseException:
            self._shadow.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shadow.close()

    @property
    def rundir(self) -> Path:
        """The shadow's run folder, as LiveWorld wants it."""
        return self._shadow.rundir

    def change_flows(self, bridge: str, line: str) -> None:
        """One change as `ovs-ofctl add-flows` reads it: "add …", "modify_strict …", "delete_strict …". Raises ShadowError."""
        self._shadow.ofctl("add-flows", bridge, line)

    def _load(self) -> None:
        bridges = [_bridge_words(bridge.name) for bridge in self.bundle.bridges]
        ports = [(bridge.name, port) for bridge in self.bundle.bridges for port in self._ports(bridge)]
        words = [_port_words(bridge, port) for bridge, port in ports]
        try:
            self._shadow.vsctl(*_joined([*bridges, *words]))
        except ShadowError:  # one of them is refused: find out which
            self._shadow.vsctl(*_joined(bridges))
            for (bridge, port), own in zip(ports, words, strict=True):
                try:
                    self._shadow.vsctl(*own)
                except ShadowError as problem:
                    self._tell(f"port {port.name} of {bridge}: {problem}")
        for one in self.bundle.bridges:
            self._add_tables(one)
            self._add_macs(one)

    def _ports(self, bridge: BundleBridge) -> list[BundlePort]:
        """The bridge's ports, and a stand-in for each that only its flows name."""
        known = {interface.ofport for port in bridge.ports for interface in port.interfaces}
        stand_ins = []
        for number in sorted(_ofports_named(bridge) - {ofport for ofport in known if ofport}):
            name = f"{bridge.name[:7]}-p{number}"
            self._tell(f"port {number} of {bridge.name} is named by flows and nowhere else: {name} stands in for it")
            stand_ins.append(BundlePort(name, (BundleInterface(name, number),)))
        return [*bridge.ports, *stand_ins]

    def _add_tables(self, bridge: BundleBridge) -> None:
        self._add(bridge.name, "add-tlv-map", bridge.tlv_map, "tunnel option")
        meters = sorted({int(found) for line in (*bridge.flows, *bridge.groups) for found in METER.findall(line)})
        for meter in meters:
            self._tell(f"meter {meter} of {bridge.name} is not in the bundle: it limits nothing here")
        limits = tuple(f"meter={meter},kbps,band=type=drop,rate=4294967295" for meter in meters)
        for verb, lines, what in (("add-meter", limits, "meter"), ("add-groups", bridge.groups, "group"), ("add-flows", bridge.flows, "flow")):  # fmt: skip
            self._add(bridge.name, verb, lines, what)

    def _add(self, bridge: str, verb: str, lines: tuple[str, ...], what: str) -> None:
        """Add all that Open vSwitch takes: a line that it cannot read is taken out, and the rest is tried again."""
        if not lines:
            return
        if verb in ("add-tlv-map", "add-meter"):
            for line in lines:
                self._one(bridge, verb, line, what)
            return
        left = list(lines)
        for _ in range(len(lines) + 1):
            try:
                self._shadow.ofctl(verb, bridge, "\n".join(left), version="OpenFlow15")
                return
            except ShadowError as problem:
                found = REFUSED_LINE.search(str(problem))
                if found is None or not 0 < int(found[1]) <= len(left):
                    break
                self._tell(
                    f"{what} of {bridge} left out ({found[2].strip()[:160]}): {left.pop(int(found[1]) - 1)[:300]}"
                )
        for line in left:
            self._one(bridge, verb.removesuffix("s"), line, what)

    def _one(self, bridge: str, verb: str, line: str, what: str) -> None:
        try:
            self._shadow.ofctl_words(verb, bridge, line, version="OpenFlow15")
        except ShadowError as problem:
            why = REFUSED_FLOW.search(str(problem))
            said = why[1] if why else str(problem).strip().splitlines()[-1][:160]
            self._tell(f"{what} of {bridge} left out ({said}): {line[:300]}")

    def _add_macs(self, bridge: BundleBridge) -> None:
        names = {str(interface.ofport): port.name for port in bridge.ports for interface in port.interfaces}
        client = UnixctlClient(self._shadow.unixctl)
        try:
            for learned in bridge.macs:
                port = bridge.name if learned.ofport in ("LOCAL", "65534") else names.get(learned.ofport)
                if port is None:
                    self._tell(f"MAC {learned.mac} of {bridge.name} was learned at port {learned.ofport}, which is not there")  # fmt: skip
                    continue
                client.run("fdb/add", bridge.name, port, str(learned.vid), learned.mac)
        except UnixctlError as problem:
            self._tell(f"the MAC table of {bridge.name} could not be loaded: {problem}")
        finally:
            client.close()

    def _tell(self, words: str) -> None:
        if len(self.problems) < MOST_LISTED:
            self.problems.append(words)
        elif len(self.problems) == MOST_LISTED:
            self.problems.append("and more, not listed")


def _bridge_words(name: str) -> list[str]:
    protocols = "protocols=[OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15]"
    return ["add-br", name, "--", "set", "bridge", name, "datapath_type=dummy", "fail_mode=secure", protocols]


def _joined(commands: list[list[str]]) -> list[str]:
    """Several of ovs-vsctl's commands as one transaction."""
    return [word for command in commands for word in ("--", *command)][1:]


def _port_words(bridge: str, port: BundlePort) -> list[str]:
    names = [interface.name for interface in port.interfaces]
    words = ["add-port", bridge, port.name] if len(names) == 1 else ["add-bond", bridge, port.name, *names]
    settings = [f"tag={port.tag}"] if port.tag is not None else []
    settings += [f"trunks={','.join(map(str, port.trunks))}"] if port.trunks else []
    settings += [f"vlan_mode={port.vlan_mode}"] if port.vlan_mode else []
    if settings:
        words += ["--", "set", "port", port.name, *settings]
    for interface in port.interfaces:
        kept = interface.type if interface.type in KEPT_TYPES else "dummy"
        words += ["--", "set", "interface", interface.name, f"type={kept}"]
        if interface.ofport and interface.ofport > 0:
            words.append(f"ofport_request={interface.ofport}")
        if kept != "dummy":
            words += [f'options:{name}="{value}"' for name, value in sorted(interface.options.items())]
        words += [f'external_ids:{name}="{value}"' for name, value in sorted(interface.external_ids.items())]
    return words


def _ofports_named(bridge: BundleBridge) -> set[int]:
    """Ports that the flows come from or go to."""
    text = "\n".join(bridge.flows)
    numbers = {int(found) for found in re.findall(r"\b(?:in_port=|output:)(\d+)\b", text)}
    return {number for number in numbers if 0 < number < 0xFF00}
