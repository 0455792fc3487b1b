"""What an image's header says, read by us before any QEMU opens it, and then by an unprivileged qemu-img.

A header can name other files (backing and data files: CVE-2022-47951, CVE-2024-32498), claim any size, or be another
format's than was said. qcow2's is in QEMU's docs/interop/qcow2.txt; all numbers are big-endian.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from pathlib import Path

from tasks.hypervisor.disks import DiskProblem
from tasks.images.sandbox import hand_over, run_in

GIB = 1024**3
INFO_PATIENCE_S, CHECK_PATIENCE_S, CONVERT_PATIENCE_S = 30.0, 300.0, 3000.0
CHUNK_BYTES = 1 << 20
QCOW2 = b"QFI\xfb"
EXTERNAL_DATA = 1 << 2  # incompatible feature
# What files begin with that are neither of the two: told by name, for a raw disk may hold anything else.
FOREIGN: tuple[tuple[bytes, str], ...] = (
    (QCOW2, "a qcow2"),
    (b"KDMV", "a VMDK"),
    (b"# Disk Descriptor", "a VMDK's descriptor"),
    (b"vhdxfile", "a VHDX"),
    (b"conectix", "a VHD"),
    (b"<<< ", "a VDI"),
    (b"\x1f\x8b", "packed with gzip"),
    (b"\xfd7zXZ\x00", "packed with xz"),
    (b"BZh", "packed with bzip2"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"<!DOCTYPE", "a web page"),
    (b"<html", "a web page"),
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found of a usable image."""

    disk_format: str
    virtual_bytes: int


def inspect_image(source: Path, disk_format: str, virtual_most_gib: int) -> Facts:
    """The image's facts. Raises DiskProblem in words for one that is not what it is said to be, or points elsewhere."""
    with source.open("rb") as file:
        head = file.read(4096)
    size = source.stat().st_size
    if disk_format == "qcow2":
        _check_qcow2(head, size)
    elif found := next((name for magic, name in FOREIGN if head.startswith(magic)), ""):
        raise DiskProblem(f"the file is said to be raw; it is {found}: say so, or unpack it first")
    if disk_format == "raw" and size % 512:
        raise DiskProblem(f"a raw disk is whole sectors of 512 bytes; {size} bytes came: it is cut off")
    virtual = _virtual_bytes(source, disk_format)
    if not 0 < virtual <= virtual_most_gib * GIB:
        words = f"{virtual / GIB:.4g} GiB" if virtual else "no bytes"
        raise DiskProblem(
            f"guests would see a disk of {words}; more than none and at most {virtual_most_gib} GiB are allowed"
        )
    if disk_format == "qcow2":
        _check_whole(source, size)
    return Facts(disk_format, virtual)


def _check_qcow2(head: bytes, size: int) -> None:
    if not head.startswith(QCOW2):
        found = next((name for magic, name in FOREIGN if head.startswith(magic)), "something else")
        raise DiskProblem(f"the file is said to be a qcow2; it is {found}")
    if len(head) < 104:
        raise DiskProblem(f"the qcow2 is cut off: {size} bytes came, its header alone is longer")
    version, backing_offset, backing_length, cluster_bits = struct.unpack_from(">IQII", head, 4)
    if version not in (2, 3):
        raise DiskProblem(f"the qcow2's version is {version}; 2 and 3 are allowed")
    if backing_offset or backing_length:
        raise DiskProblem(
            "the qcow2 has a backing file: only images that stand alone are allowed (qemu-img convert it)"
        )
    if version == 3 and struct.unpack_from(">Q", head, 72)[0] & EXTERNAL_DATA:
        raise DiskProblem("the qcow2 keeps its data in another file: only images that stand alone are allowed")
    if not 9 <= cluster_bits <= 21:
        raise DiskProblem(f"the qcow2's clusters have {cluster_bits} bits; 9 to 21 are allowed")
    if struct.unpack_from(">I", head, 32)[0]:
        raise DiskProblem("the qcow2 is encrypted: nobody could boot from it")
    l1_entries, l1_offset = struct.unpack_from(">IQ", head, 36)
    if l1_offset + 8 * l1_entries > size:
        raise DiskProblem(
            f"the qcow2 is cut off: {size} bytes came, its tables alone need {l1_offset + 8 * l1_entries}"
        )


def _virtual_bytes(source: Path, disk_format: str) -> int:
    hand_over(source.parent)
    told = run_in(
        source.parent, "info", "--output=json", "-f", disk_format, source.name, most_bytes=0,
        patience_s=INFO_PATIENCE_S,
    )  # fmt: skip
    facts = json.loads(told)
    special = facts.get("format-specific", {}).get("data", {})
    if facts.get("backing-filename") or special.get("data-file"):
        raise DiskProblem("the image points at another file: only images that stand alone are allowed")
    return int(facts["virtual-size"])


def _check_whole(source: Path, size: int) -> None:
    told = run_in(
        source.parent, "check", "--output=json", "-f", "qcow2", source.name, most_bytes=0,
        patience_s=CHECK_PATIENCE_S, accepted=(0, 2, 3),
    )  # fmt: skip
    facts = json.loads(told)
    if facts.get("corruptions") or facts.get("check-errors"):
        raise DiskProblem(
            f"the qcow2 is cut off or damaged: {facts.get('corruptions', 0)} of its clusters contradict each other"
        )
    end = int(facts.get("image-end-offset", 0))
    cluster = 1 << struct.unpack(">I", source.open("rb").read(24)[20:24])[0]
    if -(-size // cluster) * cluster < end:
        raise DiskProblem(f"the qcow2 is cut off: {size} bytes came, its clusters need {end}")


def check_digest(source: Path, wanted: str) -> str:
    """The name of the sum that was right, or "" when none is wanted. Raises DiskProblem when it is not right."""
    if not wanted:
        return ""
    name = "sha256" if len(wanted) == 64 else "sha512"
    total = hashlib.new(name)
    with source.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            total.update(chunk)
    if total.hexdigest() != wanted:
        raise DiskProblem(f"the {name} is {total.hexdigest()}; {wanted} was given: another file, or one cut off")
    return name


def convert_to_qcow2(source: Path, facts: Facts, most_bytes: int) -> Path:
    """A fresh qcow2 beside the source with its content and nothing of its header; at most so large."""
    target = source.with_name("converted.qcow2")
    target.unlink(missing_ok=True)
    hand_over(source.parent)
    run_in(
        source.parent, "convert", "-q", "-f", facts.disk_format, "-O", "qcow2", source.name, target.name,
        most_bytes=most_bytes, patience_s=CONVERT_PATIENCE_S,
    )  # fmt: skip
    return target
