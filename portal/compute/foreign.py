"""What a domain that somebody else defined is made of, as values: read by a worker, kept as JSON, shown before it is adopted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sdn.model.bypass import Bypass

GIB = 1024**3


@dataclass(frozen=True, slots=True)
class ForeignDisk:
    """`size_bytes` is what the guest sees; 0 where libvirt could not tell."""

    target: str
    source: str
    format: str
    bus: str
    device: str = "disk"  # or cdrom, floppy, lun
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ForeignNic:
    """`plugged` is what libvirt plugs it into, in words; `interface_id` is there only for a NIC in br-int itself.

    `bypass` says what it is where no port of Open vSwitch stands for it. A card that is passed through whole has no MAC.
    """

    mac: str
    model: str
    plugged: str
    interface_id: str = ""
    bypass: Bypass | None = None

    @property
    def words(self) -> str:
        """What it is plugged into, or what it is."""
        return self.bypass.label if self.bypass else self.plugged

    @property
    def past(self) -> Bypass:
        """What it is, as far as it is known: rows of an older version tell only what it is plugged into."""
        return self.bypass or Bypass("other", self.plugged)

    @property
    def is_on_switch(self) -> bool:
        """Can it be given a port as it is?"""
        return self.interface_id != ""


@dataclass(frozen=True, slots=True)
class Facts:
    """The domain's size, disks and NICs."""

    vcpus: int
    ram_mib: int
    machine: str
    disks: tuple[ForeignDisk, ...]
    nics: tuple[ForeignNic, ...]

    @property
    def disk_gib(self) -> int:
        """What all its disks hold together, in whole GiB, rounded up."""
        return -(-sum(disk.size_bytes for disk in self.disks if disk.device == "disk") // GIB)


def facts_to_json(facts: Facts) -> dict[str, Any]:
    """JSON types only; `facts_from_json` is the inverse."""
    return asdict(facts)


def facts_from_json(value: Mapping[str, Any]) -> Facts:
    """The facts that `facts_to_json` made this of."""
    disks = tuple(ForeignDisk(**disk) for disk in value["disks"])
    nics = tuple(nic_from_json(nic) for nic in value["nics"])
    return Facts(value["vcpus"], value["ram_mib"], value["machine"], disks, nics)


def nic_from_json(value: Mapping[str, Any]) -> ForeignNic:
    """One NIC of stored facts, or of an adopted VM's."""
    told = value.get("bypass")
    return ForeignNic(**{**value, "bypass": Bypass(**told) if told else None})
