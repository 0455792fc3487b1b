"""One hypervisor: a network and a mount namespace with real ovsdb-server, ovs-vswitchd, virtlogd, libvirtd.

A holder process (`unshare -m … sleep`) keeps the mount namespace; every daemon is started inside it by nsenter and
carries `HOPSIGHT_LAB_OF=<lab>` in its environment, by which `down` finds it even when every pid file is lost.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from lab.paths import HypervisorPaths, LabError
from lab.shell import run, succeeds

PRIVATE = ("run", "etc/openvswitch", "etc/libvirt", "var/lib/libvirt", "var/cache/libvirt", "var/log/libvirt")
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
QEMU_CONF = """user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = []
remember_owner = 0
namespaces = []
dynamic_ownership = 0
"""
LIBVIRTD_CONF = """unix_sock_group = "root"
unix_sock_rw_perms = "0700"
auth_unix_ro = "none"
auth_unix_rw = "none"
max_client_requests = 20
keepalive_interval = 5
"""
START_DEADLINE_S = 20.0


def ensure_hypervisor(lab: str, host: HypervisorPaths, underlay_nic: str) -> None:
    """The hypervisor with all its daemons answering; starts only what is not running."""
    _folders(host)
    holder = _ensure_holder(lab, host)
    inside = Inside(lab, host, holder)
    _ensure_ovs(inside)
    _ensure_underlay(inside, underlay_nic)
    _ensure_libvirt(inside)


class Inside:
    """Runs commands inside a hypervisor's namespaces."""

    def __init__(self, lab: str, host: HypervisorPaths, holder: int) -> None:
        self.lab = lab
        self.host = host
        self._prefix = ["nsenter", f"--mount=/proc/{holder}/ns/mnt", f"--net=/proc/{holder}/ns/net", "--"]

    def run(self, *argv: str) -> str:
        """The command's output."""
        return run([*self._prefix, *argv], env=lab_environment(self.lab))

    def succeeds(self, *argv: str) -> bool:
        """Whether the command exits with 0."""
        return succeeds([*self._prefix, *argv])

    def running(self, pidfile: str, program: str) -> bool:
        """Whether the pid file (as seen inside) names a live process of that program, of this lab."""
        path = self.host.root / pidfile.lstrip("/")
        try:
            pid = int(path.read_text().split()[0])
            return Path(f"/proc/{pid}/comm").read_text().strip() == program[:15]
        except (OSError, ValueError, IndexError):
            return False


def lab_environment(lab: str) -> dict[str, str]:
    """The environment of a lab's processes: bare, and marked."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": path, "HOPSIGHT_LAB_OF": lab, "LANG": "C.UTF-8", "HOME": "/root"}


def _folders(host: HypervisorPaths) -> None:
    for name in PRIVATE:
        (host.root / name).mkdir(parents=True, exist_ok=True)
    for name in ("run/openvswitch", "run/libvirt", "run/lock", "disks"):
        (host.root / name).mkdir(parents=True, exist_ok=True)
    etc = host.root / "etc/libvirt"
    if not (etc / "qemu.conf").exists():
        if Path("/etc/libvirt").is_dir():
            shutil.copytree("/etc/libvirt", etc, dirs_exist_ok=True, ignore=_only_settings)
        (etc / "libvirtd.conf").write_text(LIBVIRTD_CONF)
        (etc / "qemu.conf").write_text(QEMU_CONF)


def _only_settings(folder: str, names: list[str]) -> list[str]:
    """What not to copy of the machine's own libvirt settings: its domains, networks, pools, hooks and secrets."""
    return [name for name in names if os.path.isdir(os.path.join(folder, name))]


def _ensure_holder(lab: str, host: HypervisorPaths) -> int:
    pidfile = host.root / "holder.pid"
    try:
        pid = int(pidfile.read_text())
        if b"hopsight-holder" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    except (OSError, ValueError):
        pass
    binds = "".join(f'mount --bind "$1/{name}" /{name} && ' for name in PRIVATE)
    script = (
        f'mount --make-rprivate / && {binds}echo $$ > "$1/holder.pid.new" && mv "$1/holder.pid.new" "$1/holder.pid"'
        " && while :; do sleep 86400; done"
    )
    pidfile.unlink(missing_ok=True)
    argv = ["ip", "netns", "exec", host.netns, "unshare", "-m", "sh", "-c", script, "hopsight-holder", str(host.root)]
    silent = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.Popen(argv, env=lab_environment(lab), start_new_session=True, **silent)
    _until(pidfile.exists, f"{host.name}: its namespaces did not come up")
    return int(pidfile.read_text())


def _ensure_ovs(inside: Inside) -> None:
    database = "/etc/openvswitch/conf.db"
    if not (inside.host.root / database.lstrip("/")).exists():
        inside.run("ovsdb-tool", "create", database, SCHEMA)
    log = ("--log-file=/run/openvswitch/ovs.log", "-vconsole:off", "-vsyslog:off", "-vfile:warn")
    if not inside.running("/run/openvswitch/ovsdb-server.pid", "ovsdb-server"):
        remote = "--remote=punix:/run/openvswitch/db.sock"
        inside.run("ovsdb-server", database, remote, "--pidfile", "--detach", *log)
        inside.run("ovs-vsctl", "--no-wait", "init")
    if not inside.running("/run/openvswitch/ovs-vswitchd.pid", "ovs-vswitchd"):
        inside.run("ovs-vswitchd", "unix:/run/openvswitch/db.sock", "--pidfile", "--detach", *log)


def _ensure_underlay(inside: Inside, nic: str) -> None:
    host = inside.host
    mtu = "mtu_request=1600"
    inside.run(
        "ovs-vsctl", "--may-exist", "add-br", "br-ex", "--", "set", "bridge", "br-ex", "datapath_type=netdev",
        "--", "--may-exist", "add-port", "br-ex", nic, "--", "set", "interface", "br-ex", mtu,
        "--", "set", "open_vswitch", ".", f"external_ids:hostname={host.name}",
    )  # fmt: skip
    inside.run("ip", "addr", "replace", f"{host.underlay_ip}/24", "dev", "br-ex")
    inside.run("ip", "link", "set", "br-ex", "up")
    inside.run("ethtool", "-K", "br-ex", "tx", "off")


def _ensure_libvirt(inside: Inside) -> None:
    if not inside.running("/run/virtlogd.pid", "virtlogd"):
        inside.run("virtlogd", "-d", "-p", "/run/virtlogd.pid")
    if not inside.running("/run/libvirtd.pid", "libvirtd"):
        inside.run("libvirtd", "-d", "-p", "/run/libvirtd.pid")
    socket_file = inside.host.root / "run/libvirt/libvirt-sock"
    _until(socket_file.exists, f"{inside.host.name}: libvirtd did not open its socket")


def _until(predicate: Callable[[], bool], problem: str) -> None:
    end = time.monotonic() + START_DEADLINE_S
    while not predicate():
        if time.monotonic() > end:
            raise LabError(f"{problem} within {START_DEADLINE_S:.0f} s")
        time.sleep(0.02)
