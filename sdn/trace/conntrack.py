"""The true conntrack state of a packet's connection, from `dpctl/dump-conntrack`: no trace of OVS looks it up itself.

A connection is one of its zone: two networks may use the same addresses. A TCP connection that only its SYN was seen of
is still new to the next SYN of the same side, and so to the flows (OVS: conntrack-tcp.c; Linux: SYN_SENT).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sdn.trace.fields import protocol_of

NEW, ESTABLISHED, REPLY, INVALID = "trk,new", "trk,est", "trk,est,rpl", "trk,inv"
_SIDE = re.compile(r"(orig|reply)=\(([^)]*)\)")
_ZONE = re.compile(r"(?:^|,)zone=([0-9]{1,20})")
_STATE = re.compile(r"\bstate=(\w+)")
_STATUS = re.compile(r"\bstatus=([\w|]+)")
_FLAGS = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns")  # from the lowest bit on
_OPENING = frozenset(("SYN_SENT", "CLOSED", "NONE", "LISTEN"))


def ct_state(dump: str, packet: Mapping[str, str], zone: int, *, any_source_port: bool = False) -> str:
    """What `--ct-next` takes for this packet in this zone: "trk,new", "trk,est" or "trk,est,rpl"; "trk,inv" of no connection.

    `packet` has a flow's fields. ICMP is matched by its ends alone, since a prediction has no echo id; `any_source_port`
    does the same for TCP and UDP: a packet of any connection to that port.
    """
    protocol = protocol_of(packet)
    words = {protocol, protocol.rstrip("6"), {"icmp6": "icmpv6"}.get(protocol, protocol)}
    for line in dump.splitlines():
        if line.partition(",")[0].strip() not in words or _zone_of(line) != zone:
            continue
        found = _match(line, packet, any_source_port)
        if found:
            return found
    return first_state(packet)


def first_state(packet: Mapping[str, str]) -> str:
    """The state of a packet that no connection is known of. TCP's answer to a SYN that was not seen here (it went another way)
    opens none, and neither does what no TCP sends (tcp_valid_new() of OVS's conntrack-tcp.c, tcp_conntracks of Linux). An ACK
    does: both take up connections midway."""
    if protocol_of(packet) not in ("tcp", "tcp6"):
        return NEW
    flags = _flags_of(packet.get("tcp_flags", ""))
    if "syn" in flags:
        return INVALID if flags & {"ack", "rst", "fin"} else NEW
    return NEW if flags & {"ack", "rst"} else INVALID


def _flags_of(text: str) -> set[str]:
    """The flags that a flow's text sets: `syn|ack`, `+syn-ack` or `0x12`. Where it says nothing it is the first packet."""
    if re.fullmatch(r"0x[0-9a-f]{1,4}|[0-9]{1,5}", text):
        bits = int(text, 0)
        return {name for bit, name in enumerate(_FLAGS) if bits >> bit & 1} or {"syn"}
    if text[:1] in ("+", "-"):
        return set(re.findall(r"\+(\w+)", text)) or {"syn"}
    return set(text.split("|")) if text else {"syn"}


def _zone_of(line: str) -> int:
    outside = _SIDE.sub("", line)
    found = _ZONE.search(outside)
    return int(found[1]) if found else 0


def _match(line: str, packet: Mapping[str, str], any_source_port: bool) -> str:
    sides = {found[1]: dict(part.partition("=")[::2] for part in found[2].split(",")) for found in _SIDE.finditer(line)}
    opening, status = _STATE.search(line), _STATUS.search(line)
    unanswered = bool(opening and opening[1] in _OPENING) or bool(status and "SEEN_REPLY" not in status[1])
    if _is(sides.get("orig", {}), packet, any_source_port, is_reply=False):
        return NEW if unanswered else ESTABLISHED
    if _is(sides.get("reply", {}), packet, any_source_port, is_reply=True):
        # Both ends open at once: to OVS's userspace conntrack, whose entries have no status, it is still new (and of the
        # reply direction, which no --ct-next takes beside "new"). To Linux (SYN_SENT2) it is a reply.
        crossing = unanswered and status is None and packet.get("tcp_flags") == "syn"
        return NEW if crossing else REPLY
    return ""


def _is(side: Mapping[str, str], packet: Mapping[str, str], any_source_port: bool, *, is_reply: bool) -> bool:
    source = packet.get("nw_src") or packet.get("ipv6_src")
    target = packet.get("nw_dst") or packet.get("ipv6_dst")
    if not source or side.get("src") != source or side.get("dst") != target:
        return False
    if "sport" not in side or side["sport"] == side.get("dport") == "0":
        return True  # of a protocol that is tracked by its ends alone, as OVS's userspace conntrack does SCTP
    ports = (side["sport"], side.get("dport", ""))
    asked = (packet.get("tp_src", ""), packet.get("tp_dst", ""))
    if any_source_port:  # the client's port is free: the destination's there, the source's on the way back
        return ports[0] == asked[0] if is_reply else ports[1] == asked[1]
    return ports == asked
