"""Names of packet fields: OVS prints ovs-fields(7)' names in flows and NXM names in actions; here they are one."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sdn.model.packet import Packet
from sdn.model.trace import Direction

PROTOCOLS = ("arp", "icmp", "tcp", "udp", "icmp6", "sctp")
HEADERS = (
    "dl_src", "dl_dst", "dl_vlan", "nw_src", "nw_dst", "ipv6_src", "ipv6_dst", "nw_tos", "nw_ttl", "tp_src", "tp_dst",
    "tcp_flags", "icmp_type", "icmp_code", "arp_op", "arp_spa", "arp_tpa", "arp_sha", "arp_tha",
)  # fmt: skip
_SAME = {
    "eth_src": "dl_src", "eth_dst": "dl_dst", "eth_type": "dl_type", "ip_src": "nw_src", "ip_dst": "nw_dst",
    "ip_ttl": "nw_ttl", "tcp_src": "tp_src", "tcp_dst": "tp_dst", "udp_src": "tp_src", "udp_dst": "tp_dst",
    "ip_dscp": "nw_tos", "tunnel_id": "tun_id", "vlan_vid": "dl_vlan",
    "NXM_OF_ETH_SRC": "dl_src", "NXM_OF_ETH_DST": "dl_dst", "NXM_OF_IP_SRC": "nw_src", "NXM_OF_IP_DST": "nw_dst",
    "NXM_NX_IP_TTL": "nw_ttl", "NXM_OF_TCP_SRC": "tp_src", "NXM_OF_TCP_DST": "tp_dst", "NXM_OF_UDP_SRC": "tp_src",
    "NXM_OF_UDP_DST": "tp_dst", "NXM_OF_ICMP_TYPE": "icmp_type", "NXM_OF_ICMP_CODE": "icmp_code",
    "NXM_OF_ARP_OP": "arp_op", "NXM_OF_ARP_SPA": "arp_spa", "NXM_OF_ARP_TPA": "arp_tpa", "NXM_NX_ARP_SHA": "arp_sha",
    "NXM_NX_ARP_THA": "arp_tha", "NXM_NX_TUN_ID": "tun_id", "NXM_NX_TUN_IPV4_SRC": "tun_src",
    "NXM_NX_TUN_IPV4_DST": "tun_dst", "OXM_OF_IN_PORT": "in_port", "NXM_OF_IN_PORT": "in_port", "OXM_OF_METADATA": "metadata",
}  # fmt: skip
_MOD = {"mod_dl_src": "dl_src", "mod_dl_dst": "dl_dst", "mod_nw_src": "nw_src", "mod_nw_dst": "nw_dst", "mod_nw_ttl": "nw_ttl", "mod_tp_src": "tp_src", "mod_tp_dst": "tp_dst", "set_tunnel": "tun_id", "set_tunnel64": "tun_id"}  # fmt: skip
_SET = re.compile(r"(?:set_field:|load:)(.+)->([\w.]+)(?:\[(\d*)(?:\.\.(\d+))?\])?$")
_NOW = re.compile(r"([\w.]+)(\[[\d.]*\])? is now (.+)$")
_REGISTER = re.compile(r"NXM_NX_(X*REG\d+)$")
ECHO_REQUEST, ECHO_REPLY = 8, 0


def field_name(name: str) -> str:
    """The one name of a field: "NXM_NX_REG3" is "reg3", "eth_src" is "dl_src"."""
    if name in _SAME:
        return _SAME[name]
    found = _REGISTER.match(name)
    return found[1].lower() if found else name


def number_of(value: str) -> int:
    """A field's number, 0 for what is none."""
    try:
        return int(value.partition("/")[0], 0)
    except ValueError:
        return 0


def action_sets(action: str, fields: Mapping[str, str]) -> tuple[str, str] | None:
    """The field that an action sets and its value then; None for any other action. A move tells by its detail."""
    if action == "dec_ttl":
        return "nw_ttl", str(max(number_of(fields.get("nw_ttl", "0")) - 1, 0))
    if found := _SET.match(action):
        name, value = field_name(found[2]), found[1]
        if "/" in value and name.startswith(("reg", "tun_id", "metadata")):
            given, _, mask = value.partition("/")
            old = number_of(fields.get(name, "0"))
            return name, hex(old & ~number_of(mask) | number_of(given) & number_of(mask))
        return name, _bits(value, found[3], found[4], fields.get(name, "0"))
    head, colon, value = action.partition(":")
    return (_MOD[head], value) if colon and head in _MOD else None


def detail_sets(detail: str) -> tuple[str, str] | None:
    """The field and value of "NXM_OF_ETH_DST[] is now …", which explains a move."""
    found = _NOW.match(detail)
    return (field_name(found[1]), found[3]) if found and found[2] in (None, "[]") else None


def _bits(value: str, first: str | None, last: str | None, old: str) -> str:
    """The field after `value` was put into its bits `first` to `last`; the value itself where it fills the field."""
    if not first:
        return value
    low = min(int(first), 127)
    mask = (1 << max(min(int(last or first), 127) - low + 1, 0)) - 1
    return hex(number_of(old) & ~(mask << low) | (number_of(value) & mask) << low)


def packet_fields(packet: Packet, direction: Direction = "forward") -> dict[str, str]:
    """The packet as ovs-ofctl's fields, complete for its protocol. An ICMP type stands in `port_dst`."""
    ends = {"dl_src": str(packet.eth_src), "dl_dst": str(packet.eth_dst)}
    source, target = str(packet.ip_src), str(packet.ip_dst)
    if packet.protocol == "arp":
        arp = {"arp_op": "1", "arp_spa": source, "arp_tpa": target, "arp_sha": str(packet.eth_src)}
        return {"arp": "", **ends, **arp, "arp_tha": "00:00:00:00:00:00"}
    ip = {"nw_src": source, "nw_dst": target, "nw_ttl": str(packet.ttl), "nw_tos": "0"}
    fields = {packet.protocol: "", **ends, **ip}
    if packet.protocol == "icmp":
        kind = packet.port_dst or (ECHO_REQUEST if direction == "forward" else ECHO_REPLY)
        return {**fields, "icmp_type": str(kind), "icmp_code": "0"}
    ports = {"tp_src": str(packet.port_src), "tp_dst": str(packet.port_dst)}
    flags = {"tcp_flags": "syn" if direction == "forward" else "syn|ack"} if packet.protocol == "tcp" else {}
    return {**fields, **ports, **flags}


def header_of(fields: Mapping[str, str]) -> dict[str, str]:
    """The packet's own header fields, without registers and metadata."""
    header = {name: "" for name in PROTOCOLS if name in fields}
    for name in HEADERS:
        if name in fields:
            header[name] = fields[name]
    return header


def flow_text(fields: Mapping[str, str]) -> str:
    """Fields as `ofproto/trace` takes them, whose tp_src and tp_dst are TCP's only."""
    prefix = next((name for name in ("udp", "sctp") if name in fields), "tp")
    words = []
    for name, value in fields.items():
        spelled = f"{prefix}_{name[3:]}" if name in ("tp_src", "tp_dst") else name
        words.append(f"{spelled}={value}" if value else spelled)
    return ",".join(words)


def stack_of(fields: Mapping[str, str]) -> tuple[str, ...]:
    """The header stack of an untunnelled packet, outermost first."""
    for protocol in PROTOCOLS:
        if protocol in fields:
            return ("eth", "arp") if protocol == "arp" else ("eth", "ipv6" if protocol == "icmp6" else "ipv4", protocol)
    return ("eth", "ipv4") if "nw_src" in fields else ("eth",)
