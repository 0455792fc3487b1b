"""The small values of the field, each of its own type, so that a VNI is never passed for a dpid."""

from __future__ import annotations

from typing import NewType

Mac = NewType("Mac", str)  # lower case, colons: "52:54:00:aa:bb:cc"
Vni = NewType("Vni", int)  # 1 … 2^23-1
Ofport = NewType("Ofport", int)  # OpenFlow port number on one bridge
Dpid = NewType("Dpid", int)  # OpenFlow datapath id, 64 bits
IfaceId = NewType("IfaceId", str)  # external_ids:iface-id of an OVS Interface = Port.uuid
HostName = NewType("HostName", str)
