"""A hypervisor in memory: for tests of what is built on the driver. Failures are asked for by the call's name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lxml import etree

from sdn.bundle.nics import bypass_of
from sdn.model.plug import bridge_name, veth_names
from tasks.hypervisor.driver import (
    CallFailed,
    Capacity,
    DomainState,
    Hypervisor,
    LiveInterface,
    MoveAsked,
    MoveProgress,
    NicFacts,
)
from tasks.hypervisor.fake_backups import FakeBackups
from tasks.hypervisor.fake_layers import disk_in, disks_in, fill_top, others_in
from tasks.hypervisor.fake_storage import FakeStorage, serials_of
from tasks.hypervisor.libvirt_changes import interface_id_of
from tasks.hypervisor.libvirt_look import paths_in


@dataclass
class FakeHypervisor(FakeStorage, FakeBackups):
    """Domains by name. `is_down` refuses every call, `is_deaf` guests hear no ACPI; `on_start` sees the taps that a started domain plugs."""

    running: dict[str, tuple[LiveInterface, ...]] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)
    autostarted: set[str] = field(default_factory=set)
    vcpus: dict[str, int] = field(default_factory=dict)
    grown: dict[str, int] = field(default_factory=dict)
    looks_of_moves: int = 1
    moves_fail: str = ""
    bridges: set[str] = field(default_factory=set)  # the ports that have a Linux bridge
    has_hook: bool = True
    can_open: bool = True  # a domain's disks while it is off
    screens: dict[str, bytes] = field(default_factory=dict)  # what running domains show
    on_start: Callable[[tuple[LiveInterface, ...]], None] | None = None
    facts_of_nics: NicFacts = field(default_factory=NicFacts)

    def define(self, xml: str) -> None:
        self.enter("define")
        self.definitions[_name(xml)] = xml

    def start(self, domain: str) -> None:
        self.enter("start")
        if domain in self.running:
            return
        self.running[domain] = _interfaces(self.definitions[domain])
        self.plugged[domain] = serials_of(self.definitions[domain])
        self._open(domain)
        if self.on_start is not None:
            self.on_start(self.running[domain])

    def open_disks(self, domain: str) -> None:
        self.enter("open_disks")
        if not self.can_open:
            raise CallFailed("could not open the disks of the domain that is off: no memory is left")
        if domain not in self.running:
            self.running[domain] = ()
            self.plugged[domain] = serials_of(self.definitions[domain])
            self._open(domain)
            self.paused.add(domain)

    def open_files(self, domain: str) -> dict[str, str]:
        files = disks_in(self.definitions[domain])
        return {**files, next(iter(files)): self.written[domain], **self.others[domain]}

    def restore_memory(
        self, domain: str, memory_path: str, written: Mapping[str, str], files: Iterable[str] = ()
    ) -> None:
        self.enter("restore_memory")
        assert Path(memory_path).read_text() == "memory"
        self.start(domain)
        for target, path in written.items():
            self.write_to(domain, target, path)

    def destroy(self, domain: str) -> None:
        self.enter("destroy")
        self._off(domain)

    def shutdown(self, domain: str) -> None:
        self.enter("shutdown")
        if not self.is_deaf:
            self._off(domain)

    def reboot(self, domain: str) -> None:
        self.enter("reboot")

    def reset(self, domain: str) -> None:
        self.enter("reset")

    def suspend(self, domain: str) -> None:
        self.enter("suspend")
        self.paused.add(domain)

    def resume(self, domain: str) -> None:
        self.enter("resume")
        self.paused.discard(domain)

    def set_autostart(self, domain: str, is_on: bool) -> None:
        self.enter("set_autostart")
        (self.autostarted.add if is_on else self.autostarted.discard)(domain)

    def undefine(self, domain: str) -> None:
        self.enter("undefine")
        self.checkpoints.pop(domain, None)
        self.definitions.pop(domain, None)

    def definition(self, domain: str) -> str:
        self.enter("definition")
        return self.definitions.get(domain, "")

    def disk_sizes(self, domain: str) -> Mapping[str, int]:
        self.enter("disk_sizes")
        targets = etree.fromstring(self.definitions[domain]).iterfind("devices/disk/target")
        return {str(node.get("dev")): 3 * 1024**3 for node in targets}

    def screenshot(self, domain: str, most_bytes: int) -> bytes:
        self.enter("screenshot")
        if domain not in self.screens or len(self.screens[domain]) > most_bytes:
            raise CallFailed("the fake host could not take a picture of the screen: there is none, or it is too large")
        return self.screens[domain]

    def nic_facts(self) -> NicFacts:
        self.enter("nic_facts")
        return self.facts_of_nics

    def files_in_use(self) -> frozenset[tuple[str, str]]:
        self.enter("files_in_use")
        return frozenset((path, name) for name, xml in self.definitions.items() for path in paths_in(xml))

    def state(self, domain: str) -> DomainState:
        self.enter("state")
        return self._state(domain)

    def live_interfaces(self, domain: str) -> tuple[LiveInterface, ...]:
        self.enter("live_interfaces")
        return self.running.get(domain, ())

    def states(self) -> Mapping[str, DomainState]:
        self.enter("states")
        return {name: self._state(name) for name in {*self.definitions, *self.running}}

    def capacity(self) -> Capacity:
        self.enter("capacity")
        return Capacity(vcpus=8, ram_mib=16384, libvirt_version="9.0.0")

    def begin_move(self, asked: MoveAsked, to: Hypervisor) -> FakeMove:
        self.enter("begin_move")
        assert isinstance(to, FakeHypervisor)
        return FakeMove(asked, self, to)

    def disk_sources(self, domain: str) -> tuple[tuple[str, str, bool], ...]:
        self.enter("disk_sources")
        root = etree.fromstring(self.definitions[domain])
        found = []
        for disk in root.iterfind("devices/disk"):
            target, source = disk.find("target"), disk.find("source")
            if target is not None and source is not None:
                is_readonly = disk.find("readonly") is not None
                found.append((str(target.get("dev")), str(source.get("file")), is_readonly))
        return tuple(found)

    def capabilities(self, kind: str) -> dict[str, list[str]]:
        self.enter("capabilities")
        return {
            "cpu_models": ["host-model", "qemu64"],
            "disk_buses": ["virtio", "scsi", "sata"],
            "machines": ["q35", "pc"],
        }

    def plug_vcpus(self, domain: str, count: int) -> int:
        self.enter("plug_vcpus")
        node = etree.fromstring(self.definitions[domain]).find("vcpu")
        most = int(node.text or 1) if node is not None else 1
        self.vcpus[domain] = max(self.vcpus.get(domain, 1), min(count, most))
        return self.vcpus[domain]

    def grow_disk(self, domain: str, target: str, size_bytes: int) -> None:
        self.enter("grow_disk")
        self.grown[domain] = size_bytes

    def plug_nic(self, domain: str, interface_id: str, xml: str) -> None:
        self.enter("plug_nic")
        if interface_id not in {nic.interface_id for nic in self.running[domain]}:
            (nic,) = _interfaces(f"<domain><devices>{xml}</devices></domain>")
            nic = replace(nic, tap=f"vnet{len(self.running[domain]) + 5}")
            self.running[domain] += (nic,)
            if self.on_start is not None:
                self.on_start((nic,))

    def unplug_nic(self, domain: str, interface_id: str) -> None:
        self.enter("unplug_nic")
        if not self.is_deaf:
            kept = (nic for nic in self.running[domain] if nic.interface_id != interface_id)
            self.running[domain] = tuple(kept)

    def set_link(self, domain: str, interface_id: str, is_up: bool) -> None:
        self.enter("set_link")

    def ensure_bridge(self, port: str) -> None:
        self.enter("ensure_bridge")
        if not self.has_hook:
            raise CallFailed("the Linux bridge was not cabled: install the hook")
        self.bridges.add(port)

    def remove_bridge(self, port: str) -> None:
        self.enter("remove_bridge")
        self.bridges.discard(port)

    def idle_bridges(self) -> tuple[str, ...]:
        self.enter("idle_bridges")
        used = {nic.interface_id for nics in self.running.values() for nic in nics}
        return tuple(sorted(self.bridges - used))

    def bridge_ports(self, port: str) -> tuple[str, ...]:
        self.enter("bridge_ports")
        taps = tuple(nic.tap for nics in self.running.values() for nic in nics if nic.interface_id == port)
        return (veth_names(port)[0], *taps) if port in self.bridges else ()

    def plug_disk(self, domain: str, serial: str, xml: str) -> None:
        super().plug_disk(domain, serial, xml)
        self.others.setdefault(domain, {}).update(disks_in(f"<domain><devices>{xml}</devices></domain>"))

    def _open(self, domain: str) -> None:
        self.written[domain] = disk_in(self.definitions[domain])
        self.others[domain] = others_in(self.definitions[domain])

    def open_moved(self, domain: str) -> None:
        """It has the files open that its definition names."""
        self._open(domain)

    def _off(self, domain: str) -> None:
        self.running.pop(domain, None)
        self.plugged.pop(domain, None)
        self.written.pop(domain, None)
        self.others.pop(domain, None)
        self.paused.discard(domain)

    def _state(self, domain: str) -> DomainState:
        if domain in self.paused:
            return DomainState.PAUSED
        if domain in self.running:
            return DomainState.RUNNING
        return DomainState.STOPPED if domain in self.definitions else DomainState.ABSENT


class FakeMove:
    """A migration that ends at the second look; the first one sees the guest stopped. One that `fails` leaves it here."""

    def __init__(self, asked: MoveAsked, here: FakeHypervisor, there: FakeHypervisor) -> None:
        self._asked, self._here, self._there = asked, here, there
        self._looks = 0
        self._problem = ""

    def wait(self, seconds: float) -> bool:
        self._looks += 1
        if self._looks <= self._here.looks_of_moves:
            return False
        domain = self._asked.domain
        self._problem = self._problem or self._here.moves_fail
        if not self._problem and domain in self._here.running:
            self._carry()
        if not self._problem and domain in self._here.running:
            self._there.definitions[domain] = self._asked.definition
            self._there.open_moved(domain)
            self._there.running[domain] = self._here.running.pop(domain)
            self._there.paused.add(domain)
            self._here.paused.discard(domain)
            self._here.definitions.pop(domain)
            self._there.plugged[domain] = self._here.plugged.pop(domain, set())
        return True

    def _carry(self) -> None:
        """What is on its volumes goes along, into volumes that must be there; what was there stays where nothing comes."""
        was, becomes = (
            _volumes_in(xml) for xml in (self._here.definitions[self._asked.domain], self._asked.definition)
        )
        self._carry_files()
        for target, place in becomes.items():
            if self._there.volume_folder:
                continue  # the files themselves tell
            if place not in self._there.volumes:
                self._problem = f"there is no {'/'.join(place)}"
            elif target in self._asked.copied:
                self._there.contents[place] = self._here.contents.get(was[target], "")

    def _carry_files(self) -> None:
        """As QEMU's mirror: the tops alone, each into an overlay that must be there and lie on what is as this one lies on."""
        open_here = self._here.open_files(self._asked.domain)
        becomes = disks_in(self._asked.definition)
        for target in self._asked.copied:
            if target == next(iter(becomes)) or self._there.volume_folder:
                self._problem = self._problem or fill_top(Path(open_here[target]), Path(becomes[target]))

    @property
    def has_stopped(self) -> bool:
        return self._looks >= self._here.looks_of_moves

    def progress(self) -> MoveProgress | None:
        return MoveProgress(self._looks, self._here.looks_of_moves + 1, 1024**2)

    def abort(self) -> None:
        self._problem = "it was ended"

    def result(self) -> None:
        if self._problem:
            raise CallFailed(f"the host could not migrate the domain: {self._problem}")


