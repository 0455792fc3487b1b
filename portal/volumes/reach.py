"""What is known of a pool on the network: how QEMU gets there by itself, and which LUNs a target has.

A LUN is known by its target's name (worldwide one, RFC 3721) and its number, so that two hosts' pools of one target, or two
kinds of pool, never take the same LUN for two.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

GIB = 1024**3
# libvirt 9.0 tells of an iscsi-direct LUN the number of its last block as the count of them: one block, at most this, is missing
UNTOLD_BYTES = 4096
NAME = re.compile(r"unit:0:0:(\d{1,5})")  # by libvirt: bus, target, LUN of the session, which is of one target


@dataclass(frozen=True, slots=True)
class Reach:
    """The servers of a pool (name, port or ""), what of them it is (a target's name, or a pool of Ceph's), and as whom one goes
    there: the secret itself is its host's libvirt's."""

    hosts: tuple[tuple[str, str], ...]
    name: str
    initiator: str = ""
    user: str = ""
    secret_kind: str = ""  # "ceph" or "chap"
    secret_uuid: str = ""
    secret_usage: str = ""


@dataclass(frozen=True, slots=True)
class Lun:
    """One LUN: `key` is its target's name and its number, `user` the domain that names it, if one does."""

    key: str
    size_bytes: int
    user: str = ""

    @property
    def gib(self) -> int:
        """Whole GiB that it has."""
        return (self.size_bytes + UNTOLD_BYTES) // GIB


def lun_key(target: str, name: str) -> str:
    """The key of the LUN of that name in a pool of that target; nothing for another name than libvirt gives LUNs."""
    match = NAME.fullmatch(name)
    return f"{target}/{match[1]}" if match and target else ""


def lun_name(key: str) -> str:
    """The name that libvirt gives the LUN in its pool."""
    return f"unit:0:0:{key.rpartition('/')[2]}"


def reach_as_json(reach: Reach | None) -> dict[str, Any]:
    """As it is kept in the pool's row."""
    return asdict(reach) if reach is not None else {}


def reach_from_json(kept: Mapping[str, Any]) -> Reach | None:
    """As `reach_as_json` kept it."""
    return Reach(**{**kept, "hosts": tuple((name, port) for name, port in kept["hosts"])}) if kept else None


def lun_as_json(lun: Lun) -> dict[str, Any]:
    """As it is kept in the pool's row."""
    return asdict(lun)


def lun_from_json(kept: Mapping[str, Any]) -> Lun:
    """As `lun_as_json` kept it."""
    return Lun(**kept)
