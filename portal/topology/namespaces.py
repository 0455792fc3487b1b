"""A host's network namespaces, as its row has them, as values, and as the map shows them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sdn.linux.namespaces import Namespace, NamespacesSeen, SpaceInterface
from sdn.model.switch import SwitchSeen

NOT_LOOKED = NamespacesSeen()
NAMESPACE, INTERFACE = "namespace", "interface"  # objects' kinds in the topology's history


@dataclass(frozen=True, slots=True)
class NamespaceOnMap:
    """A namespace of a host. `taps` are the ports of br-int that are drawn with it: those of its cables that are no guest's."""

    host: str
    name: str
    process: str
    interfaces: tuple[SpaceInterface, ...]
    taps: tuple[str, ...]

    @property
    def is_cabled(self) -> bool:
        """Does something of the host's lead into it?"""
        return any(one.port for one in self.interfaces)


def namespaces_to_json(seen: NamespacesSeen) -> dict[str, Any]:
    """`HostSeen.namespaces`, as JSON gives it back."""
    told = [
        {**asdict(one), "interfaces": [{**asdict(each), "addresses": list(each.addresses)} for each in one.interfaces]}
        for one in seen.namespaces
    ]
    return {"state": seen.state, "problem": seen.problem, "namespaces": told}


def namespaces_from_json(value: Mapping[str, Any] | None) -> NamespacesSeen:
    """`HostSeen.namespaces` as a value; what nobody looked at yet, or another Hopsight wrote, is not known."""
    try:
        return _read(value) if value else NOT_LOOKED
    except (KeyError, TypeError, AttributeError):
        return NOT_LOOKED


def namespace_objects(value: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Namespaces and what is in them as objects of the topology's history; fields that say nothing are left out."""
    found: dict[str, dict[str, Any]] = {}
    for space in namespaces_from_json(value).namespaces:
        found[f"{NAMESPACE} {space.name}"] = {"process": space.process} if space.process else {}
        for one in space.interfaces:
            told = {**asdict(one), "addresses": list(one.addresses)}
            del told["name"]
            found[f"{INTERFACE} {space.name}/{one.name}"] = {field: value for field, value in told.items() if value}
    return found


def on_map(
    host: str, seen: NamespacesSeen, switch: SwitchSeen | None, bridge: str, guests_ports: Collection[str]
) -> tuple[NamespaceOnMap, ...]:
    """The host's namespaces. `bridge` is the one that guests are plugged into, `guests_ports` those of its ports that are a guest's."""
    own = {
        one.name
        for each in (switch.bridges if switch else ())
        if each.name == bridge
        for port in each.ports
        for one in port.interfaces
    }
    return tuple(
        NamespaceOnMap(
            host, space.name, space.process, space.interfaces,
            tuple(one.port for one in space.interfaces if one.port in own and one.port not in guests_ports),
        )
        for space in seen.namespaces
    )  # fmt: skip


def leads_to(spaces: Collection[NamespaceOnMap]) -> dict[tuple[str, str], str]:
    """(host, port) → where its cable leads: "namespace blue, eth0 10.0.0.5/24"."""
    return {
        (space.host, one.port): f"namespace {space.name}, {' '.join((one.name, *one.addresses))}"
        for space in spaces
        for one in space.interfaces
        if one.port
    }


def _read(value: Mapping[str, Any]) -> NamespacesSeen:
    return NamespacesSeen(value["state"], value["problem"], tuple(_namespace(one) for one in value["namespaces"]))


def _namespace(told: Mapping[str, Any]) -> Namespace:
    interfaces = tuple(SpaceInterface(**{**one, "addresses": tuple(one["addresses"])}) for one in told["interfaces"])
    return Namespace(told["name"], told["process"], interfaces)
