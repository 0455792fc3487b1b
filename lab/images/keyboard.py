"""The smallest guest with a screen: a boot sector that writes each key that it reads to the screen and to the serial line.

It boots from its disk by the BIOS, in text mode, and needs no driver: what a VNC client types is read back on the serial line.
"""

from __future__ import annotations

from pathlib import Path

SECTOR, DISK_BYTES = 512, 1024 * 1024
CODE = bytes.fromhex(
    "31c0cd16"  # again: xor ax, ax; int 16h     read a key: al
    "b40ebb0700cd10"  # mov ah, 0eh; mov bx, 7; int 10h     write it to the screen
    "baf803ee"  # mov dx, 3f8h; out dx, al     and to the first serial port
    "ebef"  # jmp again
)
SIGNATURE = b"\x55\xaa"


def write_keyboard_disk(path: Path) -> Path:
    """The guest's disk, raw, at that path."""
    path.write_bytes((CODE.ljust(SECTOR - len(SIGNATURE), b"\0") + SIGNATURE).ljust(DISK_BYTES, b"\0"))
    return path
