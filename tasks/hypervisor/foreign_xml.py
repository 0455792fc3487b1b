"""From the XML of a domain that somebody else defined to what it is made of. Nothing of the XML is ever handed back to libvirt."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from lxml import etree

from portal.compute.foreign import Facts, ForeignDisk, ForeignNic

UNITS = {"b": 1 / 1024**2, "bytes": 1 / 1024**2, "KB": 1000 / 1024**2, "k": 1 / 1024, "KiB": 1 / 1024, "MB": 1000**2 / 1024**2,
         "M": 1, "MiB": 1, "GB": 1000**3 / 1024**2, "G": 1024, "GiB": 1024, "TiB": 1024**2}  # fmt: skip
SWITCH = "br-int"


def parse_foreign(xml: str, sizes: Mapping[str, int]) -> Facts:
    """`sizes` are those of its disks by target, as far as libvirt told them."""
    root = etree.fromstring(xml, etree.XMLParser(resolve_entities=False, no_network=True))
    memory = root.find("memory")
    unit = UNITS.get(str(memory.get("unit", "KiB")), 1 / 1024) if memory is not None else 0
    kind = root.find("os/type")
    return Facts(
        vcpus=_number(root.findtext("vcpu")) or 1,
        ram_mib=-(-int(_number(memory.text if memory is not None else "") * unit * 1024) // 1024),
        machine=str(kind.get("machine", "")) if kind is not None else "",
        disks=tuple(_disk(node, sizes) for node in root.iterfind("devices/disk")),
        nics=tuple(_nic(node) for node in root.iterfind("devices/interface")),
    )


def _disk(node: etree._Element, sizes: Mapping[str, int]) -> ForeignDisk:
    target, source, driver = node.find("target"), node.find("source"), node.find("driver")
    name = _word(target, "dev")
    where = next((found for word in ("file", "dev", "name", "volume", "dir") if (found := _word(source, word))), "")
    return ForeignDisk(
        name, where, _word(driver, "type"), _word(target, "bus"), str(node.get("device", "disk")), sizes.get(name, 0)
    )


def _nic(node: etree._Element) -> ForeignNic:
    source, port = node.find("source"), node.find("virtualport")
    mac = _word(node.find("mac"), "address").lower()
    kind = str(node.get("type", ""))
    where = next((found for word in ("bridge", "network", "dev", "path") if (found := _word(source, word))), "")
    is_ours = kind == "bridge" and where == SWITCH and port is not None and port.get("type") == "openvswitch"
    parameters = port.find("parameters") if port is not None else None
    interface_id = _uuid(_word(parameters, "interfaceid")) if is_ours else ""
    return ForeignNic(mac, _word(node.find("model"), "type"), f"{kind} {where}".strip(), interface_id)


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
