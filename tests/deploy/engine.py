"""A Docker engine of the test's own: its data in a folder that goes, its networks in a namespace that goes.

Images are built by an engine in the machine's own namespace, which has the way to the registries of packages but is given
no bridge and no firewall rules to leave behind; what is built is run by a second one on the same data, in a namespace.
The base image comes from debootstrap, for no registry of images may be within reach.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.waiting import wait_for

BASE = "hopsight-base:test"
SUITE = "bookworm"
SOURCES = Path("/etc/apt/sources.list.d/debian.sources")
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
AUTHORITIES_INSIDE = "/etc/ssl/machine.crt"  # not the bundle's place: installing ca-certificates makes that anew
TOOLS = ("dockerd", "docker", "debootstrap", "docker-compose", "ip", "tar")


def missing_tools() -> list[str]:
    """What a run needs and this machine has not."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]


@contextmanager
def engine(folder: Path, netns: str = "") -> Iterator[dict[str, str]]:
    """The environment in which `docker` talks to an engine on the data in `folder`, within `netns` when it is named."""
    socket, pidfile = folder / "docker.sock", folder / "pid"
    argv = [
        "dockerd",
        "--data-root",
        str(folder / "data"),
        "--exec-root",
        str(folder / "exec"),
        "-H",
        f"unix://{socket}",
    ]
    argv += ["--pidfile", str(pidfile)]
    inside = ["nsenter", f"--net=/run/netns/{netns}"] if netns else []  # not ip-netns: it hides the cgroups
    argv += [] if netns else ["--bridge=none", "--iptables=false"]
    environment = {**os.environ, "DOCKER_HOST": f"unix://{socket}", "DOCKER_BUILDKIT": "0"}
    with open(folder / "log", "a") as log:
        daemon = subprocess.Popen([*inside, *argv], stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(lambda: _answers(environment) or daemon.poll() is not None, 60, "the Docker engine answers", 0.2)
        assert daemon.poll() is None, (folder / "log").read_text()[-2000:]
        yield environment
    finally:
        daemon.terminate()
        try:
            daemon.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(daemon.pid, signal.SIGKILL)
            daemon.wait()
        _unmount(folder)


@contextmanager
def namespace(name: str) -> Iterator[str]:
    """A network namespace with its loopback up."""
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)


def import_base(folder: Path, environment: dict[str, str]) -> None:
    """Debian as debootstrap makes it, with this machine's package sources and certificate authorities."""
    root = folder / "root"
    sources = SOURCES.read_text()
    mirror = next(line.split()[1] for line in sources.splitlines() if line.startswith("URIs:"))
    argv = ["debootstrap", "--variant=minbase", "--include=ca-certificates", SUITE, str(root), mirror]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    (root / "etc/apt/sources.list").unlink(missing_ok=True)
    (root / "etc/apt/sources.list.d/debian.sources").write_text(sources)
    shutil.copy(AUTHORITIES, root / AUTHORITIES_INSIDE.lstrip("/"))
    words = f"ENV NODE_EXTRA_CA_CERTS={AUTHORITIES_INSIDE} PIP_CERT={AUTHORITIES_INSIDE}"
    tar = subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE)
    argv = ["docker", "import", "--change", words, "-", BASE]
    subprocess.run(argv, stdin=tar.stdout, env=environment, check=True, stdout=subprocess.DEVNULL)
    assert tar.wait() == 0
    shutil.rmtree(root)


def _unmount(folder: Path) -> None:
    """What the engine leaves mounted: the handle of the namespace that it ran in."""
    points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for point in sorted((point for point in points if point.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "--lazy", point], check=False)


def _answers(environment: dict[str, str]) -> bool:
    argv = ["docker", "version"]
    return subprocess.run(argv, env=environment, capture_output=True, timeout=20).returncode == 0
