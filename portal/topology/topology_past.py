"""A host's named objects (topology_objects) back as what a map is made of: its switch, domains, neighbours, namespaces. Pure.

What the history does not keep of an interface (which tunnel it is exactly, its driver) is put as what draws the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from portal.topology.namespaces import INTERFACE, NAMESPACE
from portal.topology.neighbours import NEIGHBOUR
from portal.topology.topology_objects import SWITCH, Fields, Objects
from sdn.linux.lldp import Neighbour
from sdn.linux.namespaces import Namespace, SpaceInterface
from sdn.model.switch import BridgeSeen, InterfaceSeen, PortSeen, SwitchSeen

DRAWN_AS = {
    "patch": ("patch", ""), "tunnel": ("vxlan", ""), "vhost-user": ("dpdkvhostuserclient", ""),
    "internal": ("internal", ""), "tap": ("", "tun"), "veth": ("", "veth"),
}  # fmt: skip
OF_INTERFACE = (
    "ofport",
    "link",
    "mac",
    "mtu",
    "speed_bps",
    "error",
    "peer",
    "remote_ip",
    "local_ip",
    "iface_id",
    "vm_id",
)


def switch_of(objects: Objects) -> SwitchSeen | None:
    """The switch whose objects these are (`switch_objects` is the inverse); None where there was none."""
    if SWITCH not in objects:
        return None
    members: dict[str, list[InterfaceSeen]] = defaultdict(list)
    for place, fields in _of_kind(objects, "member"):
        port, _, name = place.rpartition("/")
        members[port].append(_interface(name, fields))
    ports: dict[str, list[PortSeen]] = defaultdict(list)
    for place, fields in _of_kind(objects, "port"):
        bridge, _, name = place.partition("/")
        ports[bridge].append(_port(name, fields, members[place]))
    bridges = (
        BridgeSeen(name, fields.get("datapath", ""), fields.get("fail_mode", ""), fields.get("controller", ""), tuple(ports[name]))
        for name, fields in _of_kind(objects, "bridge")
    )  # fmt: skip
    return SwitchSeen(objects[SWITCH].get("version", ""), tuple(bridges))


def domains_of(objects: Objects) -> list[dict[str, str]]:
    """As `HostSeen.foreign_domains` has them."""
    return [{"name": name, "uuid": fields.get("uuid", ""), "state": fields.get("state", "")} for name, fields in _of_kind(objects, "domain")]  # fmt: skip


def neighbours_of(objects: Objects) -> tuple[Neighbour, ...]:
    """The LLDP neighbours."""
    found = []
    for place, fields in _of_kind(objects, NEIGHBOUR):
        nic, _, rest = place.partition("/")
        system, _, port = rest.partition("/")  # "tor-1/Eth1/7": ports have slashes, systems none
        chassis = fields.get("chassis", "")
        told = {name: tuple(fields.get(name, ())) for name in ("vlans", "addresses")}
        own = "" if system == chassis else system
        found.append(
            Neighbour(nic, "LLDP", own, chassis, port, fields.get("description", ""), fields.get("vlan", 0), **told)
        )
    return tuple(found)


def namespaces_of(objects: Objects) -> tuple[Namespace, ...]:
    """The network namespaces, each with what is in it."""
    inside: dict[str, list[SpaceInterface]] = defaultdict(list)
    for place, fields in _of_kind(objects, INTERFACE):
        space, _, name = place.rpartition("/")
        inside[space].append(SpaceInterface(name, **{**fields, "addresses": tuple(fields.get("addresses", ()))}))
    spaces = _of_kind(objects, NAMESPACE)
    return tuple(Namespace(name, fields.get("process", ""), tuple(inside[name])) for name, fields in spaces)


def _of_kind(objects: Objects, kind: str) -> Iterator[tuple[str, Fields]]:
    """What stands behind the kind in the name, and its fields, by name."""
    for name in sorted(objects):
        if name.startswith(f"{kind} "):
            yield name.removeprefix(f"{kind} "), objects[name]


def _port(name: str, fields: Fields, members: list[InterfaceSeen]) -> PortSeen:
    is_one = fields.get("kind") != "bond"
    interfaces = (_interface(name, fields),) if is_one else tuple(members)
    return PortSeen(name, interfaces, fields.get("tag"), tuple(fields.get("trunks", ())), fields.get("bond_mode", ""))


def _interface(name: str, fields: Fields) -> InterfaceSeen:
    type_, driver = DRAWN_AS.get(fields.get("kind", ""), ("", ""))
    known: dict[str, Any] = {field: fields[field] for field in OF_INTERFACE if field in fields}
    return InterfaceSeen(name, type_, driver=driver, **({"ofport": 0} | known))
