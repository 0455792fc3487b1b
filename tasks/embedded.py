"""The hypervisors that `manage.py run` brings along: a lab (root) or the preview, and the rows that describe them."""

from __future__ import annotations

import logging
import os
import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

import lab
from lab.images import ensure_tiny, find_debian
from lab.paths import HypervisorPaths
from lab.preview import preview_down, preview_up
from portal.backups.models import BackupStore
from portal.compute.models import VM
from portal.hosts.models import Host
from portal.networks.intent import bump_generation
from portal.networks.models import FixedAddress, Port, PortKind
from portal.operations.models import UNFINISHED, Operation, OperationState
from portal.volumes.models import Volume

log = logging.getLogger("hopsight.run")
WIRED_DEADLINE_S = 20.0
FRESH_MARK = "hopsight-run"  # a file in a lab's folder: gone with the lab, so its absence means a new one


@dataclass(frozen=True, slots=True)
class Hypervisors:
    """What was started, and what the other processes must know of it."""

    mode: str  # "lab" or "preview"
    words: str
    paths: tuple[HypervisorPaths, ...]
    environment: dict[str, str]


def prepare_hypervisors(*, preview: bool, hosts: int) -> Hypervisors:
    """Start the lab, or the preview's simulated hosts; heals what an earlier run left."""
    if preview:
        paths = preview_up(Path(settings.STATE_DIR), hosts)
        words = f"Preview: {hosts} simulated hosts, no guests run. As root on Linux this starts real hypervisors."
        return Hypervisors("preview", words, paths, {})
    paths = lab.up(settings.LAB_NAME, hosts)
    prefix = " ".join(lab.access_command(settings.LAB_NAME))
    words = f"Lab {settings.LAB_NAME}: {hosts} hypervisors with libvirt, QEMU and Open vSwitch on this machine."
    return Hypervisors("lab", words, paths, {"HOPSIGHT_SSH_PREFIX": prefix})


def release_hypervisors(hypervisors: Hypervisors) -> None:
    """End them. The lab's guests and disks go with it; their rows are dropped at the next start."""
    if hypervisors.mode == "preview":
        preview_down(Path(settings.STATE_DIR))
    else:
        lab.down(settings.LAB_NAME)


def seed_rows(hypervisors: Hypervisors) -> None:
    """Users, sizes, image, network and the hosts' rows; VMs of a lab that is gone are forgotten."""
    os.environ.setdefault("HOPSIGHT_MODE", hypervisors.mode)
    fresh = [path for path in hypervisors.paths if not (path.root / FRESH_MARK).exists()]
    with transaction.atomic():
        bump_generation()
        names = [path.name for path in hypervisors.paths]
        gone = Host.objects.exclude(name__in=names)
        _forget_guests((*(path.name for path in fresh), *gone.values_list("name", flat=True)))
        Port.objects.filter(host__in=gone).update(host=None)
        gone.delete()
        for path in hypervisors.paths:
            _host_row(path, hypervisors.mode)
    call_command("seed")
    _seed_image(hypervisors.mode)
    _seed_store()
    for path in fresh:
        (path.root / FRESH_MARK).write_text("rows of this lab are known\n")


def _seed_image(mode: str) -> None:
    from portal.config.seed import seed_images

    cache = Path(settings.IMAGE_CACHE)
    if mode == "lab":
        seed_images(ensure_tiny(cache), find_debian(cache))
    else:
        seed_images(None)


def _seed_store() -> None:
    """A first place for backups, beside the database: one's own comes with the page of the stores."""
    folder = Path(settings.STATE_DIR) / "backups"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not BackupStore.objects.exists():
        BackupStore.objects.create(name="local", folder=str(folder))


def _host_row(path: HypervisorPaths, mode: str) -> None:
    Host.objects.update_or_create(
        name=path.name,
        defaults={
            "libvirt_uri": path.libvirt_uri,
            "ovsdb": path.ovsdb,
            "ovs_rundir": str(path.ovs_rundir),
            "controller_target": f"unix:{'/var/run/openvswitch' if mode == 'lab' else path.ovs_rundir}/hopsight.sock",
            "datapath_type": "netdev" if mode == "lab" else "dummy",
            "disks_dir": str(path.disks),
            "underlay_ip": path.underlay_ip,
            "underlay_mtu": 1600,
            "enabled": True,
            "accelerator": "",  # found out anew: the machine may have been booted since
            "accelerator_reason": "",
        },
    )


def _forget_guests(hosts: tuple[str, ...]) -> None:
    """Rows of guests whose lab was taken down: nothing of them is left on any host."""
    gone = VM.objects.filter(host__name__in=hosts)
    ids = list(gone.values_list("id", flat=True))
    FixedAddress.objects.filter(port__vm_id__in=ids).delete()
    Port.objects.filter(vm_id__in=ids).delete()
    unfinished = Operation.objects.filter(state__in=UNFINISHED)
    unfinished.filter(object_uuid__in=list(gone.values_list("uuid", flat=True))).update(
        state=OperationState.FAILED, error="The lab was taken down.", finished_at=timezone.now()
    )
    Volume.objects.filter(Q(pool__host__name__in=hosts) | Q(vm__in=ids)).delete()
    gone.delete()
    Port.objects.filter(host__name__in=hosts).update(ofport=None, tap="", wired_at=None, wired_generation=None)


def wait_for_hosts(stop: threading.Event) -> None:
    """Returns when each host's libvirt and switch were seen, so that the first VM finds a place; or after 20 s, said so."""
    deadline = time.monotonic() + WIRED_DEADLINE_S
    began = timezone.now()
    unseen = Host.objects.filter(enabled=True)
    while not stop.wait(0.1):
        missing = unseen.exclude(libvirt_seen_at__gt=began, ovs_seen_at__gt=began - timedelta(minutes=1))
        names = list(missing.values_list("name", flat=True))
        if not names:
            return
        if time.monotonic() > deadline:
            log.error("not seen yet hosts=%s: VMs can be asked for, but not placed there", ",".join(names))
            return


def connect_access(hypervisors: Hypervisors, stop: threading.Event) -> None:
    """Cable the machine's own access namespace to the seeded network, once the controller has made br-int."""
    if hypervisors.mode != "lab":
        return
    port = Port.objects.filter(kind=PortKind.ACCESS).select_related("network").first()
    if port is None:
        return
    rows = port.addresses.select_related("subnet").order_by("id")
    addresses = [f"{row.address}/{row.subnet.cidr.partition('/')[2]}" for row in rows]
    gateway = next((row.subnet.gateway for row in rows if ":" not in row.address), "")
    host = Host.objects.get(name=hypervisors.paths[0].name)
    if port.host_id != host.id:
        with transaction.atomic():
            bump_generation()
            Port.objects.filter(id=port.id).update(host=host, name="access")
    deadline = time.monotonic() + WIRED_DEADLINE_S
    while not (hypervisors.paths[0].ovs_rundir / "br-int.mgmt").exists() and not stop.wait(0.05):
        if time.monotonic() > deadline:
            log.error("br-int did not come up on host=%s: is the controller running?", host.name)
            return
    if not stop.is_set():
        lab.plug_access(settings.LAB_NAME, str(port.uuid), port.mac, addresses, port.network.mtu, gateway)
