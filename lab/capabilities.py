"""What libvirt found out about this machine's QEMU. Asking every emulator takes libvirtd some seconds, in the first call
that needs it; a lab's libvirtd is always new, so the answers are kept beside the images and handed to each. libvirt
checks them itself (program, version, KVM) and asks again when they do not hold."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from lab.commands import run, tool
from lab.images.cache import default_cache, digest_of, ensure_folder
from lab.paths import HypervisorPaths

ASKING_S = 240.0
KEPT = Path("cache-libvirt") / "qemu" / "capabilities"


def share_capabilities(hosts: tuple[HypervisorPaths, ...]) -> None:
    """Every host's libvirtd knows this machine's emulators; the first lab of a machine asks them, through `hosts[0]`."""
    kept = ensure_folder(default_cache(), f"libvirt-{digest_of(_programs())}", lambda scratch: _ask(hosts[0], scratch))
    for host in hosts:
        target = host.root / KEPT
        target.mkdir(parents=True, exist_ok=True)
        for path in kept.glob("*.xml"):
            if not (target / path.name).exists():
                shutil.copy(path, target)


def _ask(host: HypervisorPaths, scratch: Path) -> None:
    # it starts each emulator once: half a minute in a fresh container, more on a busy machine
    run("virsh", "-q", "-c", host.libvirt_uri, "capabilities", patience_s=ASKING_S)
    shutil.copytree(host.root / KEPT, scratch, dirs_exist_ok=True)


def _programs() -> Iterator[bytes]:
    yield f"{os.uname().release} {Path('/dev/kvm').exists()}".encode()
    for program in ("libvirtd", "qemu-system-x86_64"):
        facts = Path(tool(program)).stat()
        yield f"{program} {facts.st_size} {facts.st_ctime_ns}".encode()
