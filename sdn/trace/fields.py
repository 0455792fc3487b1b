"""Field names: OVS spells one field in several ways (`eth_dst`, `dl_dst`, `NXM_OF_ETH_DST[]`); here each has one.

The one spelling is that of a flow's text (`dl_dst`, `nw_src`, `tp_dst`). What `ofproto/trace` takes differs again: it
refuses `tp_src` of UDP beside an address, and `icmp_type` of ICMPv6, so `flow_text` writes the names that it takes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sdn.model.addresses import Mac
from sdn.model.packet import Packet

PROTOCOLS = ("arp", "icmp", "tcp", "udp", "sctp", "icmp6", "tcp6", "udp6", "sctp6", "ip", "ipv6", "rarp")
HEADERS = (
    "dl_src", "dl_dst", "dl_type", "dl_vlan", "nw_src", "nw_dst", "ipv6_src", "ipv6_dst", "nw_proto", "nw_tos", "nw_ttl",
    "tp_src", "tp_dst", "tcp_flags", "icmp_type", "icmp_code", "nd_target", "nd_sll", "nd_tll", "arp_op", "arp_spa",
    "arp_tpa", "arp_sha", "arp_tha",
)  # fmt: skip
_SHOWN = tuple(name for name in HEADERS if name not in ("nw_tos", "arp_sha", "arp_tha", "icmp_code", "tcp_flags"))
_ALIASES = {
    "eth_src": "dl_src", "eth_dst": "dl_dst", "eth_type": "dl_type", "vlan_vid": "dl_vlan", "ip_src": "nw_src", "ip_dst": "nw_dst",
    "ip_proto": "nw_proto", "tcp_src": "tp_src", "tcp_dst": "tp_dst", "udp_src": "tp_src", "udp_dst": "tp_dst",
    "sctp_src": "tp_src", "sctp_dst": "tp_dst", "icmpv6_type": "icmp_type", "icmpv6_code": "icmp_code",
    "icmpv4_type": "icmp_type", "icmpv4_code": "icmp_code", "tunnel_id": "tun_id", "tun_ipv4_dst": "tun_dst", "tun_ipv4_src": "tun_src",
    "ipv4_src": "nw_src", "ipv4_dst": "nw_dst", "arp_spa": "arp_spa", "ip_ttl": "nw_ttl",
}  # fmt: skip
_NXM = re.compile(r"^(?:NXM_OF_|NXM_NX_|OXM_OF_)(\w+?)(?:\[([0-9]{0,3})(?:\.\.([0-9]{1,3}))?\])?$")
_LEGACY = re.compile(r"^(dl|nw|tp)_(src|dst)$")
_TRANSPORTS = ("tcp", "udp", "sctp")
ETHERNET_BYTES = 14


def field_name(text: str) -> str:
    """The one spelling of a field: `NXM_OF_ETH_DST[]`, `eth_dst` and `dl_dst` are all `dl_dst`."""
    if found := _NXM.match(text):
        text = found[1].lower()
    return _ALIASES.get(text, text)


def bits_of(text: str) -> tuple[int, int] | None:
    """The (offset, width) that `NXM_NX_TUN_ID[23]` or `…[0..15]` selects; None for the whole field."""
    found = _NXM.match(text)
    if not found or not found[2]:
        return None
    first, last = int(found[2]), int(found[3] or found[2])
    return (first, last - first + 1) if last >= first else None


def protocol_of(fields: Mapping[str, str]) -> str:
    """The bare protocol word of a flow's fields, "" where there is none."""
    for name in PROTOCOLS:
        if name in fields:
            return name
    return ""


def flow_text(fields: Mapping[str, str]) -> str:
    """Fields as `ofproto/trace` takes them."""
    protocol = protocol_of(fields)
    return ",".join(
        name if value == "" and name == protocol else f"{_given(name, protocol)}={value}"
        for name, value in fields.items()
    )


def _given(name: str, protocol: str) -> str:
    transport = protocol.rstrip("6")
    if name in ("tp_src", "tp_dst") and transport in _TRANSPORTS:
        return name.replace("tp", transport, 1)
    if protocol == "icmp6" and name in ("icmp_type", "icmp_code"):
        return name.replace("icmp", "icmpv6", 1)
    return name


