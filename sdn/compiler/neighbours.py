"""Neighbour discovery answered on the spot (RFC 4861), as ARP is: a solicitation becomes the advertisement it asks for.

OVS turns the solicitation's source link-layer option into the advertisement's target one (OVS ≥ 2.11: nd_options_type,
nd_reserved). nd_tll may be set only where icmp_type=136 is matched, hence the second pass through the table. A
solicitation without the option (duplicate address detection: RFC 4862, 5.4) has no room for the answer's, and goes to the
controller. Link-local addresses are the guests' own choice: questions for them are flooded, and guests answer.

Datapaths without these fields (the kernel's) take such packets through ovs-vswitchd: neighbour discovery alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sdn.compiler.build import SYSTEM, drop, flow, format_value, goto, load, reg
from sdn.compiler.overlay import LocalPort, Overlay
from sdn.compiler.port_security import NA, NS, RS
from sdn.compiler.responders import BACK, CONTROLLER, PORT_IN_PORT, own_question
from sdn.model.addresses import LINK_LOCAL, eui64
from sdn.model.cookie import Cause, CauseKind
from sdn.model.flow import Flow
from sdn.model.intent import PortIntent
from sdn.pipeline import TABLE_BY_NAME, Register

ROUTER, SOLICITED, OVERRIDE = 1 << 31, 1 << 30, 1 << 29  # RFC 4861, 4.4
SLLA, TLLA, NO_OPTION = "1", "2", "0"
AGAIN = f"resubmit(,{TABLE_BY_NAME['responders'].table_id})"


def system_neighbours() -> Iterator[Flow]:
    """The second pass of an answer, questions that nobody here can answer, and what guests say to each other."""
    answer = {"icmp6": "", "icmp_type": NA, "icmp_code": "0", reg(Register.OUT): format_value(PORT_IN_PORT)}
    fill = ("move:NXM_OF_ETH_SRC[]->NXM_NX_ND_TLL[]", goto("responders", "output"))
    yield flow("responders", 120, SYSTEM, answer, fill)
    asks = {"icmp6": "", "icmp_type": NS, "icmp_code": "0"}
    flood = {**asks, "nd_target": str(LINK_LOCAL)}
    yield flow("responders", 60, SYSTEM, flood, (goto("responders", "router"),))
    yield flow("responders", 50, SYSTEM, {"icmp6": "", "icmp_type": NS}, drop("responders", "no_neighbour"))


def network_neighbours(overlay: Overlay) -> Iterator[Flow]:
    """The gateways as neighbours and to ping, router solicitations and DHCPv6."""
    cause, mark, network = overlay.cause, overlay.mark, overlay.network
    subnets = [subnet for subnet in network.subnets if subnet.cidr.version == 6]
    if not subnets:
        return
    router = str(eui64(LINK_LOCAL, network.router_mac))
    gateways = () if network.is_provider else tuple(str(subnet.gateway) for subnet in subnets)
    for address in (router, *gateways):
        yield nd_answer(cause, mark, address, network.router_mac, ROUTER)
        echo = {**mark, "icmp6": "", "ipv6_dst": address, "icmp_type": "128"}
        yield flow("responders", 100, cause, echo, _echo_answer(address, network.router_mac))
    # A solicitation without the option goes on its way in a provider network: whoever has the address answers.
    for target in (router, *(() if network.is_provider else (str(subnet.cidr) for subnet in subnets))):
        bare = {**_asks(mark, target), "nd_options_type": NO_OPTION}
        yield flow("responders", 95, cause, bare, CONTROLLER)
    yield flow("responders", 100, cause, {**mark, "icmp6": "", "icmp_type": RS}, CONTROLLER)
    yield flow("responders", 100, cause, {**mark, "udp6": "", "tp_src": "546", "tp_dst": "547"}, CONTROLLER)


def remote_neighbours(port: PortIntent, overlay: Overlay) -> Iterator[Flow]:
    """The addresses of a port that is on another host."""
    if any(subnet.cidr.version == 6 for subnet in overlay.network.subnets):
        for address in port.addresses:
            if address.version == 6:
                yield nd_answer(Cause(CauseKind.PORT, port.id), overlay.mark, str(address), port.mac)


def port_neighbours(port: LocalPort, overlay: Overlay) -> Iterator[Flow]:
    """A local port's addresses: for everybody but itself, who must not find its own address taken."""
    for address in port.intent.addresses:
        if address.version == 6:
            own = _asks(port.mark, str(address))
            yield flow("responders", 110, port.cause, own, own_question(overlay))
            yield nd_answer(port.cause, overlay.mark, str(address), port.intent.mac)


def nd_answer(cause: Cause, mark: Mapping[str, str], address: str, mac: str, flags: int = 0) -> Flow:
    """The advertisement (RFC 4861, 7.2.4), made of the solicitation; goes back where it came from."""
    answer = (
        "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]",
        f"set_field:{mac}->eth_src",
        "move:NXM_NX_IPV6_SRC[]->NXM_NX_IPV6_DST[]",
        f"set_field:{address}->ipv6_src",
        f"set_field:{NA}->icmpv6_type",
        f"set_field:{flags | SOLICITED | OVERRIDE}->nd_reserved",
        f"set_field:{TLLA}->nd_options_type",
        load(PORT_IN_PORT, Register.OUT),
        AGAIN,
    )
    return flow("responders", 100, cause, {**_asks(mark, address), "nd_options_type": SLLA}, answer)


def _asks(mark: Mapping[str, str], target: str) -> dict[str, str]:
    return {**mark, "icmp6": "", "icmp_type": NS, "icmp_code": "0", "nd_target": target}


def _echo_answer(address: str, mac: str) -> tuple[str, ...]:
    return (
        "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]",
        f"set_field:{mac}->eth_src",
        "move:NXM_NX_IPV6_SRC[]->NXM_NX_IPV6_DST[]",
        f"set_field:{address}->ipv6_src",
        "set_field:129->icmpv6_type",
        *BACK,
    )
