"""Fifty creates at once by five people over two hosts, in a process and a database of their own; prints what became of them.

HOPSIGHT_STATE=<empty folder> python -m tests.tasks.parallel_creates
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.config.settings")
django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.utils import timezone  # noqa: E402

from portal.accounts.models import Membership, Role, User  # noqa: E402
from portal.compute.models import VM  # noqa: E402
from portal.compute.requests import VMProblem, VMSpec, create_vm, use_of  # noqa: E402
from portal.hosts.models import Host  # noqa: E402
from portal.networks.models import FixedAddress, Port  # noqa: E402
from portal.operations import dispatch  # noqa: E402
from portal.operations.models import Operation  # noqa: E402
from tasks.hypervisor.driver import LiveInterface  # noqa: E402
from tasks.hypervisor.fake import FakeHypervisor  # noqa: E402
from tasks.sagas.engine import run_operation  # noqa: E402
from tasks.sagas.table import SAGAS  # noqa: E402
from tests.cast import Cast, make_cast  # noqa: E402

PEOPLE, EACH, QUOTA, WORKERS = 5, 10, 40, 16


def wire(interfaces: tuple[LiveInterface, ...]) -> None:
    """What the controller does."""
    Port.objects.filter(uuid__in=[one.interface_id for one in interfaces]).update(wired_at=timezone.now())


def make_hosts(folder: str) -> dict[str, FakeHypervisor]:
    seen_at = timezone.now() + timedelta(hours=1)  # no collector hears from them, however slow the machine is
    for number in (1, 2):
        Host.objects.create(name=f"hv{number}", libvirt_uri="fake:", ovsdb="", ovs_rundir="", controller_target="",
            disks_dir=folder, underlay_ip=f"192.0.2.{number}", ram_mib=65536, libvirt_seen_at=seen_at)  # fmt: skip
    return {f"hv{number}": FakeHypervisor(on_start=wire) for number in (1, 2)}


def ask(cast: Cast, user: User, number: int, start: threading.Barrier) -> str:
    """Ask for one VM when all are ready; the refusal's words, or nothing."""
    try:
        start.wait(60)
        spec = VMSpec(f"{user.username}-{number}", cast.image, cast.flavor, cast.network, f"{user.username}-{number}")
        create_vm(cast.payments, user, spec)
    except VMProblem as problem:
        return str(problem)
    finally:
        connection.close()
    return ""


def main() -> None:
    call_command("migrate", verbosity=0)
    cast = make_cast()
    cast.payments.__class__.objects.update(max_vms=QUOTA, max_vcpus=500, max_ram_mib=500_000, max_disk_gib=5000)
    users = [User.objects.create(username=f"person{number}") for number in range(PEOPLE)]
    for user in users:
        Membership.objects.create(user=user, team=cast.payments, role=Role.MEMBER)
    with tempfile.TemporaryDirectory() as folder:
        drivers = make_hosts(folder)
        workers = ThreadPoolExecutor(WORKERS)

        def work(operation_id: int) -> None:
            try:
                run_operation(operation_id, SAGAS, lambda host: drivers[host.name])
            finally:
                connection.close()

        futures = []
        dispatch._send = lambda _name, object_id: futures.append(workers.submit(work, object_id))
        start = threading.Barrier(PEOPLE * EACH)
        with ThreadPoolExecutor(PEOPLE * EACH) as people:
            asked = [people.submit(ask, cast, user, number, start) for user in users for number in range(EACH)]
            refusals = [future.result() for future in asked]
        for future in futures:
            future.result()
    report(cast, drivers, refusals)


def report(cast: Cast, drivers: dict[str, FakeHypervisor], refusals: list[str]) -> None:
    print(
        json.dumps(
            {
                "accepted": refusals.count(""),
                "refused": [words for words in refusals if words],
                "operations": dict(Counter(Operation.objects.values_list("state", flat=True))),
                "errors": sorted(set(Operation.objects.exclude(error="").values_list("error", flat=True))),
                "states": dict(Counter(VM.objects.values_list("state", flat=True))),
                "vms": use_of(cast.payments).vms,
                "addresses": list(
                    FixedAddress.objects.filter(port__vm__isnull=False).values_list("address", flat=True)
                ),
                "running": {name: len(driver.running) for name, driver in drivers.items()},
            }
        )
    )


if __name__ == "__main__":
    main()
