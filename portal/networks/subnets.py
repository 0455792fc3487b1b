"""IPv6 subnets that need nobody's registry."""

from __future__ import annotations

from ipaddress import IPv6Network
from typing import Any

from portal.networks.models import Network


def ula_subnet(network: Network) -> dict[str, Any]:
    """The columns of a SLAAC /64 of unique local addresses (RFC 4193), its global id taken from the network's random uuid."""
    prefix = IPv6Network((int.from_bytes(b"\xfd" + network.uuid.bytes[-5:]) << 80, 64))
    return {
        "cidr": str(prefix),
        "gateway": str(prefix[1]),
        "pool_start": str(prefix[16]),
        "pool_end": str(prefix[0xFFFF]),
        "is_slaac": True,
    }
