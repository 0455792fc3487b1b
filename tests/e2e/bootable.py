"""A disk that boots by itself: a boot loader (SYSLINUX), and the tiny guest's kernel and initial file system, on FAT.

The guest finds its host key in the initial file system: it would keep it in the disk's first MiB otherwise, where the loader is.
"""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

from lab.commands import run, tool
from lab.images import default_cache, ensure_tiny
from lab.images.cpio import Archive

HEADS, SECTORS, CYLINDERS = 64, 32, 96  # 96 MiB
CONFIG = "SERIAL 0\nDEFAULT tiny\nPROMPT 0\nLABEL tiny\n  LINUX kernel\n  INITRD initrd\n  APPEND {cmdline}\n"


def make_bootable(target: Path) -> Path:
    """The disk as a qcow2 file, as somebody would upload it."""
    tiny = ensure_tiny(default_cache())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        disk, key = folder / "disk.img", folder / "ed25519"
        run(tool("dropbearkey"), "-t", "ed25519", "-f", str(key))
        archive = Archive()
        archive.file("etc/dropbear/ed25519", key.read_bytes(), 0o600)
        (folder / "initrd").write_bytes(tiny.initrd.read_bytes() + gzip.compress(archive.finish(), mtime=0))
        (folder / "syslinux.cfg").write_text(CONFIG.format(cmdline=tiny.cmdline))
        size = ["-t", str(CYLINDERS), "-h", str(HEADS), "-s", str(SECTORS)]
        run("mformat", "-i", str(disk), "-C", "-H", "0", *size, "::")
        run("mcopy", "-i", str(disk), str(folder / "initrd"), str(folder / "syslinux.cfg"), "::")
        run("mcopy", "-i", str(disk), str(tiny.kernel), "::kernel")
        run("syslinux", "--install", str(disk))
        run("qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", str(disk), str(target))
    return target
