"""From OVSDB's rows (an IDL's replica) to what is there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sdn.model.switch import BridgeSeen, InterfaceSeen, PortSeen, SwitchSeen

# Beside what the controller itself reads; a column that this OVS does not have is left out.
COLUMNS = {
    "Port": ["tag", "trunks", "bond_mode"],
    "Interface": ["mac_in_use", "mtu", "link_speed", "status"],
}


def read_switch(tables: Any) -> SwitchSeen:
    """Everything of one host's replica, sorted by name. The replica may change meanwhile: rows are copied first."""
    version = next((str(row.ovs_version[0]) for row in _rows(tables["Open_vSwitch"]) if row.ovs_version), "")
    bridges = sorted((_bridge(row) for row in _rows(tables["Bridge"])), key=lambda bridge: bridge.name)
    return SwitchSeen(version, tuple(bridges))


def settled(rows: Iterable[Any]) -> list[Any]:
    """The rows that the database has. A replica holds a row that a transaction of ours inserts, or deletes, too until that is
    committed by its own thread, and such a row has no columns to read."""
    return [row for row in list(rows) if row._data is not None and row._changes is not None]


def _rows(table: Any) -> list[Any]:
    return settled(table.rows.values())


def _bridge(row: Any) -> BridgeSeen:
    ports = tuple(sorted((_port(port) for port in settled(row.ports)), key=lambda port: port.name))
    controllers = settled(row.controller)
    connected = any(controller.is_connected for controller in controllers)
    return BridgeSeen(
        name=str(row.name),
        datapath_type=str(row.datapath_type) or "system",
        fail_mode=_first(row, "fail_mode", ""),
        controller="connected" if connected else "away" if controllers else "none",
        ports=ports,
    )


def _port(row: Any) -> PortSeen:
    interfaces = tuple(sorted((_interface(one) for one in settled(row.interfaces)), key=lambda one: one.name))
    tag = _first(row, "tag", None)
    trunks = tuple(sorted(int(vid) for vid in _column(row, "trunks") or ()))
    bond_mode = str(_first(row, "bond_mode", "")) if len(interfaces) > 1 else ""
    return PortSeen(str(row.name), interfaces, None if tag is None else int(tag), trunks, bond_mode)


def _interface(row: Any) -> InterfaceSeen:
    options, outside, status = (dict(_column(row, name) or {}) for name in ("options", "external_ids", "status"))
    ofport = int(_first(row, "ofport", 0))
    return InterfaceSeen(
        name=str(row.name),
        type=str(row.type),
        ofport=ofport if 0 < ofport < 0xFFFE else 0,  # -1: OVS could not make it; 65534: the bridge itself
        link=str(_first(row, "link_state", "")),
        mac=str(_first(row, "mac_in_use", "")),
        mtu=int(_first(row, "mtu", 0)),
        speed_bps=int(_first(row, "link_speed", 0)),
        driver=str(status.get("driver_name", "")),
        error=str(_first(row, "error", "")),
        peer=str(options.get("peer", "")),
        remote_ip=str(options.get("remote_ip", "")),
        local_ip=str(options.get("local_ip", "")),
        iface_id=str(outside.get("iface-id", "")),
        vm_id=str(outside.get("vm-id", "")),
    )


def _column(row: Any, name: str) -> Any:
    return getattr(row, name, None)


def _first(row: Any, name: str, default: Any) -> Any:
    """An optional column's value: OVSDB has it as a list of none or one."""
    value = _column(row, name)
    if isinstance(value, (list, tuple)):
        return value[0] if value else default
    return default if value is None else value
