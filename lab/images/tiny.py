"""The tiny guest: Debian's cloud kernel, and busybox with dropbear as an initramfs. Answers SSH some seconds after
`virsh start`, under TCG with 128 MiB. Reads a NoCloud seed (see `guest/rc`).

Needs no root and no network: everything comes from packages on this machine.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.commands import run, tool
from lab.errors import LabError
from lab.images.cache import digest_of, ensure_folder
from lab.images.cpio import Archive

GUEST = Path(__file__).parent / "guest"
DISK_SIZE = "64M"
MODULES = ("virtio_pci", "virtio_blk", "isofs", "virtio_net", "virtio-rng", "button", "evdev")
# No mitigations, watchdogs or probes that cost time under emulation; the rest of the boot is silent.
CMDLINE = (
    "console=ttyS0 quiet mitigations=off nokaslr tsc=reliable no_timer_check random.trust_cpu=on random.trust_bootloader=on"
    " cryptomgr.notests panic=1 i8042.noaux i8042.nokbd 8250.nr_uarts=1 audit=0 nowatchdog rcupdate.rcu_expedited=1"
)
SCRIPTS = {
    "init": ("init", 0o755),
    "inittab": ("etc/inittab", 0o644),
    "rc": ("etc/rc", 0o755),
    "rc.network": ("etc/rc.network", 0o755),
    "dhcp": ("etc/dhcp", 0o755),
    "profile": ("etc/profile", 0o644),
    "poweroff": ("etc/acpi/PWRF/00000080", 0o755),
}
ETC = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "etc/group": "root:x:0:\n",
    "etc/shells": "/bin/sh\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


@dataclass(frozen=True, slots=True)
class TinyImage:
    """What a domain needs to boot it: `kernel`, `initrd` and `cmdline` go into `<os>`, `disk` is the backing file of
    the guest's own disk (empty; the guest keeps its host key there)."""

    kernel: Path
    initrd: Path
    disk: Path
    cmdline: str = CMDLINE
    memory_mib: int = 128


def ensure_tiny(cache: Path) -> TinyImage:
    """The tiny image in `cache`, built there in about a second when this machine's packages or the recipe changed."""
    kernel = newest_kernel()
    folder = ensure_folder(
        cache, f"tiny-{digest_of(_ingredients(kernel))}", lambda scratch: build_tiny(scratch, kernel)
    )
    return tiny_in(folder)


def tiny_in(folder: Path) -> TinyImage:
    """The image that was built into the folder."""
    return TinyImage(kernel=folder / "kernel", initrd=folder / "initrd", disk=folder / "disk.qcow2")


def newest_kernel() -> Path:
    """Debian's newest cloud kernel on this machine."""
    found = sorted(Path("/boot").glob("vmlinuz-*-cloud-amd64"), key=lambda path: _version_key(path.name))
    if not found:
        raise LabError("no cloud kernel in /boot: install linux-image-cloud-amd64")
    return found[-1]


def _version_key(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]


def _ingredients(kernel: Path) -> Iterator[bytes]:
    for path in (kernel, Path(tool("busybox")), Path(tool("dropbear"))):
        facts = path.stat()
        yield f"{path} {facts.st_size} {facts.st_mtime_ns}".encode()
    for name in SCRIPTS:
        yield (GUEST / name).read_bytes()
    yield Path(__file__).read_bytes()


def build_tiny(
    scratch: Path, kernel: Path, modules: tuple[str, ...] = MODULES, trees: Path = Path("/lib/modules")
) -> None:
    """Builds the image's files into the folder, with that kernel, whose modules are in the folder of its release in `trees`."""
    (scratch / "kernel").write_bytes(kernel.read_bytes())
    # gzip: under TCG zstd takes longer to unpack, lz4 and none save nothing against it.
    (scratch / "initrd").write_bytes(gzip.compress(_archive(kernel, modules, trees).finish(), mtime=0))
    run("qemu-img", "create", "-q", "-f", "qcow2", str(scratch / "disk.qcow2"), DISK_SIZE)


def _archive(kernel: Path, modules: tuple[str, ...], trees: Path) -> Archive:
    archive = Archive()
    for folder in ("proc", "sys", "run", "tmp", "seed", "etc/dropbear", "var/log"):
        archive.folder(folder)
    archive.link("var/run", "/run")
    archive.folder("root", 0o700)
    archive.device("dev/console", 5, 1)
    for name, (path, mode) in SCRIPTS.items():
        archive.file(path, (GUEST / name).read_bytes(), mode)
    for path, text in ETC.items():
        archive.file(path, text.encode())
    _add_programs(archive)
    add_modules(archive, trees / kernel.name.removeprefix("vmlinuz-"), modules)
    return archive


def _add_programs(archive: Archive) -> None:
    busybox = tool("busybox")
    archive.file("bin/busybox", Path(busybox).read_bytes(), 0o755)
    for name in ("dropbear", "dropbearkey"):
        program = tool(name)
        archive.file(f"bin/{name}", Path(program).read_bytes(), 0o755)
    for library in sorted({*_libraries(tool("dropbear")), *_libraries(tool("dropbearkey"))}):
        archive.file(library.lstrip("/"), Path(library).read_bytes(), 0o755)
    for applet in run(busybox, "--list").split():
        archive.link(f"bin/{applet}", "/bin/busybox")
    for path in ("sbin/init", "sbin/reboot", "sbin/poweroff", "sbin/halt"):
        archive.link(path, "/bin/busybox")


def _libraries(program: str) -> list[str]:
    """The shared libraries and the loader of a program, by absolute path."""
    return re.findall(r"(?:=> )?(/\S+) \(0x", run("ldd", program))


def add_modules(archive: Archive, tree: Path, modules: tuple[str, ...]) -> None:
    """The modules of a kernel's tree and what they need under `lib/modules`, and in `lib/modules/order` their names as insmod wants them."""
    order: list[str] = []
    for name in load_order((tree / "modules.dep").read_text(), modules):
        content = (tree / name).read_bytes()
        order.append(Path(name).name)
        archive.file(f"lib/modules/{Path(name).name}", content)
    archive.file("lib/modules/order", "".join(f"{name}\n" for name in order).encode())


def load_order(dependencies: str, modules: tuple[str, ...]) -> list[str]:
    """Module files in the order that insmod needs, from the text of modules.dep (which lists the deepest last)."""
    needs: dict[str, list[str]] = {}
    for line in dependencies.splitlines():
        path, _, rest = line.partition(":")
        needs[Path(path).name.split(".")[0]] = [path, *rest.split()]
    order: list[str] = []
    for name in modules:
        if name not in needs:
            raise LabError(f"the kernel has no module {name}: install its package again")
        order.extend(path for path in reversed(needs[name]) if path not in order)
    return order
