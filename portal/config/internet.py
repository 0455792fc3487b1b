"""Which addresses are on the internet: what a person names is fetched from, and sent to, no other."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

NAT64 = ipaddress.ip_network("64:ff9b::/96")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_public(text: str, also: Sequence[str] = ()) -> bool:
    """Whether an address lies on the internet, or in one of the networks allowed `also`; addresses inside others count."""
    address = _innermost(ipaddress.ip_address(text.partition("%")[0]))
    if any(address in ipaddress.ip_network(network) for network in also):
        return True
    return address.is_global and not address.is_multicast and not address.is_reserved


def _innermost(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for (mapped, 6to4, NAT64), or itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
    if inner is None and address in NAT64:
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return inner or address


def is_inside(host: str, also: Sequence[str] = ()) -> bool:
    """Whether a URL's host is itself an address, or the name of this machine, that is not on the internet. What a name stands
    for is only known when it is looked up."""
    try:
        return not is_public("127.0.0.1" if host.rstrip(".").lower() == "localhost" else host, also)
    except ValueError:
        return False
