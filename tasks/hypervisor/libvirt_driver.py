"""A host's libvirt as a Hypervisor: its parts by what they are for, and the calls of a domain's life. Each may be asked twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import libvirt
from lxml import etree

from sdn.bundle.nics import bypass_of
from tasks.hypervisor.driver import (
    Capacity,
    DomainState,
    Hypervisor,
    LiveInterface,
    Move,
    MoveAsked,
)
from tasks.hypervisor.libvirt_agent import LibvirtAgent
from tasks.hypervisor.libvirt_backups import LibvirtBackups
from tasks.hypervisor.libvirt_bridges import LibvirtBridges
from tasks.hypervisor.libvirt_changes import LibvirtChanges, interface_id_of
from tasks.hypervisor.libvirt_look import LibvirtLook
from tasks.hypervisor.libvirt_move import LibvirtMove
from tasks.hypervisor.libvirt_pour import LibvirtPour
from tasks.hypervisor.libvirt_snapshots import LibvirtSnapshots
from tasks.hypervisor.libvirt_storage import LibvirtStorage

STATES = {
    libvirt.VIR_DOMAIN_RUNNING: DomainState.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: DomainState.RUNNING,
    libvirt.VIR_DOMAIN_SHUTDOWN: DomainState.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: DomainState.PAUSED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: DomainState.PAUSED,
    libvirt.VIR_DOMAIN_CRASHED: DomainState.CRASHED,
}


class LibvirtHypervisor(
    LibvirtChanges,
    LibvirtStorage,
    LibvirtPour,
    LibvirtSnapshots,
    LibvirtBackups,
    LibvirtBridges,
    LibvirtLook,
    LibvirtAgent,
):
    """The Hypervisor of one libvirt URI."""

    def define(self, xml: str) -> None:
        self.call("define the domain", lambda connection: connection.defineXML(xml))

    def start(self, domain: str) -> None:
        def act(connection: Any) -> None:
            found = connection.lookupByName(domain)
            if not found.isActive():
                found.create()

        self.call("start the domain", act)

    def destroy(self, domain: str) -> None:
        def act(found: Any) -> None:
            if found.isActive():
                found.destroy()

        self.if_there("power the domain off", domain, act, libvirt.VIR_ERR_OPERATION_INVALID)

    def shutdown(self, domain: str) -> None:
        self._power("ask the guest to shut down", domain, lambda found: found.shutdown())

    def reboot(self, domain: str) -> None:
        self._power("ask the guest to restart", domain, lambda found: found.reboot())

    def reset(self, domain: str) -> None:
        self._power("reset the domain", domain, lambda found: found.reset())

    def suspend(self, domain: str) -> None:
        def act(found: Any) -> None:
            if _state_of(found) is not DomainState.PAUSED:
                found.suspend()

        self._power("suspend the domain", domain, act)

    def resume(self, domain: str) -> None:
        def act(found: Any) -> None:
            if _state_of(found) is DomainState.PAUSED:
                found.resume()

        self._power("resume the domain", domain, act)

    def set_autostart(self, domain: str, is_on: bool) -> None:
        self._power("set its autostart", domain, lambda found: found.setAutostart(int(is_on)))

    def _power(self, what: str, domain: str, act: Callable[[Any], object]) -> None:
        self.call(what, lambda connection: act(connection.lookupByName(domain)))

    def undefine(self, domain: str) -> None:
        self.if_there("remove the domain", domain, _undefine)

    def state(self, domain: str) -> DomainState:
        answer = self.if_there("ask the domain's state", domain, _state_of)
        return DomainState.ABSENT if answer is None else answer

    def live_interfaces(self, domain: str) -> tuple[LiveInterface, ...]:
        def act(found: Any) -> tuple[LiveInterface, ...]:
            return parse_interfaces(found.XMLDesc()) if found.isActive() else ()

        return self.if_there("read the domain's NICs", domain, act) or ()

    def states(self) -> Mapping[str, DomainState]:
        def act(connection: Any) -> dict[str, DomainState]:
            # one call for all, and none that waits for a domain's lock: a migration or a hung monitor holds nobody up
            wanted, hurry = libvirt.VIR_DOMAIN_STATS_STATE, libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
            return {
                str(domain.name()): STATES.get(facts["state.state"], DomainState.STOPPED)
                for domain, facts in connection.getAllDomainStats(wanted, hurry)
                if "state.state" in facts
            }

        return self.call("list the domains", act)

    def begin_move(self, asked: MoveAsked, to: Hypervisor) -> Move:
        assert isinstance(to, LibvirtHypervisor)
        return LibvirtMove(asked, self, to)

    def disk_sources(self, domain: str) -> tuple[tuple[str, str, bool], ...]:
        def act(found: Any) -> tuple[tuple[str, str, bool], ...]:
            disks = etree.fromstring(found.XMLDesc()).iterfind("devices/disk") if found.isActive() else ()
            return tuple(
                (_attribute(disk, "target", "dev"), _source_of(disk), disk.find("readonly") is not None)
                for disk in disks
            )

        return self.if_there("read the domain's disks", domain, act) or ()

    def capacity(self) -> Capacity:
        def act(connection: Any) -> Capacity:
            facts, number = connection.getInfo(), connection.getLibVersion()
            version = f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
            return Capacity(vcpus=int(facts[2]), ram_mib=int(facts[1]), libvirt_version=version)

        return self.call("read its capacity", act)


def _undefine(found: Any) -> None:
    try:
        found.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA)  # its checkpoints would hold it
    except libvirt.libvirtError as problem:
        if problem.get_error_code() not in (libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_NO_SUPPORT):
            raise
        found.undefine()  # a driver without checkpoints, such as libvirt's own test driver


def _source_of(disk: etree._Element) -> str:
    return _attribute(disk, "source", "file") or _attribute(disk, "source", "dev") or _attribute(disk, "source", "name")


def _state_of(domain: Any) -> DomainState:
    state, _reason = domain.state()
    return STATES.get(state, DomainState.STOPPED)


def parse_interfaces(xml: str) -> tuple[LiveInterface, ...]:
    """The NICs in a live domain's XML: those with an OVS interface id or on a Linux bridge of ours, and those past the switch."""
    root = etree.fromstring(xml)
    default_backend = "vhost-net" if root.get("type") == "kvm" else "qemu"
    nodes = [(node, interface_id_of(node)) for node in root.iterfind("devices/interface")]
    found = [(node, own, None if own else bypass_of(node, {})) for node, own in nodes]
    return tuple(
        LiveInterface(
            interface_id=interface_id,
            tap=_attribute(node, "target", "dev"),
            mac=_attribute(node, "mac", "address").lower(),
            model=_attribute(node, "model", "type"),
            backend=_backend(node, default_backend),
            queues=_number(_attribute(node, "driver", "queues")) or 1,
            ring_size=_number(_attribute(node, "driver", "rx_queue_size")),
            bridge=_attribute(node, "source", "bridge"),
            link=_attribute(node, "link", "state"),
            offloads_off=_offloads_off(node),
            bypass=bypass,
        )
        for node, interface_id, bypass in found
        if interface_id or bypass is not None
    )


def _backend(node: etree._Element, default: str) -> str:
    """Who moves the frames: a vhost-user socket's switch, the kernel's vhost, or QEMU itself (formatdomain: driver name)."""
    if node.get("type") == "vhostuser":
        return "vhost-user"
    named = _attribute(node, "driver", "name")
    return {"vhost": "vhost-net", "qemu": "qemu"}.get(named, default if _is_virtio(node) else "qemu")


def _is_virtio(node: etree._Element) -> bool:
    return _attribute(node, "model", "type").startswith("virtio")


def _offloads_off(node: etree._Element) -> tuple[str, ...]:
    """The offloads that the definition switches off, guest and host alike, by name."""
    off = {
        name
        for part in ("driver/host", "driver/guest")
        for found in node.iterfind(part)
        for name, value in found.attrib.items()
        if value == "off"
    }
    return tuple(sorted(str(name) for name in off))


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _attribute(node: etree._Element, path: str, name: str) -> str:
    found = node.find(path)
    return str(found.get(name, "")) if found is not None else ""
