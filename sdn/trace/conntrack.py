"""The true conntrack state of a packet's connection, from `dpctl/dump-conntrack`: no trace of OVS looks it up itself."""

from __future__ import annotations

import re

from sdn.model.packet import Packet

_SIDE = re.compile(r"(orig|reply)=\((?P<body>[^)]*)\)")


def ct_state(dump: str, packet: Packet) -> str:
    """What `--ct-next` takes for this packet: "trk,new", "trk,est" or "trk,est,rpl"."""
    for line in dump.splitlines():
        if not line.startswith(f"{packet.protocol},"):
            continue
        sides = {
            found[1]: dict(part.partition("=")[::2] for part in found["body"].split(","))
            for found in _SIDE.finditer(line)
        }
        if _is(sides.get("orig", {}), packet):
            return "trk,est"
        if _is(sides.get("reply", {}), packet):
            return "trk,est,rpl"
    return "trk,new"


def _is(side: dict[str, str], packet: Packet) -> bool:
    if side.get("src") != str(packet.ip_src) or side.get("dst") != str(packet.ip_dst):
        return False
    if packet.protocol == "icmp":
        return True
    same_target = side.get("dport") == str(packet.port_dst)
    return same_target and packet.port_src in (0, int(side.get("sport") or 0))
