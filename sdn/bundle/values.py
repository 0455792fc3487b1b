"""A bundle as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sdn.model.bypass import Bypass


@dataclass(frozen=True, slots=True)
class BundleInterface:
    """An OVS Interface with the number that it had on its bridge; None where the bundle does not tell."""

    name: str
    ofport: int | None
    type: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    external_ids: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BundlePort:
    """An OVS Port: its VLANs and its interfaces, several for a bond."""

    name: str
    interfaces: tuple[BundleInterface, ...]
    tag: int | None = None
    trunks: tuple[int, ...] = ()
    vlan_mode: str = ""


@dataclass(frozen=True, slots=True)
class LearnedMac:
    """One entry of a bridge's MAC table."""

    ofport: str  # a number or LOCAL
    vid: int
    mac: str


@dataclass(frozen=True, slots=True)
class BundleBridge:
    """One bridge: its ports, and its tables as lines that `ovs-ofctl add-…` takes."""

    name: str
    ports: tuple[BundlePort, ...] = ()
    flows: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    tlv_map: tuple[str, ...] = ()
    macs: tuple[LearnedMac, ...] = ()


@dataclass(frozen=True, slots=True)
class Guest:
    """A domain's NIC as libvirt's file tells it. `bypass` is what it is where the file names no port of Open vSwitch.

    A PCI device that is passed through whole has no MAC there.
    """

    domain: str
    mac: str
    model: str
    tap: str = ""
    interface_id: str = ""
    bypass: Bypass | None = None
    bridge: str = ""  # the Linux bridge that its tap is in, "" where it is plugged into a switch
