"""The preview: hosts without guests, for whoever has no root. Each has a real ovsdb-server and a real ovs-vswitchd on its
dummy datapath; libvirt is its own test driver."""

from __future__ import annotations

import hashlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.commands import ovs_version, run, start
from lab.errors import LabError
from lab.hypervisor import SCHEMA
from lab.paths import HypervisorPaths, underlay_ip
from lab.processes import end_where, running

PREVIEW_MARK = "HOPSIGHT_PREVIEW"
SOCKET_MAX_BYTES = 107
LONGEST_SOCKET = "hv99/run/ovs-vswitchd.4194304.ctl"
PREVIEW_HOSTS_MAX = 50


def preview_up(state_dir: Path, hosts: int) -> tuple[HypervisorPaths, ...]:
    """The simulated hosts `hv1` to `hvN`, both daemons of each answering. Idempotent; needs no root."""
    if not 1 <= hosts <= PREVIEW_HOSTS_MAX:
        raise LabError(f"a preview has 1 to {PREVIEW_HOSTS_MAX} hosts, not {hosts}")
    if not SCHEMA.exists():
        raise LabError("Open vSwitch is not installed: install openvswitch-switch")
    base = _base(state_dir)
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    if base.stat().st_uid != os.getuid():
        raise LabError(f"{base} belongs to someone else: remove it, or name another state folder")
    paths = tuple(_paths(base, number) for number in range(1, hosts + 1))
    with ThreadPoolExecutor(max_workers=min(hosts, 8)) as pool:
        list(pool.map(lambda host: _ensure(host, base), paths))
    return paths


def preview_down(state_dir: Path) -> None:
    """None of the preview's processes or files is left; harmless when there are none."""
    base = _base(state_dir)
    end_where(lambda process: f"{PREVIEW_MARK}={base}" in process.environment, f"preview {base}")
    shutil.rmtree(base, ignore_errors=True)


def _base(state_dir: Path) -> Path:
    """A folder in the state folder, or a short one in /tmp where a unix socket's 107 bytes would not do."""
    wanted = state_dir.resolve() / "preview"
    if len(f"{wanted}/{LONGEST_SOCKET}".encode()) <= SOCKET_MAX_BYTES:
        return wanted
    digest = hashlib.sha256(str(wanted).encode()).hexdigest()[:12]
    return Path(f"/tmp/hopsight-preview-{os.getuid()}-{digest}")


def _paths(base: Path, number: int) -> HypervisorPaths:
    root = base / f"hv{number}"
    rundir = root / "run"
    return HypervisorPaths(
        name=f"hv{number}",
        root=root,
        netns="",
        underlay_ip=underlay_ip(number),
        libvirt_uri="test:///default",
        ovs_rundir=rundir,
        ovsdb=f"unix:{rundir}/db.sock",
        disks=root / "disks",
    )


def _ensure(host: HypervisorPaths, base: Path) -> None:
    rundir = host.ovs_rundir
    for folder in (rundir, host.disks):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    places = {f"OVS_{kind}DIR": str(rundir) for kind in ("RUN", "LOG", "DB", "SYSCONF")}
    env = {**places, PREVIEW_MARK: str(base)}
    marks = {f"{name}={value}" for name, value in env.items()}
    alive = {process.command for process in running() if marks <= set(process.environment)}
    database = rundir / "conf.db"
    if not database.exists():
        run("ovsdb-tool", "create", str(database), str(SCHEMA))
    common = ("--no-chdir", "--pidfile", "--detach", "-vconsole:off", "-vsyslog:off", "-vfile:info", "--log-file")
    if "ovsdb-server" not in alive:
        remotes = (f"--remote=punix:{rundir}/db.sock", "--remote=db:Open_vSwitch,Open_vSwitch,manager_options")
        start("ovsdb-server", str(database), *remotes, *common, env=env)
        threads = ("other_config:n-handler-threads=1", "other_config:n-revalidator-threads=1")
        identity = (f"external_ids:hostname={host.name}", f"ovs_version={ovs_version()}")
        words = ("set", "Open_vSwitch", ".", *threads, *identity)
        run("ovs-vsctl", f"--db={host.ovsdb}", "--no-wait", "--", "init", "--", *words)
    if "ovs-vswitchd" not in alive:
        start("ovs-vswitchd", host.ovsdb, "--enable-dummy=override", "--disable-system", *common, env=env)
