"""What a host's OVSDB says is there, as values: every bridge, port and interface, ours and foreign.

Discovered, never typed in. Counters are not part of it: they change each second, this changes when somebody plugs.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

TUNNEL_TYPES = ("vxlan", "geneve", "gre", "ip6gre", "erspan", "stt", "lisp", "bareudp", "gtpu", "srv6")
WORKLOAD_DRIVERS = ("tun",)  # what the kernel calls a tap


@dataclass(frozen=True, slots=True)
class InterfaceSeen:
    """One OVS Interface. `ofport` is 0 while it has none; `driver` is the kernel's name for the device (`veth`, `tun`)."""

    name: str
    type: str
    ofport: int
    link: str = ""
    mac: str = ""
    mtu: int = 0
    speed_bps: int = 0
    driver: str = ""
    error: str = ""
    peer: str = ""  # a patch port's other end
    remote_ip: str = ""
    local_ip: str = ""
    iface_id: str = ""  # what libvirt (or Neutron) plugged it for
    vm_id: str = ""  # the libvirt domain's uuid

    @property
    def kind(self) -> str:
        """`patch`, `tunnel`, `internal`, `veth`, `tap`, `vhost-user` or `nic`: what a map draws."""
        if self.type == "patch":
            return "patch"
        if self.type in TUNNEL_TYPES:
            return "tunnel"
        if self.type.startswith("dpdkvhostuser"):
            return "vhost-user"
        if self.type == "internal":
            return "internal"
        if self.vm_id or self.driver in WORKLOAD_DRIVERS:
            return "tap"
        return "veth" if self.driver == "veth" else "nic"


@dataclass(frozen=True, slots=True)
class PortSeen:
    """One OVS Port; several interfaces are a bond."""

    name: str
    interfaces: tuple[InterfaceSeen, ...]
    tag: int | None = None
    trunks: tuple[int, ...] = ()
    bond_mode: str = ""

    @property
    def is_bond(self) -> bool:
        return len(self.interfaces) > 1


@dataclass(frozen=True, slots=True)
class BridgeSeen:
    """One OVS Bridge. `controller` is `connected`, `away` or `none`."""

    name: str
    datapath_type: str
    fail_mode: str
    controller: str
    ports: tuple[PortSeen, ...]


@dataclass(frozen=True, slots=True)
class SwitchSeen:
    """One host's Open vSwitch, bridges and ports by name."""

    ovs_version: str
    bridges: tuple[BridgeSeen, ...]

    @property
    def is_told(self) -> bool:
        """Did the switch tell of its links? OVSDB keeps those in memory alone: after the database was started anew none has
        one, though each has its number, until ovs-vswitchd is back (vswitch.ovsschema, "ephemeral")."""
        plugged = [one for bridge in self.bridges for port in bridge.ports for one in port.interfaces if one.ofport]
        return not plugged or any(one.link for one in plugged)

    def is_said_connected(self, bridge: str) -> bool:
        """Does it say that a controller of that bridge is connected?"""
        return any(one.name == bridge and one.controller == "connected" for one in self.bridges)


def switch_to_json(seen: SwitchSeen) -> dict[str, Any]:
    """JSON types only; `switch_from_json` is the inverse."""
    return asdict(seen)


def switch_from_json(value: dict[str, Any]) -> SwitchSeen:
    """The values that `switch_to_json` made this of. Raises KeyError or TypeError for anything else."""
    return SwitchSeen(value["ovs_version"], tuple(_bridge(bridge) for bridge in value["bridges"]))


def _bridge(value: dict[str, Any]) -> BridgeSeen:
    return BridgeSeen(**{**value, "ports": tuple(_port(port) for port in value["ports"])})


def _port(value: dict[str, Any]) -> PortSeen:
    interfaces = tuple(InterfaceSeen(**interface) for interface in value["interfaces"])
    return PortSeen(**{**value, "interfaces": interfaces, "trunks": tuple(value["trunks"])})
