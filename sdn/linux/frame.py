"""A frame as netfilter sees it, and the words of nft for what is in it, as numbers that can be compared.

The frame's fields are those of a flow's text (`dl_src`, `nw_dst`, `tp_dst`). What is not in them is not known: the value is
None, and so is every match on it. A key that the frame cannot have (a TCP port of an ARP frame) makes its rule not match.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

Value = int | str
ETHER_TYPES = {"ip": 0x0800, "arp": 0x0806, "ip6": 0x86DD, "vlan": 0x8100, "8021q": 0x8100, "8021ad": 0x88A8}
L4_PROTOCOLS = {
    "icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "dccp": 33, "gre": 47, "esp": 50, "ah": 51, "icmpv6": 58, "ipv6-icmp": 58,
    "comp": 108, "sctp": 132, "udplite": 136,
}  # fmt: skip
_ICMP = {
    "echo-reply": 0, "destination-unreachable": 3, "source-quench": 4, "redirect": 5, "echo-request": 8,
    "router-advertisement": 9, "router-solicitation": 10, "time-exceeded": 11, "parameter-problem": 12,
    "timestamp-request": 13, "timestamp-reply": 14, "info-request": 15, "info-reply": 16,
    "address-mask-request": 17, "address-mask-reply": 18,
}  # fmt: skip
_ICMP6 = {
    "destination-unreachable": 1, "packet-too-big": 2, "time-exceeded": 3, "parameter-problem": 4, "echo-request": 128,
    "echo-reply": 129, "mld-listener-query": 130, "mld-listener-report": 131, "mld-listener-done": 132,
    "mld-listener-reduction": 132, "nd-router-solicit": 133, "nd-router-advert": 134, "nd-neighbor-solicit": 135,
    "nd-neighbor-advert": 136, "nd-redirect": 137, "router-renumbering": 138, "ind-neighbor-solicit": 141,
    "ind-neighbor-advert": 142, "mld2-listener-report": 143,
}  # fmt: skip
_ARP = {"request": 1, "reply": 2, "rrequest": 3, "rreply": 4, "inrequest": 8, "inreply": 9, "nak": 10}
TCP_FLAGS = {"fin": 1, "syn": 2, "rst": 4, "psh": 8, "ack": 16, "urg": 32, "ecn": 64, "ece": 64, "cwr": 128}
CT_STATES = {"invalid": 1, "established": 2, "related": 4, "new": 8, "untracked": 64}
WORDS: dict[str, Mapping[str, int]] = {
    "ether type": ETHER_TYPES, "l4": L4_PROTOCOLS, "icmp": _ICMP, "icmp6": _ICMP6, "arp": _ARP, "tcp flags": TCP_FLAGS,
    "ct state": CT_STATES, "nfproto": {"ipv4": 2, "ipv6": 10}, "direction": {"original": 0, "reply": 1}, "number": {},
    "pkttype": {"host": 0, "broadcast": 1, "multicast": 2, "other": 3},
}  # fmt: skip
UNICAST = -1
FLAG_KINDS = ("tcp flags", "ct state")
_PROTOCOL_WORDS = {"icmp": 1, "tcp": 6, "tcp6": 6, "udp": 17, "udp6": 17, "sctp": 132, "sctp6": 132, "icmp6": 58}


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame between two ports of a bridge. `state` is its connection's in the host's own conntrack, "" not known."""

    fields: Mapping[str, str]
    came_in: str
    goes_out: str
    bridge: str
    state: str = ""  # "new" or "established"
    is_reply: bool = False
    ether_type: int | None = field(init=False)
    l4: int | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ether_type", _ether_type(self.fields))
        object.__setattr__(self, "l4", _l4(self.fields))

    def at_hook(self, hook: str) -> Frame:
        """The frame as rules of that hook see it: on the way in it goes to no device yet, on the way out it comes from none."""
        if hook in ("ingress", "prerouting"):
            return replace(self, goes_out="")
        return replace(self, came_in="") if hook in ("postrouting", "egress") else self

    @property
    def is_group(self) -> bool:
        """Broadcast or multicast?"""
        mac = canon("mac", self.fields.get("dl_dst"))
        return isinstance(mac, int) and bool(mac >> 40 & 1)


@dataclass(frozen=True, slots=True)
class Key:
    """What a rule looks at: its value in the frame, of which kind, and whether the frame has it at all (None: not known)."""

    kind: str
    value: Value | None
    is_there: bool | None = True


