"""Header fields of a traced packet that are other than its guest would send them, in ovs-ofctl's words.

`nw_ttl=1,tcp_flags=fin|ack`: each is checked by the table, so that the switch is asked nothing that it would refuse.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_address

from django.utils.translation import gettext, gettext_noop

from sdn.trace.fields import field_name

MAX_CHARS, SHOWN_CHARS = 300, 40
FLAGS = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns")
TCP_FLAGS = (
    ("", gettext_noop("as the packet's place in its connection has it")), ("syn", gettext_noop("SYN: open")), ("syn|ack", gettext_noop("SYN, ACK: answer to open")),
    ("ack", "ACK"), ("psh|ack", gettext_noop("PSH, ACK: data")), ("fin|ack", gettext_noop("FIN, ACK: close")), ("rst", gettext_noop("RST: refuse")),
    ("fin|psh|urg", gettext_noop("FIN, PSH, URG: no sane sender's")),
)  # fmt: skip
WITH_PORTS, IP = ("tcp", "udp", "sctp", "dns", "dhcp"), ("icmp", "tcp", "udp", "sctp", "dns", "dhcp")
Check = Callable[[str], str]  # the value as it is kept; raises ValueError


def _number(first: int, last: int, step: int = 1) -> Check:
    def check(text: str) -> str:
        if not re.fullmatch(r"\d{1,6}", text, re.ASCII) or not first <= int(text) <= last or int(text) % step:
            raise ValueError(text)
        return str(int(text))

    return check


def _flags(text: str) -> str:
    words = [word for word in re.split(r"[|+,]", text.lower()) if word]
    if not words or any(word not in FLAGS for word in words):
        raise ValueError(text)
    return "|".join(dict.fromkeys(words))


def _address(version: int) -> Check:
    def check(text: str) -> str:
        found = ip_address(text)
        if found.version != version:
            raise ValueError(text)
        return str(found)

    return check


def _mac(text: str) -> str:
    if not re.fullmatch(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", text.lower(), re.ASCII):
        raise ValueError(text)
    return text.lower()


# Field → (which protocols have it, its check, what is allowed in words)
FIELDS: dict[str, tuple[tuple[str, ...], Check, str]] = {
    "dl_src": ((), _mac, "a MAC"),
    "dl_dst": ((), _mac, "a MAC"),
    "dl_vlan": ((), _number(1, 4094), "1 to 4094"),
    "nw_src": (IP, _address(4), "an IPv4 address"),
    "ipv6_src": (IP, _address(6), "an IPv6 address"),
    "nw_tos": (IP, _number(0, 252, 4), "0 to 252, by fours"),
    "nw_ttl": (IP, _number(0, 255), "0 to 255"),
    "tp_src": (WITH_PORTS, _number(1, 65535), "1 to 65535"),
    "tcp_flags": (("tcp",), _flags, f"names joined by |, of {', '.join(FLAGS)}"),
    "icmp_type": (("icmp",), _number(0, 255), "0 to 255"),
    "icmp_code": (("icmp",), _number(0, 255), "0 to 255"),
}


def read_fields(text: str, protocol: str, tcp_flags: str = "") -> tuple[dict[str, str], list[str]]:
    """(field → value, problems) of what was typed, with the flags that were chosen. All that is wrong is told at once."""
    found: dict[str, str] = {}
    problems: list[str] = []
    if len(text) > MAX_CHARS:
        return {}, [
            gettext("%(count)s characters were given; at most %(max_chars)s are allowed")
            % {"count": len(text), "max_chars": MAX_CHARS}
        ]
    for part in (
        *filter(None, (one.strip() for one in text.split(","))),
        *([f"tcp_flags={tcp_flags}"] if tcp_flags else ()),
    ):
        name, _, value = part.partition("=")
        name, value = field_name(name.strip()), value.strip()
        if name not in FIELDS:
            problems.append(
                gettext("field %(name)s was given; allowed are %(fields)s")
                % {"name": f"{name[:SHOWN_CHARS]!r}", "fields": ", ".join(FIELDS)}
            )
            continue
        protocols, check, allowed = FIELDS[name]
        if protocols and protocol not in protocols:
            problems.append(
                gettext("%(name)s is no field of %(protocol)s") % {"name": name, "protocol": protocol[:SHOWN_CHARS]}
            )
            continue
        try:
            found[name] = check(value)
        except ValueError:
            problems.append(
                gettext("%(name)s %(value)s was given; %(allowed)s is allowed")
                % {"name": name, "value": f"{value[:SHOWN_CHARS]!r}", "allowed": allowed}
            )
    return found, problems
