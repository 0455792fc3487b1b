"""The Debian 12 guest with cloud-init, built by debvm from Debian's own packages. It has no boot loader: the kernel and
initramfs inside it are taken out and booted directly, like the tiny guest's."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from lab.commands import run
from lab.images.cache import digest_of, ensure_folder

# sudo: cloud-init's user is nothing without it; e2fsprogs: its resize2fs grows the file system to the disk at first boot
PACKAGES = ("cloud-init", "openssh-server", "sudo", "e2fsprogs", "iproute2", "iputils-ping", "netcat-openbsd")
SIZE = "1500MB"
SUITE = "bookworm"
CMDLINE = "root=/dev/vda rw console=ttyS0 quiet mitigations=off net.ifnames=0 ds=nocloud"
BUILD_PATIENCE_S = 900.0
# Run in the image's tree while it is made: the cloud kernel's files under names that are always the same.
KEEP_KERNEL = 'cp "$1"/boot/vmlinuz-* "{folder}/kernel" && cp "$1"/boot/initrd.img-* "{folder}/initrd"'


@dataclass(frozen=True, slots=True)
class DebianImage:
    """What a domain needs to boot it; `disk` is the backing file of the guest's own disk."""

    kernel: Path
    initrd: Path
    disk: Path
    cmdline: str = CMDLINE
    memory_mib: int = 512


def build_debian(cache: Path) -> DebianImage:
    """The Debian image in `cache`, built there (some 90 s, needs the distribution's archive) if it is not."""
    folder = ensure_folder(cache, _name(), _build)
    return DebianImage(folder / "kernel", folder / "initrd", folder / "disk.qcow2")


def find_debian(cache: Path) -> DebianImage | None:
    """The Debian image if it was built into `cache`."""
    folder = cache / _name()
    return DebianImage(folder / "kernel", folder / "initrd", folder / "disk.qcow2") if folder.is_dir() else None


def _name() -> str:
    recipe = (SUITE, SIZE, *PACKAGES, KEEP_KERNEL)
    return f"debian-{digest_of(part.encode() for part in recipe)}"


def _build(scratch: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="hopsight-debian-") as work:
        raw = Path(work) / "disk.ext4"
        debvm = ("debvm-create", "-z", SIZE, "-r", SUITE, "-o", str(raw))
        options = (f"--include={','.join(PACKAGES)}", f"--customize-hook={KEEP_KERNEL.format(folder=work)}")
        run(*debvm, "--", *options, patience_s=BUILD_PATIENCE_S)
        for name in ("kernel", "initrd"):
            (scratch / name).write_bytes((Path(work) / name).read_bytes())
        convert = ("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2")
        run(*convert, str(raw), str(scratch / "disk.qcow2"), patience_s=BUILD_PATIENCE_S)
