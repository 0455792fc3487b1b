"""A switch that tells of itself by LLDP, frame by frame: IEEE 802.1AB's TLVs, written out.

Run as a program in a network namespace, it sends its frame out of a device until it is stopped.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from ipaddress import IPv4Address

NEAREST_BRIDGE = bytes.fromhex("0180c200000e")
MAC = bytes.fromhex("020000000a01")
TTL_S = 120
VLAN = 200
ADDRESS = "198.51.100.7"


def frame(system: str, port: str, description: str) -> bytes:
    """The frame of that system's port, untagged in VLAN 200."""
    address = b"\x05\x01" + IPv4Address(ADDRESS).packed + b"\x02" + struct.pack("!I", 1) + b"\x00"
    tlvs = [
        (1, b"\x04" + MAC), (2, b"\x05" + port.encode()), (3, struct.pack("!H", TTL_S)), (4, description.encode()),
        (5, system.encode()), (8, address), (127, bytes.fromhex("0080c201") + struct.pack("!H", VLAN)), (0, b""),
    ]  # fmt: skip
    told = b"".join(struct.pack("!H", kind << 9 | len(value)) + value for kind, value in tlvs)
    return NEAREST_BRIDGE + MAC + b"\x88\xcc" + told


def main(device: str, system: str, port: str, description: str) -> None:
    """Send four times a second; a real switch takes its time, and a test has none."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind((device, 0))
        while True:
            out.send(frame(system, port, description))
            time.sleep(0.25)


if __name__ == "__main__":
    main(*sys.argv[1:5])
