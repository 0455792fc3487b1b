"""What a predicted trace is asked with, and the seam to the hosts it asks."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Protocol

from sdn.model.packet import Packet
from sdn.model.trace import Direction


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A VM's NIC: where it is plugged (`ofport` None: nowhere now) and its device chain."""

    name: str
    nic: str
    mac: str
    address: IPv4Address
    host: str
    tap: str
    ofport: int | None
    nic_model: str
    backend: str
    domain: str


@dataclass(frozen=True, slots=True)
class TraceHost:
    """One host of the overlay. `ports` names what is behind br-int's ofports."""

    name: str
    underlay_ip: str
    tunnel_ofport: int | None
    ports: dict[int, Endpoint]


@dataclass(frozen=True, slots=True)
class Question:
    """Where would this packet go?"""

    id: str
    source: Endpoint
    target: Endpoint
    packet: Packet
    hosts: tuple[TraceHost, ...]
    generation: int
    started_at: str
    direction: Direction = "forward"
    bridge: str = "br-int"


class HostUnreachable(Exception):
    """A host's switch could not be asked; the message says why."""


class TraceWorld(Protocol):
    """Asks the hosts. Implementations raise HostUnreachable."""

    def ofproto_trace(self, host: str, bridge: str, flow: str, ct_next: tuple[str, ...]) -> str: ...

    def conntrack(self, host: str) -> str: ...
