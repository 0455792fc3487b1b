"""What the sagas and the collector need of a hypervisor, and the errors they may meet.

Every call blocks, has a deadline and raises HypervisorError with words for people. "Not there" is a normal answer:
`state` gives ABSENT, and destroying or undefining what is absent does nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from portal.volumes.reach import Lun, Reach
from sdn.model.bypass import Bypass
from sdn.model.plug import bridge_name, veth_names

CALL_DEADLINE_S = 20.0


class HypervisorError(Exception):
    """A host did not do what was asked.

    HypervisorError
    ├── HostUnreachable   no connection: nothing was changed
    ├── HostBusy          no answer by the deadline: the change may still happen
    └── CallFailed        libvirt refused, in its words
        └── CheckpointLost    it does not know (any more) what was written since
    """


class HostUnreachable(HypervisorError):
    pass


class HostBusy(HypervisorError):
    pass


class CallFailed(HypervisorError):
    pass


class CheckpointLost(CallFailed):
    pass


class DomainState(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    CRASHED = "crashed"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class LiveInterface:
    """One NIC of a running domain, as the live XML has it. `interface_id` is the OVS iface-id (our Port's uuid).

    A NIC that no port of Open vSwitch stands for has none; it is known by its MAC, and `bypass` says what it is.
    """

    interface_id: str
    tap: str
    mac: str
    model: str
    backend: str
    queues: int = 1
    ring_size: int = 0  # of the receive ring, 0: the device's own default
    bridge: str = ""
    link: str = ""  # what the definition asks of the link: "up" or "down"
    offloads_off: tuple[str, ...] = ()
    bypass: Bypass | None = None

    @property
    def switch_port(self) -> str:
        """Its port of br-int: the tap, or the veth pair's end where the tap is on a Linux bridge."""
        return veth_names(self.interface_id)[1] if self.is_bridged else self.tap

    @property
    def is_bridged(self) -> bool:
        return self.bridge == bridge_name(self.interface_id)


@dataclass(frozen=True, slots=True)
class NicFacts:
    """What tells a domain's NICs from one another: the forward modes of libvirt's networks by name, and the PCI addresses
    of the host's network cards (None: it lists no devices)."""

    networks: Mapping[str, str] = field(default_factory=dict)
    cards: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Capacity:
    vcpus: int
    ram_mib: int
    libvirt_version: str


@dataclass(frozen=True, slots=True)
class PoolSeen:
    """One storage pool of a host. `kind` is libvirt's pool type, `target` its folder or its source's name; `source` is where
    its content lies, of one that lies on the network: pools of one source are the same storage. `reach` is how QEMU gets there
    by itself, `luns` what a pool has that makes no volumes."""

    name: str
    kind: str
    target: str
    capacity_bytes: int
    available_bytes: int
    is_active: bool
    source: str = ""
    reach: Reach | None = None
    luns: tuple[Lun, ...] = ()


@dataclass(frozen=True, slots=True)
class VolumeSeen:
    """One volume in a pool. `path` is as of `make_volume`; `size_bytes` is what it takes there; `changed_at` is in seconds, 0 where the pool cannot tell."""

    name: str
    path: str
    size_bytes: int
    changed_at: float = 0.0


@dataclass(frozen=True, slots=True)
class VolumeAsked:
    """A volume to make in a pool; empty, or with the content of another one of the pool (`copy_of`, its name)."""

    pool: str
    name: str
    disk_format: str  # "qcow2" or "raw"
    size_bytes: int
    copy_of: str = ""


COPIES = "hopsight-copy-"  # so begin the names of domains that only copy one volume into another


@dataclass(frozen=True, slots=True)
class CopyProgress:
    """How far a copy is. It has ended well if it `has_ended` without a `problem`."""

    done_bytes: int = 0
    total_bytes: int = 0
    has_ended: bool = False
    problem: str = ""

    @property
    def words(self) -> str:
        percent = 100 * self.done_bytes / self.total_bytes if self.total_bytes else 0
        return f"{percent:.0f}% of {self.total_bytes / 1024**2:.0f} MiB"


@dataclass(frozen=True, slots=True)
class PourAsked:
    """A volume that is to hold what another one of the host holds, whatever their pools and formats: each (pool, name), and
    its disk's XML. `name` is the copy's, for those who look at it later."""

    name: str
    of: tuple[str, str]
    into: tuple[str, str]
    source: str
    target: str


class Storage(Protocol):
    """What one host's libvirt keeps volumes in, and the disks of its running domains."""

    def pools(self) -> tuple[PoolSeen, ...]:
        """Every storage pool that libvirt knows there."""

    def ensure_pool(self, name: str, folder: str) -> None:
        """A folder as a pool that is active; it starts with its host."""

    def refresh_pool(self, name: str) -> None:
        """Have libvirt look anew at what is in a pool, and how much room is left; one on the network that starts by itself,
        and was stopped because its server was away, is started again."""

    def pool_volumes(self, pool: str) -> tuple[VolumeSeen, ...]:
        """What is in a pool, as its last refresh saw it; nothing in one that is not active."""

    def files_in_use(self) -> frozenset[tuple[str, str]]:
        """(path, domain whose definition or running guest names it), for every domain of the host, ours or not; for what
        QEMU itself has on the network, its name there."""

    def make_volume(self, asked: VolumeAsked) -> str:
        """By what domains name the volume, its path mostly; one that is there, as each LUN is, is left alone."""

    def fill_volume(self, pool: str, name: str, path: str) -> None:
        """A volume that no guest has holds the bytes of that file of the worker's, in the format of its pool."""

    def copy_volume(self, volume: tuple[str, str], to: Storage, into: tuple[str, str]) -> None:
        """A volume of another host, made for it, holds the bytes of one that no guest has; both are (pool, name)."""

    def begin_pour(self, asked: PourAsked) -> None:
        """Begin to fill a volume that is there, large enough, with what another holds, that no guest has: all that it has is as
        the other, what it has beyond that is not touched. What was begun before under that name has ended. A worker that dies
        leaves nothing under way."""

    def pour_progress(self, name: str) -> CopyProgress:
        """How far that is; once it has ended well, all of it is written."""

    def end_pour(self, name: str) -> None:
        """Nothing is under way by that name, and neither volume is open."""

    def remove_volume(self, pool: str, name: str) -> None:
        """The volume is gone; what is absent is no matter. A LUN stays, and all of it is zeros."""

    def grow_volume(self, pool: str, name: str, size_bytes: int) -> None:
        """Make a volume larger that no running guest has; one that is as large is left alone."""

    def volume_bytes(self, pool: str, name: str) -> int:
        """The size of a volume as its file or device has it now, in bytes."""

    def live_disks(self, domain: str) -> frozenset[str]:
        """The serials of a running domain's disks."""

    def plug_disk(self, domain: str, serial: str, xml: str) -> None:
        """Plug a disk into a running domain; one of that serial that is there is left alone."""

    def unplug_disk(self, domain: str, serial: str) -> None:
        """Ask a running guest to let go of a disk: it is gone when `live_disks` no longer has it."""


class Layers(Protocol):
    """The layers of a running domain's disks, each a file that lies on the next. `written` is target → file."""

    def live_layers(self, domain: str, target: str) -> tuple[str, ...]:
        """Their paths, the one that is written first; none for a domain that is off."""

    def take_snapshot(self, domain: str, written: Mapping[str, str], memory_path: str = "") -> None:
        """From now on these new layers are written, all from the same moment or none; with a `memory_path`, the memory of
        that moment is kept there."""

    def commit_layer(self, domain: str, target: str, base: str, top: str) -> None:
        """What is in `top` is in `base`, on which it lies, and the guest has `top` no more; one that it has not is left alone."""

    def restore_memory(
        self, domain: str, memory_path: str, written: Mapping[str, str], files: Iterable[str] = ()
    ) -> None:
        """Go on from a memory that was kept, with these files as the disks; a running domain is left alone. `files` are what
        else the domain has, which may have been kept on another host: what it calls by these names lies here now."""


@dataclass(frozen=True, slots=True)
class DiskCopy:
    """One disk of a domain, to be copied to a new file; with `since`, an earlier checkpoint, only what was written after
    that. What is written from now on is noted if `is_noted`."""

    target: str
    path: str
    since: str = ""
    is_noted: bool = True


@dataclass(frozen=True, slots=True)
class CopyAsked:
    """Disks of a domain to be copied as they are now, all at one moment, which is called `checkpoint`."""

    domain: str
    checkpoint: str
    disks: tuple[DiskCopy, ...]


class Checkpoints(Protocol):
    """Copies of a domain's disks, and the checkpoints that make the next one small."""

    def open_disks(self, domain: str) -> None:
        """A domain that is off is there, paused: with its disks, no NIC and no console. Its guest runs nothing, and
        `destroy` ends it. One that is not off is left alone."""

    def begin_copy(self, asked: CopyAsked) -> None:
        """Begin. Raises CheckpointLost when it cannot be told what was written since that moment."""

    def copy_progress(self, domain: str) -> CopyProgress:
        """How far the copy is that was begun last."""

    def drop_copy(self, domain: str, checkpoint: str) -> None:
        """No copy is under way, and there is no such checkpoint: what it noted is with the one before it."""

    def keep_checkpoint(self, domain: str, checkpoint: str) -> None:
        """Of ours the domain has this checkpoint and no other; none, with no name."""


@dataclass(frozen=True, slots=True)
class MoveAsked:
    """A running domain to be moved. `paths` are the files of here as they are called there, `volumes` the XML of disks as
    they are there, by serial; `copied` are the disks whose content goes along (none: the storage is shared); `definition`
    is what libvirt keeps there."""

    domain: str
    address: str  # where the other host's libvirt listens for it
    paths: Mapping[str, str]
    copied: tuple[str, ...]
    definition: str
    stops_first: bool = False  # the guest is stopped before its memory is copied, not after
    volumes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MoveProgress:
    """How far a migration is; bytes of memory and disks together."""

    done_bytes: int
    total_bytes: int
    rate_bps: int

    @property
    def words(self) -> str:
        percent = 100 * self.done_bytes / self.total_bytes if self.total_bytes else 0
        return f"{percent:.0f}% of {self.total_bytes / 1024**2:.0f} MiB, {self.rate_bps / 1024**2:.0f} MiB/s"


class Move(Protocol):
    """A migration that was begun. It ends paused on the other host: whoever asked lets it run there."""

    def wait(self, seconds: float) -> bool:
        """Until it ends, stops its guest here, or so long; whether it has ended."""

    @property
    def has_stopped(self) -> bool:
        """The guest runs no longer here, and not yet there."""

    def progress(self) -> MoveProgress | None:
        """How far it is, if it can be told."""

    def abort(self) -> None:
        """Ask it to end; the guest runs on here."""

    def result(self) -> None:
        """Once it has ended: raises HypervisorError when it failed, the guest then being here."""


class Hypervisor(Storage, Layers, Checkpoints, Protocol):
    """One host's libvirt."""

    def define(self, xml: str) -> None:
        """Keep the domain's definition; the same definition twice is one."""

    def start(self, domain: str) -> None:
        """Power on; a running domain is left alone."""

    def destroy(self, domain: str) -> None:
        """Power off at once."""

    def shutdown(self, domain: str) -> None:
        """Press the power button (ACPI): the guest may take its time or not listen."""

    def reboot(self, domain: str) -> None:
        """Ask the guest to restart (ACPI)."""

    def reset(self, domain: str) -> None:
        """Press the reset button: the guest is not asked."""

    def suspend(self, domain: str) -> None:
        """Stop its vCPUs, its memory stays; a paused domain is left alone."""

    def resume(self, domain: str) -> None:
        """Let its vCPUs run on; a running domain is left alone."""

    def set_autostart(self, domain: str, is_on: bool) -> None:
        """Whether it starts with its host."""

    def undefine(self, domain: str) -> None:
        """Forget the definition."""

    def definition(self, domain: str) -> str:
        """The XML that libvirt keeps of a domain, as it would start next; nothing where it is absent."""

    def disk_sizes(self, domain: str) -> Mapping[str, int]:
        """Target → bytes that the guest sees, of the disks that libvirt can tell it of."""

    def nic_facts(self) -> NicFacts:
        """What the host's networks and cards are, as far as libvirt tells."""

    def state(self, domain: str) -> DomainState:
        """The domain's state now."""

    def screenshot(self, domain: str, most_bytes: int) -> bytes:
        """What a running domain's screen shows, as PNG or PPM; CallFailed where it has none or shows more than that."""

    def live_interfaces(self, domain: str) -> tuple[LiveInterface, ...]:
        """The NICs of a running domain."""

    def states(self) -> Mapping[str, DomainState]:
        """The state of every domain of the host, by name."""

    def capacity(self) -> Capacity:
        """What the host has."""

    def begin_move(self, asked: MoveAsked, to: Hypervisor) -> Move:
        """Begin to migrate a running domain to another host."""

    def disk_sources(self, domain: str) -> tuple[tuple[str, str, bool], ...]:
        """The disks of a running domain: target, source, whether it is read only."""

    def capabilities(self, kind: str) -> dict[str, list[str]]:
        """What guests of that kind ("kvm" or "qemu") may be given: `cpu_models`, `disk_buses`, `machines`."""

    def plug_vcpus(self, domain: str, count: int) -> int:
        """Give a running guest so many vCPUs if its definition leaves room for them; how many it then has."""

    def grow_disk(self, domain: str, target: str, size_bytes: int) -> None:
        """Tell a running guest that its disk is larger, and make it so; a disk that is as large is left alone."""

    def plug_nic(self, domain: str, interface_id: str, xml: str) -> None:
        """Plug a NIC into a running domain; one that is there is left alone."""

    def unplug_nic(self, domain: str, interface_id: str) -> None:
        """Ask a running guest to let go of a NIC: it is gone when `live_interfaces` no longer has it."""

    def ensure_bridge(self, port: str) -> None:
        """The Linux bridge of a port (its uuid), cabled to br-int; CallFailed where the host lacks the hook."""

    def remove_bridge(self, port: str) -> None:
        """No such bridge, and no cable."""

    def idle_bridges(self) -> tuple[str, ...]:
        """The ports that have a Linux bridge which no running domain uses."""

    def bridge_ports(self, port: str) -> tuple[str, ...]:
        """What is plugged into a port's Linux bridge, by name, its tap perhaps left out; nothing where it is not there."""

    def set_link(self, domain: str, interface_id: str, is_up: bool) -> None:
        """Plug or pull the cable of a running guest's NIC, so that it asks for its address again."""
