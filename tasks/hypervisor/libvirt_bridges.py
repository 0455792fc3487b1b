"""libvirt's calls that make and remove the Linux bridge of a NIC; a part of LibvirtHypervisor. Each may be asked twice.

A bridge is that of a libvirt network of the port's own, without addresses: libvirt makes it, brings it back after the host's
start, and removes it; the hook of the host cables it to br-int (portal/hosts/hooks/hopsight-bridge).
"""

from __future__ import annotations

from typing import Any, TypeVar

import libvirt
from lxml import etree

from sdn.model.plug import bridge_name, bridge_network, port_of_network, veth_names
from tasks.hypervisor.libvirt_connection import LibvirtConnection, Refused

T = TypeVar("T")
NO_HOOK = (
    "the Linux bridge {bridge} was made but not cabled to br-int: install Hopsight's hook on the host "
    "(manage.py host hook prints it and says where to), restart libvirtd, and start the VM again"
)


class NotCabled(Refused):
    """The host's hook did not do its part; the network was taken back."""


class LibvirtBridges(LibvirtConnection):
    """Linux bridges, one a port."""

    def ensure_bridge(self, port: str) -> None:
        def act(connection: Any) -> None:
            network = _network(connection, port) or connection.networkDefineXML(format_bridge_network(port))
            network.setAutostart(1)  # its domain may start with the host
            if not network.isActive():
                network.create()
            if not _is_cabled(connection, port):
                network.destroy()
                raise NotCabled(NO_HOOK.format(bridge=bridge_name(port)))

        self.call("make its Linux bridge", act)

    def remove_bridge(self, port: str) -> None:
        def act(connection: Any) -> None:
            network = _network(connection, port)
            if network is None:
                return
            if network.isActive():
                network.destroy()
            network.undefine()

        self.call("remove its Linux bridge", act)

    def idle_bridges(self) -> tuple[str, ...]:
        def act(connection: Any) -> tuple[str, ...]:
            named = ((port_of_network(network.name()), network) for network in connection.listAllNetworks())
            return tuple(
                port for port, network in named if port and not (network.isActive() and network.listAllPorts())
            )

        return self.call("list its Linux bridges", act)

    def bridge_ports(self, port: str) -> tuple[str, ...]:
        def act(connection: Any) -> tuple[str, ...]:
            try:
                found = connection.interfaceLookupByName(bridge_name(port))
            except libvirt.libvirtError:
                return ()
            members = etree.fromstring(found.XMLDesc()).iterfind("bridge/interface")
            return tuple(sorted(str(member.get("name")) for member in members))

        return self.call("read its Linux bridge", act)


def format_bridge_network(port: str) -> str:
    """The XML of the libvirt network whose bridge is the port's: isolated, without addresses, DHCP or spanning tree."""
    root = etree.Element("network")
    etree.SubElement(root, "name").text = bridge_network(port)
    etree.SubElement(root, "bridge", name=bridge_name(port), stp="off", delay="0")
    return etree.tostring(root, encoding="unicode")


def _network(connection: Any, port: str) -> Any | None:
    try:
        return connection.networkLookupByName(bridge_network(port))
    except libvirt.libvirtError as problem:
        if problem.get_error_code() == libvirt.VIR_ERR_NO_NETWORK:
            return None
        raise


def _is_cabled(connection: Any, port: str) -> bool:
    """Whether the host has the cable; a libvirt that cannot list interfaces is believed."""
    try:
        connection.interfaceLookupByName(veth_names(port)[1])
    except libvirt.libvirtError as problem:
        return bool(problem.get_error_code() != libvirt.VIR_ERR_NO_INTERFACE)
    return True
