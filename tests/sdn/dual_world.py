"""The tests' world with both IP families: Payments on two hosts, and an IPv4-only network beside it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

from sdn.model.addresses import Mac
from sdn.model.intent import AddressPair, IntentSnapshot, SubnetIntent
from tests.sdn.world import GATEWAY_MAC, HOSTS, OTHERS, PAYMENTS, PORTS, SNAPSHOT

GATEWAY6, ROUTER_LL = "fd20::1", "fe80::5054:ff:feff:1"
WEB_1_IP6, WEB_2_IP6, DB_1_IP6 = "fd20::11", "fd20::12", "fd20::13"
VIRTUAL_MAC, SHARED4, SHARED6 = Mac("00:00:5e:00:01:01"), "10.20.0.200", "fd20::200"
SUBNET6 = SubnetIntent(33, ip_network("fd20::/64"), ip_address(GATEWAY6), (ip_address("2001:db8::53"),))
DUAL = replace(PAYMENTS, subnets=(*PAYMENTS.subnets, SUBNET6))
_SIX = {"web-1": WEB_1_IP6, "web-2": WEB_2_IP6, "db-1": DB_1_IP6, "off-1": "fd20::14"}
DUAL_PORTS = tuple(
    replace(port, addresses=(*port.addresses, ip_address(_SIX[port.name]))) if port.name in _SIX else port
    for port in PORTS
)
DUAL_SNAPSHOT = IntentSnapshot(7, HOSTS, (DUAL, OTHERS), DUAL_PORTS, SNAPSHOT.groups)


def with_pairs(*names: str) -> IntentSnapshot:
    """The world where the named ports share one address of each family, with their own MAC or the virtual one."""
    shared = (ip_network(SHARED4), ip_network(SHARED6))
    pairs = (*(AddressPair(cidr) for cidr in shared), *(AddressPair(cidr, VIRTUAL_MAC) for cidr in shared))
    ports = tuple(replace(port, pairs=pairs) if port.name in names else port for port in DUAL_PORTS)
    return replace(DUAL_SNAPSHOT, ports=ports)


def unsecured(name: str) -> IntentSnapshot:
    """The world where one port is held to nothing."""
    ports = tuple(replace(port, is_secured=port.name != name) for port in DUAL_PORTS)
    return replace(DUAL_SNAPSHOT, ports=ports)


__all__ = ["GATEWAY_MAC"]
