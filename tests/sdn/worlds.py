"""Small worlds for the network core's tests: hosts, networks and ports as values."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from hypothesis import strategies as st

from sdn.model.addresses import HostName, IfaceId, Mac, Vni
from sdn.model.intent import HostIntent, HostView, IntentSnapshot, NetworkIntent, PortIntent, SubnetIntent
from tests.sdn.world import OPEN

TUNNEL_OFPORT = 1
FIRST_OFPORT = 10


def make_world(hosts: int, networks: int, ports: list[tuple[int, int | None]]) -> IntentSnapshot:
    """A world of `hosts` hosts and `networks` networks; `ports` holds (network, host or None) by index."""
    return IntentSnapshot(
        generation=1,
        hosts=tuple(
            HostIntent(number + 1, HostName(f"hv{number + 1}"), IPv4Address(f"192.0.2.{11 + number}"))
            for number in range(hosts)
        ),
        networks=tuple(_network(number) for number in range(networks)),
        ports=tuple(_port(number, network, host) for number, (network, host) in enumerate(ports)),
        groups=(OPEN,),
    )


def _network(number: int) -> NetworkIntent:
    subnet = SubnetIntent(number + 1, IPv4Network("10.20.0.0/24"), IPv4Address("10.20.0.1"), ())
    mac = Mac(f"52:54:00:ff:00:{number:02x}")
    return NetworkIntent(number + 1, f"net-{number}", Vni(4097 + number), 1450, mac, (subnet,))


def _port(number: int, network: int, host: int | None) -> PortIntent:
    on = HostName(f"hv{host + 1}") if host is not None else None
    mac, address = Mac(f"52:54:00:00:00:{number + 16:02x}"), IPv4Address(f"10.20.0.{number + 10}")
    return PortIntent(
        number + 1, IfaceId(f"port-{number}"), network + 1, on, mac, (address,), f"vm-{number}", (OPEN.id,)
    )


def view_of(world: IntentSnapshot, host: str) -> HostView:
    """The host's switch with every port of the intent plugged."""
    here = [port for port in world.ports if port.host == host]
    ofports = tuple(sorted((port.iface_id, FIRST_OFPORT + port.id) for port in here))
    return HostView(HostName(host), ofports, TUNNEL_OFPORT)


@st.composite
def worlds(draw: st.DrawFn) -> IntentSnapshot:
    """Random small worlds."""
    hosts, networks = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    port = st.tuples(st.integers(0, networks - 1), st.one_of(st.none(), st.integers(0, hosts - 1)))
    return make_world(hosts, networks, draw(st.lists(port, max_size=8)))
