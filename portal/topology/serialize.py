"""A map as its live topic has it: object → data. One form for the page, the snapshot and the events."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from portal.topology.inventory import ForeignGuest, Guest, HostOnMap, Inventory, NetworkOnMap, RouterOnMap

State = dict[str, dict[str, Any]]


def inventory_as_state(inventory: Inventory) -> State:
    """The state of the inventory's topic. A team's map names no team: all of it is theirs."""
    for_team = inventory.scope.team is not None
    state: State = {f"host:{host.name}": _host(host) for host in inventory.hosts}
    state.update({guest.key: _guest(guest, for_team) for guest in inventory.guests})
    state.update({f"network:{network.uuid}": _network(network, for_team) for network in inventory.networks})
    state.update({f"router:{router.uuid}": _router(router, for_team) for router in inventory.routers})
    state.update({f"foreign:{one.host}/{one.name}": _foreign(one) for one in inventory.foreign})
    state.update({f"namespace:{one.host}/{one.name}": _plain(asdict(one)) for one in inventory.namespaces})
    return state


def _host(host: HostOnMap) -> dict[str, Any]:
    data: dict[str, Any] = _plain(asdict(host))
    return data


def _guest(guest: Guest, for_team: bool) -> dict[str, Any]:
    nics = [
        {
            "uuid": nic.uuid,
            "network": nic.network,
            "mac": nic.mac,
            "tap": nic.tap,
            "ofport": nic.ofport,
            "addresses": list(nic.addresses),
            "floating": list(nic.floating),
        }
        for nic in guest.nics
    ]
    data: dict[str, Any] = {
        "kind": guest.kind,
        "name": guest.name,
        "host": guest.host,
        "state": guest.state,
        "vcpus": guest.vcpus,
        "ram_mib": guest.ram_mib,
        "since": guest.since,
        "nics": nics,
    }
    return data if for_team else data | {"team": guest.team}


def _network(network: NetworkOnMap, for_team: bool) -> dict[str, Any]:
    data: dict[str, Any] = _plain(asdict(network))
    if for_team:
        del data["team"]
    return data


def _router(router: RouterOnMap, for_team: bool) -> dict[str, Any]:
    data: dict[str, Any] = _plain(asdict(router))
    if for_team:
        del data["team"]
    return data


def _foreign(guest: ForeignGuest) -> dict[str, Any]:
    data: dict[str, Any] = _plain(asdict(guest))
    return data


def _plain(value: Any) -> Any:
    """Tuples as lists, so that the state compares equal with what JSON gives back."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
