"""From the XML of a domain that somebody else defined to what it is made of. Nothing of the XML is ever handed back to libvirt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from uuid import UUID

from lxml import etree

from portal.compute.foreign import Facts, ForeignDisk, ForeignNic
from sdn.bundle.nics import bypass_of, passed_devices
from sdn.model.bypass import Bypass
from tasks.hypervisor.driver import NicFacts

UNITS = {"b": 1 / 1024**2, "bytes": 1 / 1024**2, "KB": 1000 / 1024**2, "k": 1 / 1024, "KiB": 1 / 1024, "MB": 1000**2 / 1024**2,
         "M": 1, "MiB": 1, "GB": 1000**3 / 1024**2, "G": 1024, "GiB": 1024, "TiB": 1024**2}  # fmt: skip
SWITCH = "br-int"


def parse_foreign(xml: str, sizes: Mapping[str, int], nic_facts: NicFacts | None = None) -> Facts:
    """`sizes` are those of its disks by target, as far as libvirt told them; `nic_facts` what its host's networks and cards are."""
    known = nic_facts or NicFacts()
    root = etree.fromstring(xml, etree.XMLParser(resolve_entities=False, no_network=True))
    memory = root.find("memory")
    unit = UNITS.get(str(memory.get("unit", "KiB")), 1 / 1024) if memory is not None else 0
    kind = root.find("os/type")
    return Facts(
        vcpus=_number(root.findtext("vcpu")) or 1,
        ram_mib=-(-int(_number(memory.text if memory is not None else "") * unit * 1024) // 1024),
        machine=str(kind.get("machine", "")) if kind is not None else "",
        disks=tuple(_disk(node, sizes) for node in root.iterfind("devices/disk")),
        nics=(*(_nic(node, known.networks) for node in root.iterfind("devices/interface")), *_passed(root, known)),
    )


def _disk(node: etree._Element, sizes: Mapping[str, int]) -> ForeignDisk:
    target, source, driver = node.find("target"), node.find("source"), node.find("driver")
    name = _word(target, "dev")
    where = next((found for word in ("file", "dev", "name", "volume", "dir") if (found := _word(source, word))), "")
    return ForeignDisk(
        name, where, _word(driver, "type"), _word(target, "bus"), str(node.get("device", "disk")), sizes.get(name, 0)
    )


def _passed(root: etree._Element, known: NicFacts) -> Iterator[ForeignNic]:
    """Network cards that are passed through as host devices; XML tells no MAC of them, and only the host which they are."""
    for devices in root.iterfind("devices"):
        for address in passed_devices(devices):
            if address in (known.cards or ()):
                yield ForeignNic("", "", f"hostdev {address}", bypass=Bypass("pci", address))


def _nic(node: etree._Element, networks: Mapping[str, str]) -> ForeignNic:
    source, port = node.find("source"), node.find("virtualport")
    mac = _word(node.find("mac"), "address").lower()
    kind = str(node.get("type", ""))
    where = next((found for word in ("bridge", "network", "dev", "path") if (found := _word(source, word))), "")
    is_ours = kind == "bridge" and where == SWITCH and port is not None and port.get("type") == "openvswitch"
    parameters = port.find("parameters") if port is not None else None
    interface_id = _uuid(_word(parameters, "interfaceid")) if is_ours else ""
    bypass = None if interface_id else bypass_of(node, networks)
    return ForeignNic(mac, _word(node.find("model"), "type"), f"{kind} {where}".strip(), interface_id, bypass)


def _word(node: etree._Element | None, name: str) -> str:
    return str(node.get(name, "")) if node is not None else ""


def _number(text: str | None) -> int:
    words = (text or "").strip()
    return int(words) if words.isascii() and words.isdecimal() and len(words) < 19 else 0


def _uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        return ""
