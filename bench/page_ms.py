"""Every main page at 1,000 hosts, 10,000 VMs and 50,000 ports, on PostgreSQL: server time and queries, in one process.

One team owns all of it, which no page may assume away, and its owner operates the hosts. The reference is the same pages of a
deployment with 2 hosts and 50 VMs, on the same server.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROUNDS = 15
SIZES = {"large": (1000, 10_000), "small": (2, 50)}
PAGES = (
    "/", "/vms/", "/vms/?q=vm-77", "/vms/?sort=-age&page=90", "/vms/create/", "/images/", "/volumes/", "/pools/",
    "/networks/", "/routers/", "/floating/", "/security-groups/", "/mirrors/",
    "/operations/", "/activity/", "/alerts/", "/usage/", "/members/",
    "/hosts/", "/flows/", "/topology/", "/trace/", "/checks/", "/matrix/", "/search/?q=vm-7",
    "/all-teams/", "/usage/all/", "/bundles/",
)  # fmt: skip


def page_ms() -> dict[str, object]:
    """p95 of all pages in the large deployment against the small one; `how` names the slowest."""
    from bench.fan_out import redis_at
    from tests.databases import cluster

    told = {}
    with cluster() as url, tempfile.TemporaryDirectory(prefix="hs-pages-") as folder, redis_at(Path(folder)):
        for size, sizes in SIZES.items():
            told[size] = _run(f"{url.rpartition('/')[0]}/pages_{size}", url, folder, sizes)
    large, small = told["large"], told["small"]
    ours, reference = (_p95([one for page in size.values() for one in page["ms"]]) for size in (large, small))
    cpu = _p95([page["cpu_ms"] for page in large.values()])
    slowest = sorted(large.items(), key=lambda page: -_p95(page[1]["ms"]))[:5]
    words = ", ".join(f"{name} {_p95(page['ms']):.0f} ms ({page['cpu_ms']:.0f} of CPU, {page['queries']} queries)" for name, page in slowest)  # fmt: skip
    how = (
        f"p95 of {len(large)} pages at 1,000 hosts, 10,000 VMs, 50,000 ports on PostgreSQL, {cpu:.0f} ms of CPU; slowest: {words}; "
        f"at most {max(page['queries'] for page in large.values())} queries; reference: 2 hosts, 50 VMs"
    )
    return {"ours": round(ours, 1), "reference": round(reference, 1), "ratio": round(ours / reference, 2), "unit": "ms", "how": how}  # fmt: skip


def _run(database: str, server: str, folder: str, sizes: tuple[int, int]) -> dict[str, Any]:
    import psycopg

    with psycopg.connect(server, autocommit=True) as rows:
        rows.execute(f"CREATE DATABASE {database.rpartition('/')[2]}".encode())
    environment = {
        **os.environ, "HOPSIGHT_STATE": folder, "HOPSIGHT_REDIS": f"unix://{folder}/r.sock", "HOPSIGHT_DATABASE": database,
        "DJANGO_SETTINGS_MODULE": "portal.config.settings", "HOPSIGHT_LOG": "ERROR",
    }  # fmt: skip
    argv = [sys.executable, "-m", "bench.page_ms", *map(str, sizes)]
    done = subprocess.run(argv, env=environment, cwd=Path(__file__).parent.parent, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20)[-1]


def measure(hosts: int, vms: int) -> dict[str, Any]:
    """Each page's times, processor time of this process, and queries."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext, override_settings

    from bench.page_rows import filled
    from portal.config.memory import collect_seldom

    call_command("migrate", verbosity=0)
    user, urls = filled(hosts, vms)
    with connection.cursor() as cursor:  # a database at rest: what filling it left to do is not what pages wait for
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")
    collect_seldom()  # as the web process does
    client, found = Client(), {}
    with override_settings(ALLOWED_HOSTS=["testserver"]):
        client.force_login(user)
        for name, url in {**{page: page for page in PAGES}, **urls}.items():
            client.get(url)
            with CaptureQueriesContext(connection) as asked:
                answer = client.get(url)
            queries = len(asked)  # now: the next request begins the log anew
            assert answer.status_code == 200, (url, answer.status_code)
            began, times = time.process_time(), []
            for _ in range(ROUNDS):
                start = time.perf_counter()
                client.get(url)
                times.append((time.perf_counter() - start) * 1000)
            cpu_ms = (time.process_time() - began) * 1000 / ROUNDS
            found[name] = {"ms": times, "queries": queries, "cpu_ms": cpu_ms}
    return found


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]))))
