"""NXT_CT_FLUSH (nicira-ext.h, OVS ≥ 3.1): connections of a zone that went to an address are forgotten.

A connection that was translated goes on as it began, whatever the flows say since; so what a floating address stood for
must be forgotten when it stands for something else.
"""

from __future__ import annotations

import struct
from ipaddress import IPv6Address

from sdn.model.intent import Address
from sdn.transport.codec import NICIRA, header

EXPERIMENTER, CT_FLUSH = 4, 32
ORIGINAL, REPLY = 0, 1  # which direction's tuple is meant
ZONE, TUPLE_TARGET = 2, 1


def flush_connections(zone: int, address: Address, direction: int, xid: int) -> bytes:
    """The message that ends the zone's connections whose packets of that direction go, or went, to the address."""
    target = (IPv6Address(f"::ffff:{address}") if address.version == 4 else address).packed
    place = struct.pack("!HH", TUPLE_TARGET, 4 + len(target)) + target + bytes(4)
    body = struct.pack("!HHxxxx", direction, 8 + len(place)) + place + struct.pack("!HHHxx", ZONE, 8, zone)
    message = struct.pack("!IIB7x", NICIRA, CT_FLUSH, 0) + body
    return header(EXPERIMENTER, 8 + len(message), xid) + message