def canon(kind: str, value: object) -> Value | None:
    """The value of an operand of that kind, comparable with others of it; None where it cannot be told."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return value
    if not isinstance(value, str):
        return None
    if kind == "name":
        return value
    try:
        if kind == "mac":
            return int(value.replace(":", ""), 16) if len(value.split(":")) == 6 else None
        if kind == "ip":
            return int(ip_address(value))
        known = WORDS.get(kind, {})
        return known[value] if value in known else int(value, 0)
    except ValueError:
        return None


def _ether_type(fields: Mapping[str, str]) -> int | None:
    if fields.get("dl_vlan"):
        return 0x8100
    if "arp" in fields:
        return 0x0806
    if "ipv6_src" in fields or "ipv6_dst" in fields or "ipv6" in fields or "icmp6" in fields:
        return 0x86DD
    if "nw_src" in fields or "nw_dst" in fields or any(word in fields for word in ("ip", *_PROTOCOL_WORDS)):
        return 0x0800
    given = canon("number", fields.get("dl_type"))
    return given if isinstance(given, int) else None


def _l4(fields: Mapping[str, str]) -> int | None:
    for word, number in _PROTOCOL_WORDS.items():
        if word in fields:
            return number
    given = canon("number", fields.get("nw_proto"))
    return given if isinstance(given, int) else None


def _flags(text: str | None) -> int | None:
    """OVS's `syn|ack`, `+syn-ack` or a number."""
    if text is None:
        return None
    number = canon("number", text)
    if isinstance(number, int):
        return number & 0xFF
    set_ = [word for word in text.replace("|", "+").replace("-", "+-").split("+") if word and not word.startswith("-")]
    return sum(TCP_FLAGS.get(word, 0) for word in set_) if all(word in TCP_FLAGS for word in set_) else None


# (protocol, field) → (kind, the flow's field)
_PAYLOADS: dict[tuple[str, str], tuple[str, str]] = {
    ("ether", "saddr"): ("mac", "dl_src"), ("ether", "daddr"): ("mac", "dl_dst"),
    ("ip", "saddr"): ("ip", "nw_src"), ("ip", "daddr"): ("ip", "nw_dst"), ("ip", "ttl"): ("number", "nw_ttl"),
    ("ip6", "saddr"): ("ip", "ipv6_src"), ("ip6", "daddr"): ("ip", "ipv6_dst"), ("ip6", "hoplimit"): ("number", "nw_ttl"),
    ("tcp", "sport"): ("number", "tp_src"), ("tcp", "dport"): ("number", "tp_dst"),
    ("udp", "sport"): ("number", "tp_src"), ("udp", "dport"): ("number", "tp_dst"),
    ("sctp", "sport"): ("number", "tp_src"), ("sctp", "dport"): ("number", "tp_dst"),
    ("th", "sport"): ("number", "tp_src"), ("th", "dport"): ("number", "tp_dst"),
    ("icmp", "type"): ("icmp", "icmp_type"), ("icmp", "code"): ("number", "icmp_code"),
    ("icmpv6", "type"): ("icmp6", "icmp_type"), ("icmpv6", "code"): ("number", "icmp_code"),
    ("arp", "operation"): ("arp", "arp_op"), ("arp", "saddr ip"): ("ip", "arp_spa"), ("arp", "daddr ip"): ("ip", "arp_tpa"),
    ("arp", "saddr ether"): ("mac", "arp_sha"), ("arp", "daddr ether"): ("mac", "arp_tha"),
}  # fmt: skip
_L4_OF = {"tcp": (6,), "udp": (17,), "sctp": (132,), "icmp": (1,), "icmpv6": (58,), "th": (6, 17, 132, 136, 33)}
_L3_OF = {"ip": 0x0800, "ip6": 0x86DD, "arp": 0x0806, "icmp": 0x0800, "icmpv6": 0x86DD}


def payload_key(frame: Frame, protocol: str, name: str) -> Key:
    """A field of the packet's headers."""
    there = _is_there(frame, protocol)
    if (protocol, name) == ("ether", "type"):
        return Key("ether type", frame.ether_type)
    if (protocol, name) in (("ip", "protocol"), ("ip6", "nexthdr")):
        return Key("l4", frame.l4, there)
    if (protocol, name) in (("ip", "version"), ("ip6", "version")):
        return Key("number", 4 if protocol == "ip" else 6, there)
    if (protocol, name) == ("tcp", "flags"):
        return Key("tcp flags", _flags(frame.fields.get("tcp_flags")), there)
    kind, field_ = _PAYLOADS.get((protocol, name), ("number", ""))
    return Key(kind, canon(kind, frame.fields.get(field_)) if field_ else None, there)


