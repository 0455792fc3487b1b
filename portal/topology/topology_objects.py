"""A host's topology as named objects, and what is other between two of them. Pure.

An object is a name and its fields: "bridge br-int", "port br-int/vxlan0", "member br-ex/bond0/eth1", "domain other". A field
that says nothing (no tag, no peer, no number) is left out, so that none and "" are one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sdn.model.switch import BridgeSeen, InterfaceSeen, PortSeen, SwitchSeen, switch_from_json

SWITCH = "Open vSwitch"
Fields = dict[str, Any]
Objects = dict[str, Fields]
Part = str | BridgeSeen | PortSeen | InterfaceSeen
MEANS_SOMETHING_AT_0 = ("tag",)


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """One object's change. Of an object that stays, the fields that differ; None: it was not there, or is no more.
    `vm_id` and `iface_id` are what it is plugged for, whether they changed or not."""

    name: str
    before: Fields | None
    after: Fields | None
    vm_id: str = ""
    iface_id: str = ""

    @property
    def sign(self) -> str:
        """+ it came, - it went, ~ it changed."""
        return "+" if self.before is None else "-" if self.after is None else "~"


def switch_objects(switch: SwitchSeen | None) -> Objects:
    """Everything that OVSDB told of."""
    return {name: _fields(part) for name, part in _parts(switch).items()}


def domain_objects(domains: Sequence[Mapping[str, Any]]) -> Objects:
    """`HostSeen.foreign_domains` as objects."""
    return {f"domain {one['name']}": {"uuid": one["uuid"], "state": one["state"]} for one in domains}


def read_switch(value: Any) -> SwitchSeen | None:
    """`HostSeen.switch` as a value; None for none, and for what an older or newer Hopsight wrote."""
    try:
        return switch_from_json(value) if value else None
    except (KeyError, TypeError):
        return None


def diff_switches(before: SwitchSeen | None, after: SwitchSeen | None) -> tuple[ObjectChange, ...]:
    """What is other in `after`. Only what differs is made into fields: a host may have thousands of ports."""
    old, new = _parts(before), _parts(after)
    names = [name for name in old.keys() | new.keys() if old.get(name) != new.get(name)]
    before_fields = {name: _fields(old[name]) for name in names if name in old}
    after_fields = {name: _fields(new[name]) for name in names if name in new}
    return tuple(
        _plugged_for(change, after_fields.get(change.name, {}), before_fields.get(change.name, {}))
        for change in diff_objects(before_fields, after_fields)
    )


def diff_objects(before: Objects, after: Objects) -> tuple[ObjectChange, ...]:
    """What is other in `after`, by name."""
    found = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if old is not None and new is not None:
            differ = [field for field in {**old, **new} if old.get(field) != new.get(field)]
            old, new = {field: old.get(field) for field in differ}, {field: new.get(field) for field in differ}
        found.append(ObjectChange(name, old, new))
    return tuple(found)


def undo(objects: Objects, change: ObjectChange) -> None:
    """Make the object what it was before the change. Undoing what is undone already changes nothing."""
    if change.before is None:
        objects.pop(change.name, None)
    elif change.after is None:
        objects[change.name] = dict(change.before)
    else:
        merged = {**objects.get(change.name, {}), **change.before}
        objects[change.name] = {field: value for field, value in merged.items() if value is not None}


def _plugged_for(change: ObjectChange, *fields: Fields) -> ObjectChange:
    """With what the first of them says: what was plugged and is no more had it before."""
    vm_id, iface_id = (next((one[name] for one in fields if name in one), "") for name in ("vm_id", "iface_id"))
    return replace(change, vm_id=vm_id, iface_id=iface_id)


def _parts(switch: SwitchSeen | None) -> dict[str, Part]:
    if switch is None:
        return {}
    found: dict[str, Part] = {SWITCH: switch.ovs_version}
    for bridge in switch.bridges:
        found[f"bridge {bridge.name}"] = BridgeSeen(
            bridge.name, bridge.datapath_type, bridge.fail_mode, bridge.controller, ()
        )
        for port in bridge.ports:
            name = f"{bridge.name}/{port.name}"
            found[f"port {name}"] = port
            if port.is_bond:
                found.update({f"member {name}/{one.name}": one for one in port.interfaces})
    return found


def _fields(part: Part) -> Fields:
    every = _all_fields(part)
    return {
        field: value for field, value in every.items() if value or (value is not None and field in MEANS_SOMETHING_AT_0)
    }


def _all_fields(part: Part) -> Fields:
    if isinstance(part, str):
        return {"version": part}
    if isinstance(part, BridgeSeen):
        return {"datapath": part.datapath_type, "fail_mode": part.fail_mode, "controller": part.controller}
    if isinstance(part, InterfaceSeen):
        return _interface_fields(part)
    own: Fields = {"tag": part.tag, "trunks": list(part.trunks), "bond_mode": part.bond_mode}
    if part.is_bond or not part.interfaces:
        return {"kind": "bond" if part.is_bond else "", **own, "members": [one.name for one in part.interfaces]}
    return _interface_fields(part.interfaces[0]) | own


def _interface_fields(one: InterfaceSeen) -> Fields:
    return {
        "kind": one.kind, "ofport": one.ofport, "link": one.link, "mac": one.mac, "mtu": one.mtu,
        "speed_bps": one.speed_bps, "error": one.error, "peer": one.peer, "remote_ip": one.remote_ip,
        "local_ip": one.local_ip, "iface_id": one.iface_id, "vm_id": one.vm_id,
    }  # fmt: skip
