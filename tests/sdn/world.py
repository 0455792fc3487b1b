"""The world of the network core's tests: Alice's team Payments on two hosts, Dana's network beside it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Network

from sdn.model.addresses import HostName, IfaceId, Mac, Vni
from sdn.model.intent import (
    HostIntent,
    HostView,
    IntentSnapshot,
    NetworkIntent,
    PortIntent,
    RuleIntent,
    SecurityGroupIntent,
    SubnetIntent,
)

HV1, HV2 = HostName("hv1"), HostName("hv2")
TUNNEL, WEB_1, WEB_2, DANA = 1, 11, 12, 21  # ofports on hv1
WEB_1_MAC, WEB_2_MAC, DB_1_MAC, OFF_MAC = (Mac(f"52:54:00:00:00:{number:02x}") for number in (1, 2, 3, 4))
GATEWAY_MAC = Mac("52:54:00:ff:00:01")
VNI, OTHER_VNI = Vni(0x1001), Vni(0x1002)
EVERY_RULE = SecurityGroupIntent(
    2,
    "every sort of rule",
    (
        RuleIntent(20, "ingress", 4, "tcp", (1000, 2000), IPv4Network("10.0.0.0/9")),
        RuleIntent(21, "egress", 4, "sctp", (5, 5), group_id=2),
        RuleIntent(22, "ingress", 6, "udp", (0, 99), IPv6Network("fd00::/64")),
        RuleIntent(23, "egress", 6, "icmp", (128, 0), IPv6Network("fd00::1/128")),
        RuleIntent(24, "ingress", 6, "sctp", (0, 65535)),
        RuleIntent(25, "ingress", 4, "icmp", (8, -1)),
    ),
)
OPEN = SecurityGroupIntent(
    1,
    "open",
    tuple(
        RuleIntent(number, direction, family, "any")
        for number, (direction, family) in enumerate(
            (("ingress", 4), ("egress", 4), ("ingress", 6), ("egress", 6)), start=1
        )
    ),
)


def network(row_id: int, name: str, vni: Vni, cidr: str) -> NetworkIntent:
    """A network with one subnet, whose first address is the gateway."""
    block = IPv4Network(cidr)
    subnet = SubnetIntent(row_id, block, block[1], (IPv4Address("1.1.1.1"), IPv4Address("9.9.9.9")))
    return NetworkIntent(row_id, name, vni, 1450, GATEWAY_MAC, (subnet,))


def port(row_id: int, network_id: int, host: HostName | None, mac: Mac, address: str, name: str) -> PortIntent:
    """A port with one address, in the group that allows everything; its iface-id is `iface-<name>`."""
    iface_id = IfaceId(f"iface-{name}")
    return PortIntent(
        row_id, iface_id, network_id, host, mac, (IPv4Address(address),), name, groups=(OPEN.id, EVERY_RULE.id)
    )


HOSTS = (HostIntent(1, HV1, IPv4Address("192.0.2.11")), HostIntent(2, HV2, IPv4Address("192.0.2.12")))
PAYMENTS = network(3, "payments", VNI, "10.20.0.0/24")
OTHERS = network(4, "others", OTHER_VNI, "10.20.0.0/24")  # the same addresses, on purpose
PORTS = (
    port(1, 3, HV1, WEB_1_MAC, "10.20.0.11", "web-1"),
    port(2, 3, HV1, WEB_2_MAC, "10.20.0.12", "web-2"),
    port(3, 3, HV2, DB_1_MAC, "10.20.0.13", "db-1"),
    port(4, 3, None, OFF_MAC, "10.20.0.14", "off-1"),
    port(5, 4, HV1, Mac("52:54:00:00:00:05"), "10.20.0.11", "dana-1"),
)
SNAPSHOT = IntentSnapshot(7, HOSTS, (PAYMENTS, OTHERS), PORTS, (OPEN, EVERY_RULE))
VIEW = HostView(
    HV1, ((IfaceId("iface-dana-1"), DANA), (IfaceId("iface-web-1"), WEB_1), (IfaceId("iface-web-2"), WEB_2)), TUNNEL
)
EMPTY = IntentSnapshot(8, HOSTS, (), ())
