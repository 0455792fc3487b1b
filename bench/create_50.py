"""Fifty VMs asked for at once, until each runs, against a shell's loop that makes the same guests by hand.

The loop is what an engineer writes: for each guest overlay, seed, `virsh define`, `virsh start`, one after another over
both hypervisors.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.vms import ROOT, running_product

COUNT, ASKERS = 50, 5
PORT = 18_420
DEADLINE_S = 300.0


def create_50_parallel_s() -> dict[str, object]:
    """Ours from the first request to the last VM that runs; the reference the whole loop."""
    with running_product(PORT) as product:
        argv = [sys.executable, "-m", "bench.create_50"]
        told = subprocess.run(argv, env=product.environment, cwd=ROOT, capture_output=True, text=True, timeout=1200)
    if told.returncode:
        raise RuntimeError(told.stderr[-2000:])
    ours, reference = json.loads(told.stdout.splitlines()[-1])
    return {
        "ours": round(ours, 2),
        "reference": round(reference, 2),
        "ratio": round(ours / reference, 2),
        "unit": "s",
        "how": f"{COUNT} creates by {ASKERS} askers at once over 2 hosts, until the last domain runs; tiny image, 128 MiB, "
        "TCG; reference: overlay + seed + virsh define + virsh start of as many, one after another",
    }


def _ours() -> float:
    from django.db import connection

    from portal.accounts.models import Team, User
    from portal.compute.models import VM, Flavor, Image
    from portal.compute.requests import VMSpec, create_vm, delete_vm
    from portal.networks.models import Network

    Team.objects.filter(slug="payments").update(max_vms=100, max_vcpus=100, max_ram_mib=65_536, max_disk_gib=500)
    alice, team = User.objects.get(username="alice"), Team.objects.get(slug="payments")
    parts = (Image.objects.get(slug="tiny"), Flavor.objects.get(name="nano"), Network.objects.get(name="payments-net"))

    def ask(number: int) -> int:
        try:
            return create_vm(team, alice, VMSpec(f"many-{number}", *parts, secrets.token_hex(8))).vm.pk
        finally:
            connection.close()

    began = time.time()
    with ThreadPoolExecutor(ASKERS) as askers:
        rows = VM.objects.filter(pk__in=list(askers.map(ask, range(COUNT))))
    deadline = time.monotonic() + DEADLINE_S
    while rows.filter(started_at__isnull=False).count() < COUNT:
        assert rows.count() == COUNT, f"{COUNT - rows.count()} creates failed: {_why()}"
        assert time.monotonic() < deadline, f"{rows.filter(started_at=None).count()} of {COUNT} do not run"
        time.sleep(0.1)
    took = max(rows.values_list("started_at", flat=True)).timestamp() - began
    for row in list(rows.all()):
        delete_vm(row, alice)
    while rows.all().exists():
        assert time.monotonic() < deadline + DEADLINE_S, "the VMs are not gone"
        time.sleep(0.2)
    return float(took)


def _why() -> str:
    from portal.operations.models import Operation

    return "; ".join(Operation.objects.exclude(error="").values_list("error", flat=True))


def _by_hand() -> float:
    from django.conf import settings

    from lab.handmade import HandmadeGuest, plain_bridge, remove_guest, start_guest
    from lab.images import ensure_tiny
    from lab.paths import lab_paths

    hosts, image = lab_paths(settings.LAB_NAME, 2), ensure_tiny(Path(settings.IMAGE_CACHE))
    for host in hosts:
        plain_bridge(host, "br-hand")
    guests = [
        HandmadeGuest(f"hand{n}", f"52:54:00:99:00:{n:02x}", "ssh-ed25519 AAAA", bridge="br-hand") for n in range(COUNT)
    ]
    began = time.perf_counter()
    for number, guest in enumerate(guests):
        start_guest(hosts[number % 2], guest, image)
    took = time.perf_counter() - began
    for number, guest in enumerate(guests):
        remove_guest(hosts[number % 2], guest.name)
    return took


def _both() -> None:
    """In a process with the product's settings: both times, as JSON."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.config.settings")
    django.setup()
    from portal.operations.dispatch import warm_up

    warm_up()  # as the web process does when it starts
    print(json.dumps([_ours(), _by_hand()]))


if __name__ == "__main__":
    _both()