def header_of(fields: Mapping[str, str]) -> dict[str, str]:
    """The packet's own header fields, as pages show them."""
    protocol = protocol_of(fields)
    found = {protocol: ""} if protocol else {}
    for name in _SHOWN:
        value = fields.get(name)
        if value is not None:
            found[name] = value
    return found


def carried(fields: Mapping[str, str]) -> dict[str, str]:
    """The whole packet as it leaves a bridge, to be asked about at the next one: headers only, complete."""
    protocol = protocol_of(fields)
    found = {protocol: ""} if protocol else {}
    for name in HEADERS:
        value = fields.get(name)
        if value is not None and not (name in ("nd_sll", "nd_tll") and not value.strip("0:")):
            found[name] = value
    if found.get("tcp_flags", "") in ("0", ""):
        found.pop("tcp_flags", None)
    if vlan := fields.get("dl_vlan", ""):
        found["dl_vlan"] = vlan
    return found


def stack_of(fields: Mapping[str, str]) -> tuple[str, ...]:
    """The header stack of an untunnelled packet, outermost first."""
    protocol = protocol_of(fields)
    tag = (f"vlan {fields['dl_vlan']}",) if fields.get("dl_vlan") else ()
    if protocol in ("arp", "rarp"):
        return ("eth", *tag, protocol)
    family = "ipv6" if "ipv6_src" in fields else "ipv4"
    if protocol in ("ip", "ipv6", ""):
        return ("eth", *tag, family) if "nw_src" in fields or "ipv6_src" in fields else ("eth", *tag)
    return ("eth", *tag, family, protocol if protocol == "icmp6" else protocol.rstrip("6"))


def packet_fields(packet: Packet) -> dict[str, str]:
    """The packet as ovs-ofctl's fields, complete for its protocol (a missing TTL or ARP field makes a trace lie)."""
    ends = {"dl_src": str(packet.eth_src), "dl_dst": str(packet.eth_dst)}
    source, target = str(packet.ip_src), str(packet.ip_dst)
    if packet.protocol == "arp":
        arp = {"arp_op": "1", "arp_spa": source, "arp_tpa": target, "arp_sha": ends["dl_src"]}
        return {"arp": "", **ends, **arp, "arp_tha": "00:00:00:00:00:00"}
    if packet.protocol == "nd":
        return {"icmp6": "", **ends, **_solicitation(packet)}
    is_v6 = packet.ip_dst.version == 6
    word = f"{packet.protocol}6" if is_v6 else packet.protocol
    addresses = {"ipv6_src": source, "ipv6_dst": target} if is_v6 else {"nw_src": source, "nw_dst": target}
    fields = {word: "", **ends, **addresses, "nw_ttl": str(packet.ttl), "nw_tos": "0"}
    if packet.protocol == "icmp":
        return {**fields, "icmp_type": str(packet.port_dst), "icmp_code": "0"}
    ports = {"tp_src": str(packet.port_src), "tp_dst": str(packet.port_dst)}
    return {**fields, **ports, **({"tcp_flags": packet.tcp_flags} if packet.protocol == "tcp" else {})}


def _solicitation(packet: Packet) -> dict[str, str]:
    """RFC 4861, 4.3: a neighbour solicitation goes to its target's solicited-node multicast address, hop limit 255."""
    last = packet.ip_dst.packed[-3:]
    multicast = f"ff02::1:ff{last[0]:02x}:{last[1]:02x}{last[2]:02x}"
    found = {"dl_dst": str(solicited_mac(packet.ip_dst.packed)), "ipv6_src": str(packet.ip_src), "ipv6_dst": multicast}
    about = {"nd_target": str(packet.ip_dst), "nd_options_type": "1", "nd_sll": str(packet.eth_src)}
    return {**found, "nw_ttl": "255", "nw_tos": "0", "icmp_type": "135", "icmp_code": "0", **about}


def solicited_mac(address: bytes) -> Mac:
    """RFC 2464, 7: the MAC of a solicited-node multicast address."""
    return Mac("33:33:ff:" + ":".join(f"{byte:02x}" for byte in address[-3:]))


def frame_bytes(ip_bytes: int) -> int:
    """An IP packet's size on the guest's wire."""
    return ip_bytes + ETHERNET_BYTES
