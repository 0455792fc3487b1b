"""libvirt's calls that only look at what a host has, ours or not; part of LibvirtHypervisor."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import libvirt
from lxml import etree

from sdn.bundle.nics import format_address, forward_mode
from tasks.hypervisor.driver import NicFacts, VolumeSeen
from tasks.hypervisor.libvirt_connection import LibvirtConnection, Refused
from tasks.hypervisor.pool_xml import name_in_domains

CHUNK_BYTES = 256 * 1024


class LibvirtLook(LibvirtConnection):
    """What is there."""

    def definition(self, domain: str) -> str:
        def act(connection: Any) -> str:
            try:
                return str(connection.lookupByName(domain).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
            except libvirt.libvirtError as problem:
                if problem.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                    return ""
                raise

        return self.call("read the domain's definition", act)

    def screenshot(self, domain: str, most_bytes: int) -> bytes:
        def act(connection: Any) -> bytes:
            stream, taken = connection.newStream(0), bytearray()
            connection.lookupByName(domain).screenshot(stream, 0, 0)
            while piece := stream.recv(CHUNK_BYTES):
                taken += piece
                if len(taken) > most_bytes:
                    stream.abort()
                    raise Refused(f"the screen shows more than {most_bytes} bytes")
            stream.finish()
            return bytes(taken)

        return self.call("take a picture of the screen", act)

    def disk_sizes(self, domain: str) -> Mapping[str, int]:
        def act(connection: Any) -> dict[str, int]:
            found = connection.lookupByName(domain)
            sizes = {}
            for node in etree.fromstring(found.XMLDesc()).iterfind("devices/disk/target"):
                with suppress(libvirt.libvirtError):  # an empty drive, or a file that is not there
                    sizes[str(node.get("dev"))] = int(found.blockInfo(node.get("dev"))[0])
            return sizes

        return self.call("read the sizes of its disks", act)

    def nic_facts(self) -> NicFacts:
        def act(connection: Any) -> NicFacts:
            modes = {}
            for network in connection.listAllNetworks():
                with suppress(libvirt.libvirtError):  # it went meanwhile
                    modes[str(network.name())] = forward_mode(etree.fromstring(network.XMLDesc()))
            return NicFacts(modes, _network_cards(connection))

        return self.call("read its networks and cards", act)

    def files_in_use(self) -> frozenset[tuple[str, str]]:
        def act(connection: Any) -> frozenset[tuple[str, str]]:
            found: set[tuple[str, str]] = set()
            for domain in connection.listAllDomains():
                for flags in (0, libvirt.VIR_DOMAIN_XML_INACTIVE):  # what runs, and what would start next
                    with suppress(libvirt.libvirtError):  # it went meanwhile
                        found.update((path, str(domain.name())) for path in paths_in(domain.XMLDesc(flags)))
            return frozenset(found)

        return self.call("read what its domains have open", act)

    def pool_volumes(self, pool: str) -> tuple[VolumeSeen, ...]:
        def act(connection: Any) -> tuple[VolumeSeen, ...]:
            found = connection.storagePoolLookupByName(pool)
            if not found.isActive():
                return ()
            root = etree.fromstring(found.XMLDesc())
            return tuple(_seen(root, volume) for volume in found.listAllVolumes())

        return self.call("list the volumes of a pool", act)


def _network_cards(connection: Any) -> frozenset[str] | None:
    """The addresses of PCI devices of class 02; a driver without node devices (libvirt's test driver) tells none."""
    try:
        devices = connection.listAllDevices(libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_PCI_DEV)
        texts = [device.XMLDesc() for device in devices]
    except libvirt.libvirtError:
        return None
    parts = [part for text in texts if (part := etree.fromstring(text).find("capability[@type='pci']")) is not None]
    return frozenset(_address(part) for part in parts if (part.findtext("class") or "").startswith("0x02"))


def _address(part: etree._Element) -> str:
    domain, bus, slot, function = (int(part.findtext(word) or "0") for word in ("domain", "bus", "slot", "function"))
    return format_address(domain, bus, slot, function)


def paths_in(xml: str) -> frozenset[str]:
    """Every path that a domain's XML names: disks with what they lie on, kernels, variables, logs; of a disk on the network
    its name there."""
    root = etree.fromstring(xml)
    named = {str(node.get(word)) for node in root.iter("source") for word in ("file", "dev") if node.get(word)}
    named |= {str(node.get("name")) for node in root.iter("source") if node.get("protocol") and node.get("name")}
    texts = {
        str(node.text) for word in ("kernel", "initrd", "nvram", "loader") for node in root.iter(word) if node.text
    }
    logs = {str(node.get("file")) for node in root.iter("log") if node.get("file")}
    return frozenset(named | texts | logs)


def _seen(pool: etree._Element, volume: Any) -> VolumeSeen:
    root = etree.fromstring(volume.XMLDesc())
    changed = root.findtext("target/timestamps/mtime") or "0"
    path = name_in_domains(pool, str(volume.name()), str(volume.path()))
    return VolumeSeen(str(volume.name()), path, int(volume.info()[2]), float(changed))