def _is_there(frame: Frame, protocol: str) -> bool | None:
    if protocol == "ether":
        return True
    if protocol == "vlan":
        return None if frame.ether_type is None else frame.ether_type in (0x8100, 0x88A8)
    if frame.ether_type in (None, 0x8100, 0x88A8):
        return None  # behind a tag: netfilter looks into it where it was told to, and that is not read
    if protocol in _L3_OF and frame.ether_type != _L3_OF[protocol]:
        return False
    if protocol not in _L4_OF:
        return True if protocol in _L3_OF else None
    if frame.ether_type not in (0x0800, 0x86DD):
        return False
    return None if frame.l4 is None else frame.l4 in _L4_OF[protocol]


def meta_key(frame: Frame, name: str, is_bridge: bool) -> Key:
    """What the kernel knows of the frame. To IP's chains it comes from the bridge and goes to it; the ports are hidden."""
    reader = _METAS.get(name)
    return reader(frame, is_bridge) if reader else Key("number", None)


def ct_key(frame: Frame, name: str) -> Key:
    """What conntrack knows of its connection."""
    if name == "state":
        return Key("ct state", CT_STATES.get(frame.state))
    if name == "direction" and frame.state == "established":
        return Key("direction", int(frame.is_reply))
    return Key("number", None)


def _group_kind(frame: Frame) -> int | None:
    """Of a unicast frame it depends on whose MAC its port has: UNICAST stands for "host" or "other"."""
    if canon("mac", frame.fields.get("dl_dst")) is None:
        return None
    if not frame.is_group:
        return UNICAST
    return 1 if frame.fields.get("dl_dst", "").lower() == "ff:ff:ff:ff:ff:ff" else 2


def _nfproto(frame: Frame, is_bridge: bool) -> int | None:
    if is_bridge:
        return 7  # NFPROTO_BRIDGE
    return {0x0800: 2, 0x86DD: 10}.get(frame.ether_type or 0)


def _device(frame: Frame, is_bridge: bool, port: str) -> Key:
    """The device of one side: the port, to IP's chains the bridge; "" where the hook has none."""
    return Key("name", port if is_bridge or not port else frame.bridge)


def _bridge(frame: Frame, port: str) -> Key:
    return Key("name", frame.bridge if port else "")


_METAS: dict[str, Callable[[Frame, bool], Key]] = {
    "iifname": lambda frame, is_bridge: _device(frame, is_bridge, frame.came_in),
    "oifname": lambda frame, is_bridge: _device(frame, is_bridge, frame.goes_out),
    "iif": lambda frame, is_bridge: _device(frame, is_bridge, frame.came_in),
    "oif": lambda frame, is_bridge: _device(frame, is_bridge, frame.goes_out),
    # iptables' physdev: the ports of the bridge, as IP's chains see them too. On the way out where it came from is not kept here.
    "physdev_in": lambda frame, is_bridge: Key("name", frame.came_in or None),
    "physdev_out": lambda frame, is_bridge: Key("name", frame.goes_out or None),
    "physdev_bridged": lambda frame, is_bridge: Key("number", int(bool(frame.goes_out))),
    "ibrname": lambda frame, is_bridge: _bridge(frame, frame.came_in),
    "obrname": lambda frame, is_bridge: _bridge(frame, frame.goes_out),
    "ibriport": lambda frame, is_bridge: _bridge(frame, frame.came_in),
    "obriport": lambda frame, is_bridge: _bridge(frame, frame.goes_out),
    "protocol": lambda frame, is_bridge: Key("ether type", frame.ether_type),
    "l4proto": lambda frame, is_bridge: Key("l4", frame.l4, None if frame.ether_type is None else frame.ether_type in (0x0800, 0x86DD)),
    "nfproto": lambda frame, is_bridge: Key("nfproto", _nfproto(frame, is_bridge)),
    "pkttype": lambda frame, is_bridge: Key("pkttype", _group_kind(frame)),
}  # fmt: skip
