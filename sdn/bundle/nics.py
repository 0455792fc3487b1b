"""The NICs in a domain's XML that are no ports of Open vSwitch, as libvirt writes them: definitions, live XML and status files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lxml import etree

from sdn.model.bypass import Bypass

MACVTAP = ("vepa", "bridge", "private", "passthrough")
_SIMPLE = {"vhostuser": ("vhostuser", "path"), "vdpa": ("vdpa", "dev"), "bridge": ("bridge", "bridge")}


def bypass_of(nic: etree._Element, networks: Mapping[str, str]) -> Bypass | None:
    """What the `<interface>` is where no port of Open vSwitch stands for it; None where one does.

    `networks` are the forward modes of libvirt's networks by name, as far as they are known: they tell pools of devices
    from bridges. A status file's `<actual>` says what was really taken out of a pool.
    """
    actual = nic.find("actual")
    if actual is not None and actual.get("type") not in (None, "network"):
        return _bypass(actual, str(actual.get("type")), _vlan(actual) or _vlan(nic), networks, nic)
    return _bypass(nic, str(nic.get("type", "")), _vlan(nic), networks, nic)


def _bypass(
    node: etree._Element, kind: str, vlan: str, networks: Mapping[str, str], nic: etree._Element
) -> Bypass | None:
    source, port = node.find("source"), node.find("virtualport")
    if port is not None and port.get("type") == "openvswitch":
        return None
    if kind == "hostdev":
        return Bypass("vf", pci_address(source), vlan=vlan)
    if kind == "direct":
        return Bypass("macvtap", _word(source, "dev"), _word(source, "mode") or "vepa", vlan)
    if kind == "network":
        return _of_network(_word(source, "network"), _word(source, "bridge"), vlan, networks)
    if kind in _SIMPLE:
        name, attribute = _SIMPLE[kind]
        return Bypass(name, _word(source, attribute), vlan=vlan)
    if kind == "ethernet":
        return Bypass("ethernet", _word(nic.find("target"), "dev"), vlan=vlan)
    return Bypass("user" if kind == "user" else "other", kind, vlan=vlan)


def _of_network(name: str, bridge: str, vlan: str, networks: Mapping[str, str]) -> Bypass:
    mode = networks.get(name, "")
    if mode == "hostdev":
        return Bypass("pool", name, vlan=vlan)
    if mode in MACVTAP and not bridge:
        return Bypass("macvtap", f"a device of libvirt's pool {name}", mode, vlan)
    return Bypass("network", name, vlan=vlan)


def passed_devices(devices: etree._Element) -> Iterator[str]:
    """The addresses of the PCI devices that are passed through as `<hostdev>`; XML does not say which of them are NICs."""
    for node in devices.iterfind("hostdev"):
        if node.get("type") == "pci" and (address := pci_address(node.find("source"))):
            yield address


def pci_address(source: etree._Element | None) -> str:
    """0000:3b:10.2; "" where none is told."""
    node = source.find("address") if source is not None else None
    if node is None:
        return ""
    try:
        domain, bus, slot, function = (
            int(str(node.get(name, "0")), 0) for name in ("domain", "bus", "slot", "function")
        )
    except ValueError:
        return ""
    return format_address(domain, bus, slot, function)


def format_address(domain: int, bus: int, slot: int, function: int) -> str:
    """As lspci and sysfs write it."""
    return f"{domain:04x}:{bus:02x}:{slot:02x}.{function:x}"


def forward_mode(network: etree._Element) -> str:
    """A network's forward mode as `bypass_of` takes it: "" for an isolated one; what has a bridge is none of macvtap's."""
    forward = network.find("forward")
    mode = str(forward.get("mode", "nat")) if forward is not None else ""
    return "bridged" if mode == "bridge" and network.find("bridge") is not None else mode


def _vlan(node: etree._Element) -> str:
    return ", ".join(str(tag.get("id", "")) for tag in node.iterfind("vlan/tag"))


def _word(node: etree._Element | None, name: str) -> str:
    return str(node.get(name, "")) if node is not None else ""
