"""One hypervisor of a lab: namespaces for network, mounts and host name, and in them the real ovsdb-server, ovs-vswitchd
(userspace datapath), virtlogd and libvirtd.

Every step looks first and acts only on what is missing, so that `ensure` starts a hypervisor and heals it alike. A
holder (`sleep`) keeps the namespaces; when it was killed, a new one is started in the namespaces of a daemon that lives.
"""

from __future__ import annotations

import resource
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

from lab.commands import ovs_version, run, start, tool, wait_until
from lab.errors import CommandFailed, LabError
from lab.namespaces import RUN_NETNS, ensure_address, ensure_host_cables, ensure_namespace
from lab.paths import UNDERLAY_MTU, HypervisorPaths
from lab.processes import Process, marked, marks

READY_DEADLINE_S = 30.0
SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
HOLDER = "sleep"
BRIDGE_HOOK = (
    Path(__file__).resolve().parent.parent / "portal" / "hosts" / "hooks" / "hopsight-bridge"
)  # as on any host
# folder of the hypervisor's root: where it is bound
PRIVATE = {
    "run": "/run",
    "etc-openvswitch": "/etc/openvswitch",
    "etc-libvirt": "/etc/libvirt",
    "lib-libvirt": "/var/lib/libvirt",
    "cache-libvirt": "/var/cache/libvirt",
    "log-libvirt": "/var/log/libvirt",
    "log-openvswitch": "/var/log/openvswitch",
}
FOLDERS = (*PRIVATE, "disks", "run/openvswitch", "run/libvirt", "run/lock", "lib-libvirt/qemu", "lib-libvirt/images")
LIBVIRTD_CONF = """\
unix_sock_rw_perms = "0700"
unix_sock_ro_perms = "0700"
unix_sock_dir = "/run/libvirt"
auth_unix_rw = "none"
auth_unix_ro = "none"
max_clients = 1000
max_client_requests = 100
max_workers = 20
host_uuid = "{uuid}"
"""
# As root and without cgroups, security labels or a mount namespace per guest: the hypervisor's own namespaces are the
# isolation, and a guest must be found by them when everything else is lost.
QEMU_CONF = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = []
namespaces = []
set_process_name = 0
max_files = 8192
migration_host = "{underlay}"
"""


class Hypervisor:
    """A hypervisor of the lab `lab`, started and healed by `ensure`."""

    def __init__(self, lab: str, paths: HypervisorPaths) -> None:
        self.lab = lab
        self.paths = paths
        self.holder = 0

    def ensure(self) -> HypervisorPaths:
        """Its paths, when libvirtd and Open vSwitch answer; `LabError` with their words otherwise."""
        self._ensure_namespace()
        self._ensure_folders()
        self._ensure_holder()
        self._ensure_private_folders()
        ensure_host_cables(self.lab, self.paths.name)
        self._daemon("virtlogd", "virtlogd", "-d")
        self._daemon("libvirtd", "libvirtd", "-d", "-f", "/etc/libvirt/libvirtd.conf")
        self._ensure_switch()
        self._ensure_underlay_bridge()
        self._wait_for_libvirt()
        return self.paths

    def processes(self) -> list[Process]:
        """Its own processes: the holder and the daemons."""
        return marked(self.lab, self.paths.name)

    def _pid_of(self, command: str) -> int:
        return next((process.pid for process in self.processes() if process.command == command[:15]), 0)

    def _ensure_namespace(self) -> None:
        """Its network namespace; one that lost its name while its processes live gets the name back."""
        survivor = next((process.pid for process in self.processes()), 0)
        if survivor and not (RUN_NETNS / self.paths.netns).exists():
            run("ip", "netns", "attach", self.paths.netns, str(survivor))
        ensure_namespace(self.paths.netns)

    def _ensure_folders(self) -> None:
        root = self.paths.root
        for folder in FOLDERS:
            (root / folder).mkdir(mode=0o755, parents=True, exist_ok=True)
        (root / "run").chmod(0o755)
        identity = uuid.uuid5(uuid.NAMESPACE_DNS, f"{self.paths.name}.{self.lab}.hopsight.invalid")
        _write(root / "etc-libvirt" / "libvirtd.conf", LIBVIRTD_CONF.format(uuid=identity))
        _write(root / "etc-libvirt" / "qemu.conf", QEMU_CONF.format(underlay=self.paths.underlay_ip))
        hook = root / "etc-libvirt" / "hooks" / "network.d" / BRIDGE_HOOK.name
        hook.parent.mkdir(parents=True, exist_ok=True)
        _write(hook, BRIDGE_HOOK.read_text())
        hook.chmod(0o755)
        _write(root / "hosts", f"127.0.0.1 localhost\n{self.paths.underlay_ip} {self.paths.name}\n")

    def _ensure_holder(self) -> None:
        self.holder = self._pid_of(HOLDER)
        if self.holder:
            return
        survivor = next((process.pid for process in self.processes()), 0)
        enter: tuple[str, ...]
        if survivor:
            enter = ("nsenter", "--target", str(survivor), "--mount", "--net", "--uts")
        else:
            enter = ("ip", "netns", "exec", self.paths.netns, "unshare", "--mount", "--uts", "--propagation", "private")
        argv = (*enter, tool(HOLDER), "infinity")
        start("setsid", "--fork", *argv, env=marks(self.lab, self.paths.name))
        self.holder = wait_until(lambda: self._pid_of(HOLDER), READY_DEADLINE_S, f"namespaces of {self.paths.name}")

    def _ensure_private_folders(self) -> None:
        """Bind what is not bound yet: an `up` may have been killed between the holder and its mounts, and a daemon must
        never run on the machine's own folders."""
        root = self.paths.root
        inside = ("nsenter", "--target", str(self.holder), "--mount", "--uts")
        mounts = [line.split() for line in Path(f"/proc/{self.holder}/mountinfo").read_text().splitlines()]
        bound = {words[4] for words in mounts if f"/{self.lab}/{self.paths.name}/" in f"{words[3]}/"}
        for name, place in {**PRIVATE, "hosts": "/etc/hosts"}.items():
            if place not in bound:
                if name != "hosts":
                    Path(place).mkdir(parents=True, exist_ok=True)
                run(*inside, "mount", "--bind", str(root / name), place)
        run(*inside, "hostname", self.paths.name)

    def _inside(self, *argv: str) -> tuple[str, ...]:
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        limit = ("prlimit", f"--nofile={most}:{most}") if most != resource.RLIM_INFINITY else ()
        return ("nsenter", "--target", str(self.holder), "--mount", "--net", "--uts", *limit, tool(argv[0]), *argv[1:])

    def _daemon(self, command: str, *argv: str) -> bool:
        if self._pid_of(command):
            return False
        try:
            start(*self._inside(*argv), env=marks(self.lab, self.paths.name))
        except CommandFailed as problem:
            raise LabError(f"{command} does not start on {self.paths.name}: see {self.paths.root}/log-*") from problem
        return True

    def _ensure_switch(self) -> None:
        database = self.paths.root / "etc-openvswitch" / "conf.db"
        if not database.exists():
            run("ovsdb-tool", "create", str(database), str(SCHEMA))
        log = ("--no-chdir", "--pidfile", "--detach", "-vconsole:off", "-vsyslog:off", "-vfile:info")
        remotes = ("--remote=punix:/run/openvswitch/db.sock", "--remote=db:Open_vSwitch,Open_vSwitch,manager_options")
        logs = "/var/log/openvswitch"
        self._daemon("ovsdb-server", "ovsdb-server", *remotes, *log, f"--log-file={logs}/ovsdb-server.log")
        one_thread_each = ("other_config:n-handler-threads=1", "other_config:n-revalidator-threads=1")
        identity = (f"external_ids:hostname={self.paths.name}", f"ovs_version={ovs_version()}")
        self.vsctl("--no-wait", "--", "init", "--", "set", "Open_vSwitch", ".", *one_thread_each, *identity)
        self._daemon("ovs-vswitchd", "ovs-vswitchd", *log, f"--log-file={logs}/ovs-vswitchd.log")

    def _ensure_underlay_bridge(self) -> None:
        """`br-ex`: userspace VXLAN needs the underlay NIC and the tunnel's local address on a bridge of its datapath."""
        bridge = ("--may-exist", "add-br", "br-ex", "--", "set", "Bridge", "br-ex", "datapath_type=netdev")
        port = ("--may-exist", "add-port", "br-ex", "under0")
        mtu = f"mtu_request={UNDERLAY_MTU}"
        self.vsctl(
            *bridge, "--", *port, "--", "set", "Interface", "br-ex", mtu, "--", "set", "Interface", "under0", mtu
        )
        ensure_address(self.paths.netns, "br-ex", f"{self.paths.underlay_ip}/24")

    def _wait_for_libvirt(self) -> None:
        wait_until(self._libvirt_answers, READY_DEADLINE_S, f"libvirtd on {self.paths.name}", every_s=0.05)

    def _libvirt_answers(self) -> bool:
        if not (self.paths.root / "run" / "libvirt" / "libvirt-sock").is_socket():
            return False
        return _succeeds(lambda: run("virsh", "-q", "-c", self.paths.libvirt_uri, "list", "--name"))

    def vsctl(self, *argv: str) -> str:
        """What ovs-vsctl says, waiting for ovs-vswitchd no longer than the deadline."""
        # marked: it waits for ovs-vswitchd, and may outlive an `up` that is killed meanwhile
        argv = ("ovs-vsctl", f"--db={self.paths.ovsdb}", f"--timeout={READY_DEADLINE_S:.0f}", *argv)
        return run(*argv, env=marks(self.lab, self.paths.name))


def _succeeds(action: Callable[[], object]) -> bool:
    try:
        action()
    except CommandFailed:
        return False
    return True


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        scratch = path.with_suffix(".new")
        scratch.write_text(text)
        shutil.move(scratch, path)
