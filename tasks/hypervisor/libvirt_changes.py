"""libvirt's calls that change a running domain's devices; a part of LibvirtHypervisor. Each may be asked twice."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, TypeVar

import libvirt
from lxml import etree

from sdn.model.plug import port_of_network
from tasks.hypervisor.capabilities import NAMED_MACHINES, parse_capabilities
from tasks.hypervisor.libvirt_connection import LibvirtConnection

T = TypeVar("T")


class LibvirtChanges(LibvirtConnection):
    """What a running guest can be given or lose."""

    def capabilities(self, kind: str) -> dict[str, list[str]]:
        def act(connection: Any) -> dict[str, list[str]]:
            offered = []
            for machine in NAMED_MACHINES:
                with suppress(libvirt.libvirtError):
                    offered.append((machine, connection.getDomainCapabilities(None, "x86_64", machine, kind)))
            return parse_capabilities(offered[0][1], tuple(name for name, _ in offered)) if offered else {}

        return self.call("read what it offers guests", act)

    def plug_vcpus(self, domain: str, count: int) -> int:
        def act(connection: Any) -> int:
            found = connection.lookupByName(domain)
            now: int = found.vcpusFlags(libvirt.VIR_DOMAIN_AFFECT_LIVE)
            most: int = found.vcpusFlags(libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_VCPU_MAXIMUM)
            wanted = max(now, min(count, most))
            if wanted > now:
                found.setVcpusFlags(wanted, libvirt.VIR_DOMAIN_AFFECT_LIVE)
            return wanted

        return self.call("plug vCPUs", act)

    def grow_disk(self, domain: str, target: str, size_bytes: int) -> None:
        def act(connection: Any) -> None:
            found = connection.lookupByName(domain)
            if found.blockInfo(target)[0] < size_bytes:
                found.blockResize(target, size_bytes, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)

        self.call("grow its disk", act)

    def plug_nic(self, domain: str, interface_id: str, xml: str) -> None:
        def act(connection: Any) -> None:
            found = connection.lookupByName(domain)
            if _nic_of(found, interface_id) is None:
                found.attachDeviceFlags(xml, libvirt.VIR_DOMAIN_AFFECT_LIVE)

        self.call("plug the NIC", act)

    def unplug_nic(self, domain: str, interface_id: str) -> None:
        def act(connection: Any) -> None:
            found = connection.lookupByName(domain)
            nic = _nic_of(found, interface_id)
            if nic is not None:
                found.detachDeviceFlags(etree.tostring(nic, encoding="unicode"), libvirt.VIR_DOMAIN_AFFECT_LIVE)

        self.call("unplug the NIC", act)

    def set_link(self, domain: str, interface_id: str, is_up: bool) -> None:
        def act(connection: Any) -> None:
            found = connection.lookupByName(domain)
            nic = _nic_of(found, interface_id)
            if nic is None:
                return
            for old in nic.findall("link"):
                nic.remove(old)
            etree.SubElement(nic, "link", state="up" if is_up else "down")
            found.updateDeviceFlags(etree.tostring(nic, encoding="unicode"), libvirt.VIR_DOMAIN_AFFECT_LIVE)

        self.call("set its link", act)


def _nic_of(domain: Any, interface_id: str) -> etree._Element | None:
    """The live XML's element of the NIC with that OVS interface id."""
    for node in etree.fromstring(domain.XMLDesc()).iterfind("devices/interface"):
        if interface_id_of(node) == interface_id:
            return node
    return None


def interface_id_of(node: etree._Element) -> str:
    """Whose NIC it is: the OVS interface id, or the port whose Linux bridge it is on; "" where neither is there."""
    parameters, source = node.find("virtualport/parameters"), node.find("source")
    named = str(parameters.get("interfaceid") or "") if parameters is not None else ""
    return named or (port_of_network(str(source.get("network") or "")) if source is not None else "")