def _volumes_in(xml: str) -> dict[str, tuple[str, str]]:
    """(pool, name) of each volume of a definition, by its target."""
    found = {}
    for disk in etree.fromstring(xml).iterfind("devices/disk"):
        source, target = disk.find("source"), disk.find("target")
        if disk.find("serial") is not None and source is not None and target is not None:
            path = Path(str(source.get("file") or source.get("dev")))
            found[str(target.get("dev"))] = (path.parent.name, path.name)
    return found


def _name(xml: str) -> str:
    return etree.fromstring(xml).findtext("name") or ""


def _interfaces(xml: str) -> tuple[LiveInterface, ...]:
    found = []
    for number, node in enumerate(etree.fromstring(xml).iterfind("devices/interface")):
        interface_id, mac, source = interface_id_of(node), node.find("mac"), node.find("source")
        past = None if interface_id else bypass_of(node, {})
        if past is not None and mac is not None:
            found.append(LiveInterface("", "", str(mac.get("address")).lower(), "", "", bypass=past))
        if interface_id and mac is not None:
            model = node.find("model")
            words = str(model.get("type")) if model is not None else "virtio"
            bridge = bridge_name(interface_id) if source is not None and source.get("network") else "br-int"
            plugged = LiveInterface(
                interface_id, f"vnet{number}", str(mac.get("address")), words, "qemu", bridge=bridge
            )
            found.append(plugged)
    return tuple(found)
