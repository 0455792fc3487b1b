"""What a host's lldpd told last, as its row has it and as a value. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from sdn.linux.lldp import Neighbour
from sdn.transport.lldpd import LldpSeen

NOT_LOOKED = LldpSeen("")
NEIGHBOUR = "neighbour"  # an object's kind in the topology's history
LISTS = ("vlans", "addresses")


def lldp_to_json(seen: LldpSeen) -> dict[str, Any]:
    """`HostSeen.lldp`, as JSON gives it back."""
    told = [{**asdict(one), **{name: list(getattr(one, name)) for name in LISTS}} for one in seen.neighbours]
    return {"state": seen.state, "problem": seen.problem, "neighbours": told}


def lldp_from_json(value: Mapping[str, Any] | None) -> LldpSeen:
    """`HostSeen.lldp` as a value; what nobody looked at yet, or another Hopsight wrote, is not known."""
    try:
        return _read(value) if value else NOT_LOOKED
    except (KeyError, TypeError, AttributeError):
        return NOT_LOOKED


def neighbour_objects(value: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """The neighbours as objects of the topology's history; fields that say nothing are left out."""
    found: dict[str, dict[str, Any]] = {}
    for one in lldp_from_json(value).neighbours:
        told = {
            "description": one.description,
            "vlan": one.vlan,
            "vlans": list(one.vlans),
            "addresses": list(one.addresses),
        }
        name = f"{NEIGHBOUR} {one.nic}/{one.system or one.chassis}/{one.port}"
        found[name] = {field: value for field, value in told.items() if value} | {"chassis": one.chassis}
    return found


def _read(value: Mapping[str, Any]) -> LldpSeen:
    return LldpSeen(value["state"], value["problem"], tuple(_neighbour(one) for one in value["neighbours"]))


def _neighbour(told: Mapping[str, Any]) -> Neighbour:
    known = {one.name: told[one.name] for one in fields(Neighbour) if one.name in told}
    values: dict[str, Any] = {name: tuple(value) if name in LISTS else value for name, value in known.items()}
    return Neighbour(**values)
