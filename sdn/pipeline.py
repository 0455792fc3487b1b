"""The pipeline of `br-int`, declared once as data.

The compiler, the tracer, the flow browser's legend, the docs and the tests read this module and nothing else to learn
which tables exist, what they are for, where a packet may go next, what each register means and why packets are dropped.

Rules
1. A packet moves only along `next`: the compiler asserts the edge, the tests walk the compiled flows.
2. A packet is dropped only by going to `DROP`, with the reason in `Register.DROP_REASON` and the table it came from in
   `Register.DROP_TABLE`; each reason has its own flow there, hence its own counter. A table's miss flow goes there too.
3. `Register.FLAGS` bit 0 marks a probe from injection to output. Output of a marked packet goes to the controller.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


@dataclass(frozen=True, slots=True)
class Table:
    """One OpenFlow table of br-int: `next` names the tables that a packet may go to from here."""

    table_id: int
    name: str
    purpose: str
    next: tuple[str, ...]


TABLES: tuple[Table, ...] = (
    Table(
        0,
        "classify",
        "Which port or tunnel did it come from, and so which network",
        ("port_security", "l2_lookup", "nat", "external_in", "mirror", "drop"),
    ),
    Table(
        10,
        "port_security",
        "Is the sender who it says it is: MAC, IPv4, IPv6, ARP, ND",
        ("nd_security", "conntrack_egress", "responders", "drop"),
    ),
    Table(
        12,
        "nd_security",
        "IPv6 of a true sender: is what it claims in neighbour discovery its own",
        ("conntrack_egress", "responders", "drop"),
    ),
    Table(20, "conntrack_egress", "Connection state on the sender's side", ("egress_rules", "responders", "drop")),
    Table(25, "egress_rules", "May this port send it", ("egress_replies", "responders", "drop")),
    Table(26, "egress_replies", "May the connection still be that this port answers", ("responders", "drop")),
    Table(
        30,
        "responders",
        "ARP and ND answered on the spot; DHCP, router solicitations and DNS to the controller",
        ("router", "output", "drop"),
    ),
    Table(40, "router", "Is it for the router, or for its own network", ("route", "nat", "l2_lookup", "drop")),
    Table(
        41,
        "route",
        "Distributed router: the longest prefix, TTL, its own addresses",
        ("next_hop", "l2_lookup", "nat", "output", "drop"),
    ),
    Table(42, "next_hop", "Who has the address on the network it was routed to", ("l2_lookup", "drop")),
    Table(45, "nat", "To the gateway host, and translation there", ("translated", "l2_lookup", "output", "drop")),
    Table(46, "translated", "Only an address of the router may leave", ("external_route", "drop")),
    Table(
        47,
        "external_route",
        "Next hop on the external network, or back in to an address of ours",
        ("external_neighbour", "external_in", "drop"),
    ),
    Table(48, "external_neighbour", "MAC of the next hop; an unknown one is asked for", ("output", "drop")),
    Table(
        49,
        "external_in",
        "From the external network: ARP, ping, and translation back",
        ("route", "external_route", "output", "drop"),
    ),
    Table(50, "l2_lookup", "Destination MAC to local port or remote host", ("conntrack_ingress", "output", "drop")),
    Table(60, "conntrack_ingress", "Connection state on the receiver's side", ("ingress_rules", "output", "drop")),
    Table(65, "ingress_rules", "May this port receive it", ("ingress_replies", "output", "drop")),
    Table(66, "ingress_replies", "May the connection still be that this port is answered in", ("output", "drop")),
    Table(70, "output", "Local port, tunnel, or the controller for a probe", ("mirror", "drop")),
    Table(72, "mirror", "A copy of a mirrored port's packet, to the one port that receives it", ("drop",)),
    Table(250, "drop", "Every drop, by reason", ()),
)
TABLE_BY_NAME: dict[str, Table] = {table.name: table for table in TABLES}
TABLE_BY_ID: dict[int, Table] = {table.table_id: table for table in TABLES}


class Register(IntEnum):
    """Register numbers of the pipeline (regN), each with one meaning from classify to drop."""

    SOURCE_PORT = 0  # low 32 bits of the id of the Port row the packet came from; 0 from a tunnel
    VNI = 1  # network of the packet, 23 bits
    TARGET_PORT = 2  # low 32 bits of the id of the Port row it goes to, when local
    OUT = 3  # ofport to output to
    DROP_REASON = 4
    DROP_TABLE = 5
    ZONE = 6  # conntrack zone of the port whose side is looked at: the sender's, then the receiver's
    EXTERNAL = 8  # low 32 bits of the id of the external network that it goes to or came from
    ROUTER = 9  # VNI of the router that has the packet; 0 on its way within a network
    NEXT_HOP = 10  # IPv4 address of the next hop on the external network
    TOO_BIG = 12  # bit 0: larger than the network carries that it was routed to
    FLAGS = 15  # bit 0: probe; bits 1 and 2: a capture took its copy; bits 3 and 4: a mirror did; 5: as 1


FLAG_PROBE = 1
FLAG_CAPTURED_IN, FLAG_CAPTURED_OUT, FLAG_CAUGHT = 2, 4, 32  # a capture has its copy: sdn/capture/flows.py
FLAG_MIRRORED_IN, FLAG_MIRRORED_OUT = 8, 16  # a mirror has its copy: sdn/compiler/mirrors.py
PROBE_VNI_BIT = 1 << 23
MAX_VNI = PROBE_VNI_BIT - 1


@dataclass(frozen=True, slots=True)
class DropReason:
    """Why a packet went to the drop table: `code` is what the register holds, `words` what people read."""

    code: int
    name: str
    words: str


DROP_REASONS: tuple[DropReason, ...] = (
    DropReason(1, "unknown_port", "it came in at a port that belongs to no network"),
    DropReason(2, "unknown_vni", "it came through a tunnel with the number of a network that is not on this host"),
    DropReason(3, "spoofed_mac", "its source MAC is not the port's own"),
    DropReason(4, "spoofed_ipv4", "its source IPv4 address is not the port's own"),
    DropReason(5, "spoofed_ipv6", "its source IPv6 address is not the port's own"),
    DropReason(6, "spoofed_arp", "it claims in ARP an address that is not the port's own"),
    DropReason(7, "spoofed_nd", "it claims in neighbour discovery an address that is not the port's own"),
    DropReason(8, "rogue_dhcp", "it answers DHCP or router discovery, which only the network itself may do"),
    DropReason(9, "invalid_state", "connection tracking calls it invalid"),
    DropReason(10, "egress_denied", "no egress rule allows it"),
    DropReason(11, "ingress_denied", "no ingress rule allows it"),
    DropReason(12, "unknown_mac", "no port of the network has its destination MAC"),
    DropReason(13, "no_route", "there is no route to its destination"),
    DropReason(14, "ttl_exceeded", "its time to live ran out"),
    DropReason(15, "table_miss", "no flow of the table matches it"),
    DropReason(16, "port_down", "the destination port is not there"),
    DropReason(17, "no_neighbour", "nobody has the address that it asks for"),
    DropReason(18, "unknown_protocol", "it is neither IPv4 nor ARP, which is all that the network carries"),
    DropReason(19, "no_ipv6", "it is IPv6, and the network has no IPv6 subnet"),
    DropReason(20, "rate_limited", "the rate limit of its port was used up"),
    DropReason(30, "reply_denied", "it belongs to a connection that no rule allows any more"),
    DropReason(40, "external_down", "the host has no way to the networks behind br-ex"),
    DropReason(41, "not_translated", "it would leave with an address that is none of its router's"),
    DropReason(42, "not_ours", "nothing of ours has that address of the external network"),
    DropReason(43, "nobody_asked", "it belongs to no connection that was opened from inside"),
    DropReason(44, "hosts_own", "it is for a host's own address on the segment, which guests may not reach"),
    DropReason(45, "tagged", "it has a VLAN tag of its own, and the network is a segment of the hosts' wire"),
    DropReason(46, "too_big", "it is larger than the network carries that it is routed to"),
    DropReason(
        47, "not_attached", "its router has no leg in the subnet that it comes from, so no answer would find back"
    ),
)
DROP_REASON_BY_NAME: dict[str, DropReason] = {reason.name: reason for reason in DROP_REASONS}
DROP_REASON_BY_CODE: dict[int, DropReason] = {reason.code: reason for reason in DROP_REASONS}
# Refused by flows that all ports of a host share: the drop table counts them by sender (sdn/compiler/drops.py).
SENDER_REASONS = (
    "spoofed_nd", "rogue_dhcp", "invalid_state", "unknown_mac", "no_route", "ttl_exceeded", "no_neighbour", "reply_denied",
)  # fmt: skip
