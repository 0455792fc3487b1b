"""The `tiny` guest: busybox and dropbear on Debian's cloud kernel, all in an initramfs, with an empty disk.

Built from the packages of this machine at the first run and cached under a name that holds the digest of its parts, so
that a new kernel or a changed init makes a new image.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lab.paths import LabError
from lab.shell import run

HERE = Path(__file__).resolve().parent
MODULES = ("virtio_pci", "virtio_rng", "virtio_net", "virtio_blk", "isofs")
CMDLINE = "console=ttyS0 quiet mitigations=off random.trust_cpu=on tsc=reliable no_timer_check panic=1"
FOLDERS = ("bin", "sbin", "etc/dropbear", "root/.ssh", "proc", "sys", "dev", "modules", "usr/bin", "usr/sbin")


@dataclass(frozen=True, slots=True)
class TinyImage:
    """The parts of the image: what to boot, and an empty base for the disk."""

    kernel: Path
    initrd: Path
    disk: Path
    cmdline: str


def ensure_tiny(cache: Path) -> TinyImage:
    """The image, built if the cache has none of these parts. Raises LabError naming the package that is missing."""
    kernel = _newest_kernel()
    digest = _digest(kernel)
    folder = cache / f"tiny-{digest}"
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / ".tiny.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _build(kernel, folder)
    return TinyImage(folder / "vmlinuz", folder / "initrd", folder / "disk.qcow2", CMDLINE)


def _newest_kernel() -> Path:
    kernels = sorted(Path("/boot").glob("vmlinuz-*-cloud-amd64"), key=_version)
    if not kernels:
        raise LabError("no cloud kernel in /boot: install linux-image-cloud-amd64")
    return kernels[-1]


def _version(kernel: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", kernel.name)]


def _digest(kernel: Path) -> str:
    parts = [kernel.name, CMDLINE, " ".join(MODULES), Path(__file__).read_text()]
    parts += [(HERE / name).read_text() for name in ("init.sh", "udhcpc.sh")]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def _build(kernel: Path, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".tiny-") as scratch:
        tree = Path(scratch) / "tree"
        _fill(tree, kernel.name.removeprefix("vmlinuz-"))
        made = Path(scratch) / "made"
        made.mkdir()
        shutil.copy(kernel, made / "vmlinuz")
        _pack(tree, made / "initrd")
        run(["qemu-img", "create", "-q", "-f", "qcow2", str(made / "disk.qcow2"), "64M"])
        os.chmod(made, 0o755)
        made.rename(folder)


def _fill(tree: Path, release: str) -> None:
    for name in FOLDERS:
        (tree / name).mkdir(parents=True)
    os.chmod(tree / "root", 0o700)
    os.chmod(tree / "root/.ssh", 0o700)
    _copy_program("busybox", tree / "bin/busybox")
    for applet in run(["busybox", "--list"]).split():
        if not (tree / "bin" / applet).exists():
            (tree / "bin" / applet).symlink_to("busybox")
    for program in ("dropbear", "dropbearkey"):
        _copy_program(program, tree / "sbin" / program)
    shutil.copy(HERE / "init.sh", tree / "init")
    shutil.copy(HERE / "udhcpc.sh", tree / "etc/udhcpc.sh")
    for script in (tree / "init", tree / "etc/udhcpc.sh"):
        os.chmod(script, 0o755)
    (tree / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (tree / "etc/group").write_text("root:x:0:\ntty:x:5:\n")
    (tree / "etc/shells").write_text("/bin/sh\n")
    (tree / "etc/profile").write_text("export PATH=/bin:/sbin HOME=/root PS1='\\h:\\w# '\ncd\n")
    _copy_modules(tree / "modules", release)


def _copy_program(name: str, target: Path) -> None:
    found = shutil.which(name, path="/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin")
    if not found:
        raise LabError(f"no {name} on this machine: install busybox-static and dropbear-bin")
    shutil.copy(found, target)
    libraries = subprocess.run(["ldd", found], capture_output=True, text=True)
    for library in re.findall(r"(/\S+\.so\S*)", libraries.stdout):
        inside = target.parents[1] / library.lstrip("/")
        inside.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, inside)


def _copy_modules(target: Path, release: str) -> None:
    order: list[str] = []
    for module in MODULES:
        depends = run(["modprobe", "-S", release, "--show-depends", module])
        for path in re.findall(r"^insmod (\S+)", depends, re.MULTILINE):
            name = Path(path).name.split(".ko")[0]
            if name not in order:
                order.append(name)
                shutil.copy(path, target / f"{name}.ko")
    (target / "order").write_text("\n".join(order) + "\n")


def _pack(tree: Path, initrd: Path) -> None:
    names = sorted(str(path.relative_to(tree)) for path in tree.rglob("*"))
    archive = subprocess.run(
        ["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"],
        cwd=tree,
        input="\n".join(names).encode(),
        capture_output=True,
        check=True,
    )
    packed = subprocess.run(["zstd", "-q", "-9", "-c"], input=archive.stdout, capture_output=True, check=True)
    initrd.write_bytes(packed.stdout)
