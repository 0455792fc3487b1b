"""A host's OVSDB through ovsdbapp: makes br-int what we need, and tells at once when its ports change.

ovsdbapp keeps one thread per connection; `on_change` is called from it, so it must only hand over.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ovsdbapp.backend.ovs_idl import connection, idlutils
from ovsdbapp.exceptions import TimeoutException
from ovsdbapp.schema.open_vswitch import impl_idl

from sdn.model.addresses import HostName, IfaceId
from sdn.model.intent import HostView
from sdn.model.switch import SwitchSeen
from sdn.transport.openflow import ChannelError
from sdn.transport.switch_seen import COLUMNS as SEEN_COLUMNS
from sdn.transport.switch_seen import read_switch, settled

log = logging.getLogger("hopsight.ovsdb")
BRIDGE = "br-int"
TUNNEL, GENEVE = "vxlan0", "geneve0"
EXTERNAL_BRIDGE = "br-ex"
CABLE, CABLE_FAR_END = "hs-ex", "hs-int"  # the patch ports between br-int and br-ex
TIMEOUT_S = 10
PROTOCOLS = "OpenFlow10,OpenFlow13,OpenFlow14,OpenFlow15"
# What goes up in a second, and what may wait. The switch keeps a queue a port and serves them in turn (pinsched.c), so that
# a guest whose packets go up faster than that loses its own, and no other guest a lease.
SHARES = (("controller_rate_limit", 5_000), ("controller_burst_limit", 2_000))
COLUMNS = {
    "Open_vSwitch": ["bridges", "ovs_version", "external_ids", "cur_cfg", "next_cfg"],
    "Bridge": ["name", "ports", "datapath_id", "datapath_type", "fail_mode", "controller", "protocols", "other_config"],
    "Port": ["name", "interfaces"],
    "Interface": ["name", "type", "options", "ofport", "external_ids", "link_state", "error"],
    "Controller": [
        "target",
        "connection_mode",
        "max_backoff",
        "inactivity_probe",
        "is_connected",
        "controller_rate_limit",
        "controller_burst_limit",
    ],
}


@dataclass(frozen=True, slots=True)
class BridgeFacts:
    """What OVSDB tells of br-int."""

    dpid: int
    ovs_version: str
    view: HostView
    interface_names: dict[IfaceId, str]
    bridges: tuple[str, ...]  # every bridge of the host, ours and foreign, sorted


@contextmanager
def _in_time() -> Iterator[None]:
    """Says in words, the same each time, that ovs-vswitchd did not take up a change: ovsdbapp tells of its own queue."""
    try:
        yield
    except TimeoutException as problem:
        words = f"OVSDB was asked for a change, and ovs-vswitchd did not do it within {TIMEOUT_S} s: does it hang?"
        raise ChannelError(words) from problem


class _Monitor(connection.OvsdbIdl):  # type: ignore[misc]
    """An IDL that says when anything of it changed."""

    on_change: Callable[[], None] | None = None

    def notify(self, event: Any, row: Any, updates: Any = None) -> None:
        super().notify(event, row, updates)
        if self.on_change is not None:
            self.on_change()


class HostDatabase:
    """The connection to one host's OVSDB. Every method blocks: call from a thread."""

    def __init__(self, host: HostName, remote: str, on_change: Callable[[], None]) -> None:
        self.host = host
        idl = _make_idl(remote)
        idl.on_change = on_change
        self._connection = connection.Connection(idl=idl, timeout=TIMEOUT_S)
        # ovsdbapp keeps the connection on the class: one class a host, or all would talk to the first host
        api_class = type("HostApi", (impl_idl.OvsdbIdl,), {"_ovsdb_connection": None})
        self._api = api_class(self._connection)
        self._lock = threading.Lock()

    def close(self) -> None:
        """End the connection's thread."""
        self._connection.stop(timeout=2)

    def ensure_bridge(self, datapath_type: str, underlay_ip: str, controller: str) -> None:
        """br-int with our settings, its controller and the VXLAN port; writes only what differs. Raises ChannelError where
        the switch takes nothing up in time, as the other changes do."""
        with self._lock, _in_time(), self._api.transaction(check_error=True) as txn:
            txn.add(
                self._api.add_br(
                    BRIDGE, may_exist=True, datapath_type=datapath_type if datapath_type != "system" else None
                )
            )
            txn.add(self._api.set_fail_mode(BRIDGE, "secure"))
            columns = [("protocols", PROTOCOLS.split(",")), ("other_config", {"disable-in-band": "true"})]
            txn.add(self._api.db_set("Bridge", BRIDGE, *columns))
            txn.add(self._api.add_port(BRIDGE, TUNNEL, may_exist=True))
            options = {"remote_ip": "flow", "key": "flow", "local_ip": underlay_ip}
            txn.add(self._api.db_set("Interface", TUNNEL, ("type", "vxlan"), ("options", options)))
        with self._lock, _in_time():
            if self._api.get_controller(BRIDGE).execute(check_error=True) != [controller]:
                self._api.set_controller(BRIDGE, [controller]).execute(check_error=True)
            settings = (("connection_mode", "out-of-band"), ("max_backoff", 1000), ("inactivity_probe", 5000), *SHARES)
            rows = self._api.db_get("Bridge", BRIDGE, "controller").execute(check_error=True)
            for uuid in rows if isinstance(rows, list) else [rows]:
                self._api.db_set("Controller", uuid, *settings).execute(check_error=True)

    def ensure_cable(self, wanted: bool) -> None:
        """br-int cabled to br-ex, or not; br-ex itself and its flows are whoever's who made it. Writes only a change."""
        with self._lock:
            bridges = {row.name: row for row in list(self._api.tables["Bridge"].rows.values())}
            there = {port.name for name in (BRIDGE, EXTERNAL_BRIDGE) if name in bridges for port in bridges[name].ports}
            wanted = wanted and EXTERNAL_BRIDGE in bridges
            ends = ((BRIDGE, CABLE, CABLE_FAR_END), (EXTERNAL_BRIDGE, CABLE_FAR_END, CABLE))
            missing = [end for end in ends if wanted and end[1] not in there]
            left = [end for end in ends if not wanted and end[1] in there]
            if not missing and not left:
                return
            with _in_time(), self._api.transaction(check_error=True) as txn:
                for bridge, name, peer in missing:
                    columns = (("type", "patch"), ("options", {"peer": peer}))
                    txn.add(self._api.add_port(bridge, name, may_exist=True))
                    txn.add(self._api.db_set("Interface", name, *columns))
                for bridge, name, _ in left:
                    txn.add(self._api.del_port(name, bridge=bridge, if_exists=True))
            log.info("host=%s cable to %s made=%d removed=%d", self.host, EXTERNAL_BRIDGE, len(missing), len(left))

    def ensure_geneve(self, wanted: bool, underlay_ip: str) -> None:
        """br-int's Geneve port, or none."""
        with self._lock, _in_time(), self._api.transaction(check_error=True) as txn:
            if not wanted:
                txn.add(self._api.del_port(GENEVE, bridge=BRIDGE, if_exists=True))
                return
            options = {"remote_ip": "flow", "key": "flow", "local_ip": underlay_ip}
            txn.add(self._api.add_port(BRIDGE, GENEVE, may_exist=True))
            txn.add(self._api.db_set("Interface", GENEVE, ("type", "geneve"), ("options", options)))

    def observe(self) -> BridgeFacts | None:
        """What br-int is now; None while it is not there."""
        tables = self._api.tables
        known = settled(tables["Bridge"].rows.values())
        bridge = next((row for row in known if row.name == BRIDGE), None)
        if bridge is None or not bridge.datapath_id:
            return None
        ofports: list[tuple[IfaceId, int]] = []
        names: dict[IfaceId, str] = {}
        tunnel = cable = geneve = None
        for port in settled(bridge.ports):
            for interface in settled(port.interfaces):
                number = interface.ofport[0] if interface.ofport else -1
                if number <= 0:
                    continue
                if interface.name == TUNNEL:
                    tunnel = number
                elif interface.name == GENEVE:
                    geneve = number
                elif interface.name == CABLE:
                    cable = number
                elif iface_id := interface.external_ids.get("iface-id"):
                    ofports.append((IfaceId(iface_id), number))
                    names[IfaceId(iface_id)] = interface.name
        version = next((str(row.ovs_version[0]) for row in tables["Open_vSwitch"].rows.values() if row.ovs_version), "")
        view = HostView(self.host, tuple(sorted(ofports)), tunnel, cable, geneve_ofport=geneve)
        bridges = tuple(sorted(str(row.name) for row in known))
        return BridgeFacts(int(bridge.datapath_id[0], 16), version, view, names, bridges)

    def switch_seen(self) -> SwitchSeen | None:
        """Everything that is on the host's Open vSwitch now, ours and foreign; None while nobody can tell: the replica is of
        before, or half filled, until the database is reached again and the switch has told it what it keeps in memory."""
        before = self._reached()
        seen = read_switch(self._api.tables) if before else None
        return seen if seen is not None and seen.is_told and self._reached() == before else None

    def is_behind(self) -> bool:
        """Is something set that the switch has not taken up yet? One that lives does within moments (vswitchd's cur_cfg)."""
        rows = settled(self._api.tables["Open_vSwitch"].rows.values())
        return any(row.next_cfg > row.cur_cfg for row in rows)

    def _reached(self) -> int:
        """Which connection the replica is of, and true; 0 while it is of none. (The IDL has no public word for either.)"""
        idl = self._connection.idl
        is_filled = idl.state == idl.IDL_S_MONITORING and idl._session.is_connected()
        return int(idl._last_seqno) if is_filled and idl._last_seqno == idl._session.get_seqno() else 0


def _make_idl(remote: str) -> _Monitor:
    helper = idlutils.get_schema_helper(remote, "Open_vSwitch")
    for table, ours in COLUMNS.items():
        columns = [*ours, *SEEN_COLUMNS.get(table, ())]
        helper.register_columns(
            table, [column for column in columns if column in helper.schema_json["tables"][table]["columns"]]
        )
    for table in ("QoS", "Queue", "Mirror"):
        helper.register_table(table)
    return _Monitor(remote, helper)
