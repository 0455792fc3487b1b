"""A world with routers for the tests: Payments' router joins two networks and leads outside by hv1.

[web-1]--11--[br-int@hv1]==vni 4097, 4099, router 0x400001==[br-int@hv2]--21--[db-1]
[app-1]--12--/      \\--9--[br-ex]--[inet 198.51.100.1]
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from sdn.model.addresses import HostName, IfaceId, Mac, Vni
from sdn.model.intent import (
    ExternalIntent,
    FloatingIntent,
    HostView,
    IntentSnapshot,
    RouteIntent,
    RouterIntent,
    RouterPortIntent,
)
from tests.sdn.world import EVERY_RULE, HOSTS, HV1, HV2, OPEN, network, port

TUNNEL, CABLE, WEB_1, APP_1, DANA, DB_1 = 1, 9, 11, 12, 13, 21
FRONT_VNI, BACK_VNI, DANA_VNI, ROUTER_VNI = Vni(0x1001), Vni(0x1003), Vni(0x1002), Vni(0x400001)
FRONT_MAC, BACK_MAC = Mac("52:54:00:ff:00:01"), Mac("52:54:00:ff:00:03")
WEB_1_MAC, APP_1_MAC, DB_1_MAC, DANA_MAC = (Mac(f"52:54:00:00:00:{number:02x}") for number in (1, 2, 3, 4))
EXTERNAL_MAC, INET_MAC = Mac("52:54:00:ee:00:01"), Mac("02:00:00:00:00:01")
EXTERNAL_ADDRESS, FLOATING, INET = (IPv4Address(f"198.51.100.{number}") for number in (10, 20, 1))
WEB_1_ADDRESS, APP_1_ADDRESS, DB_1_ADDRESS = (IPv4Address(text) for text in ("10.20.0.11", "10.30.0.12", "10.30.0.13"))
FRONT = replace(network(3, "front", FRONT_VNI, "10.20.0.0/24"), router_mac=FRONT_MAC)
BACK = replace(network(5, "back", BACK_VNI, "10.30.0.0/24"), router_mac=BACK_MAC)
DANAS = network(4, "danas", DANA_VNI, "10.20.0.0/24")
EXTERNAL = ExternalIntent(1, "internet", None, 1500, IPv4Network("198.51.100.0/24"), INET)
ROUTER = RouterIntent(
    1, "payments", ROUTER_VNI, 60001, (RouterPortIntent(3, 3), RouterPortIntent(5, 5)),
    routes=(RouteIntent(IPv4Network("172.16.0.0/16"), DB_1_ADDRESS), RouteIntent(IPv4Network("172.17.0.0/16"), IPv4Address("10.30.0.99"))),
    external_id=1, external_address=EXTERNAL_ADDRESS, external_mac=EXTERNAL_MAC, gateway_host=HV1,
    floating=(FloatingIntent(7, FLOATING, 1, WEB_1_ADDRESS),),
)  # fmt: skip
PORTS = (
    port(1, 3, HV1, WEB_1_MAC, str(WEB_1_ADDRESS), "web-1"),
    port(2, 5, HV1, APP_1_MAC, str(APP_1_ADDRESS), "app-1"),
    port(3, 5, HV2, DB_1_MAC, str(DB_1_ADDRESS), "db-1"),
    port(4, 4, HV1, DANA_MAC, "10.20.0.11", "dana-1"),
)
SNAPSHOT = IntentSnapshot(
    7, HOSTS, (FRONT, DANAS, BACK), PORTS, (OPEN, EVERY_RULE), routers=(ROUTER,), externals=(EXTERNAL,)
)
HV1_VIEW = HostView(
    HV1, ((IfaceId("iface-app-1"), APP_1), (IfaceId("iface-dana-1"), DANA), (IfaceId("iface-web-1"), WEB_1)), TUNNEL,
    CABLE, ((1, INET, INET_MAC),),
)  # fmt: skip
HV2_VIEW = HostView(HostName("hv2"), ((IfaceId("iface-db-1"), DB_1),), TUNNEL, CABLE)
