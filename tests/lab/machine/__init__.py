"""A hypervisor with a kernel of its own, for what the kernel of this machine may lack (the device mapper): QEMU boots Debian's cloud
kernel, with this machine's root by virtiofs under a layer that is thrown away, so that nothing is installed in it.

[worker]--TCP on the loopback--[QEMU user network]--[libvirtd · LVM: vg0 on /dev/vda]
"""

from __future__ import annotations

import gzip
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import libvirt

from lab.commands import run, tool
from lab.images.cpio import Archive
from lab.images.tiny import CMDLINE, add_modules, newest_kernel
from tests.waiting import wait_for

HERE = Path(__file__).parent
MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "virtio-rng", "virtiofs", "overlay", "dm-mod")
MEMORY_MIB = 768
GROUP_GIB = 4
READY_S = 180.0


@dataclass(frozen=True, slots=True)
class Machine:
    """Where its libvirt answers, and the folder that it shares with this machine under the same path."""

    uri: str
    disks: Path


@contextmanager
def running_machine(folder: Path) -> Iterator[Machine]:
    """The machine, its libvirt answering and the volume group `vg0` empty; gone at the end, and with this process."""
    disks, port = folder / "disks", _free_port()
    disks.mkdir()
    (folder / "initrd").write_bytes(gzip.compress(_initrd(), 1, mtime=0))
    run("truncate", "--size", f"{GROUP_GIB}G", str(folder / "group.img"))
    uri = f"qemu+tcp://127.0.0.1:{port}/system"
    with ExitStack() as stack:
        stack.enter_context(_process(folder / "virtiofsd.log", *_shared_root(folder)))
        wait_for((folder / "root.sock").is_socket, 20, "virtiofsd listens")
        qemu = stack.enter_context(_process(folder / "console.log", *_qemu(folder, disks, port)))
        wait_for(lambda: _answers(uri, qemu, folder), READY_S, f"libvirt answers, see {folder}/console.log", 0.5)
        yield Machine(uri, disks)


def _initrd() -> bytes:
    archive, busybox = Archive(), tool("busybox")
    for path in ("proc", "sys", "lower", "upper", "new"):
        archive.folder(path)
    archive.device("dev/console", 5, 1)
    for name in ("init", "boot.sh"):
        archive.file(name, (HERE / name).read_bytes(), 0o755)
    archive.file("bin/busybox", Path(busybox).read_bytes(), 0o755)
    for applet in run(busybox, "--list").split():
        archive.link(f"bin/{applet}", "/bin/busybox")
    add_modules(archive, newest_kernel().name.removeprefix("vmlinuz-"), MODULES)
    return archive.finish()


def _shared_root(folder: Path) -> tuple[str, ...]:
    socket_path = f"--socket-path={folder}/root.sock"
    return ("/usr/lib/qemu/virtiofsd", socket_path, "-o", "source=/", "-o", "sandbox=chroot", "-o", "cache=auto")


def _qemu(folder: Path, disks: Path, port: int) -> tuple[str, ...]:
    return (
        "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-nographic", "-no-reboot",
        "-m", str(MEMORY_MIB), "-object", f"memory-backend-memfd,id=ram,size={MEMORY_MIB}M,share=on",
        "-machine", "q35,memory-backend=ram", "-kernel", str(newest_kernel()), "-initrd", f"{folder}/initrd",
        "-append", f"{CMDLINE} disks={disks}", "-chardev", f"socket,id=root,path={folder}/root.sock",
        "-device", "vhost-user-fs-pci,chardev=root,tag=root", "-device", "virtio-rng-pci",
        "-drive", f"file={folder}/group.img,format=raw,if=virtio",
        "-netdev", f"user,id=out,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:16509", "-device", "virtio-net-pci,netdev=out",
    )  # fmt: skip


@contextmanager
def _process(log: Path, command: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """It runs until the end of the block, and never longer than this process."""
    argv = ["setpriv", "--pdeathsig", "KILL", tool(command), *arguments]
    with log.open("wb") as out, subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out) as process:
        try:
            yield process
        finally:
            process.kill()


def _answers(uri: str, qemu: subprocess.Popen[bytes], folder: Path) -> bool:
    assert qemu.poll() is None, f"the machine ended: {(folder / 'console.log').read_text(errors='replace')[-2000:]}"
    with suppress(libvirt.libvirtError):
        libvirt.open(uri).close()
        return True
    return False


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
