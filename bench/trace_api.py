"""A trace through the API of a running product: from POST /api/v1/traces until its answer is here.

Two guests on two hypervisors, one client with one kept-alive connection, that prefers to wait, or asks every 2 ms. The reference is the same
client's fetch of an answer that is there: what HTTP, log-in and JSON cost alone.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import secrets
import statistics
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path
from typing import Any

from bench.vms import ROOT, running_product

ROUNDS, WARM_UP = 200, 10
PORT = 18400
POLL_S, REST_S = 0.002, 0.05


class Client:
    """One logged-in person on one connection."""

    def __init__(self, port: int, user: str, password: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._cookies: dict[str, str] = {}
        page = self.ask("GET", "/login/")[1]
        found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        form = {"csrfmiddlewaretoken": found[1] if found else "", "username": user, "password": password}
        status, _ = self.ask("POST", "/login/", urllib.parse.urlencode(form), "application/x-www-form-urlencoded")
        assert status == 302, f"log-in answered {status}"

    def ask(self, method: str, path: str, body: str = "", kind: str = "application/json", prefer: str = "") -> tuple[int, str]:  # fmt: skip
        """Status and body; cookies are kept."""
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}
        if prefer:
            headers["Prefer"] = prefer
        if body:
            headers |= {"Content-Type": kind, "X-CSRFToken": self._cookies.get("csrftoken", "")}
        self._connection.request(method, path, body or None, headers)
        answer = self._connection.getresponse()
        for line in answer.headers.get_all("Set-Cookie") or []:
            name, _, value = line.partition(";")[0].partition("=")
            self._cookies[name] = value
        return answer.status, answer.read().decode()


def trace_api() -> dict[str, object]:
    """The trace's p50 and p99 in milliseconds, and a probe's time over the same two hosts."""
    with running_product(PORT) as product:
        argv = [sys.executable, "-m", "bench.trace_api"]
        told = subprocess.run(argv, env=product.environment, cwd=ROOT, capture_output=True, text=True, timeout=900)
    if told.returncode:
        raise RuntimeError(told.stderr[-2000:])
    return dict(json.loads(told.stdout.splitlines()[-1]))


def measure(port: int, user: str, password: str, source: str, target: str) -> dict[str, object]:
    """The figures from a product that runs on this machine, between two ports."""
    client = Client(port, user, password)
    asked = json.dumps({"source": source, "target": target, "protocol": "tcp", "port_dst": 22})
    waited, polled, fetch = [], [], []
    for number in range(ROUNDS + WARM_UP):
        time.sleep(REST_S)  # the real packet beside the trace before flies yet
        began = time.perf_counter()
        status, text = client.ask("POST", "/api/v1/traces", asked, prefer="wait=4")
        ended = time.perf_counter()
        assert status == 200, text[:500]
        path = f"/api/v1/traces/{_delivered(json.loads(text))['uuid']}"
        time.sleep(REST_S)
        fetched = time.perf_counter()
        client.ask("GET", path)
        if number >= WARM_UP:
            waited.append((ended - began) * 1000)
            fetch.append((time.perf_counter() - fetched) * 1000)
            polled.append(_polled(client, asked))
    return _figures(waited, fetch, polled)


def _polled(client: Client, asked: str) -> float:
    """Milliseconds from the POST until a GET has the answer, asked every 2 ms."""
    began = time.perf_counter()
    status, text = client.ask("POST", "/api/v1/traces", asked)
    assert status == 202, text[:500]
    path = f"/api/v1/traces/{json.loads(text)['uuid']}"
    while (answer := json.loads(client.ask("GET", path)[1]))["state"] == "running":
        time.sleep(POLL_S)
    took = (time.perf_counter() - began) * 1000
    _delivered(answer)
    return took


def _delivered(answer: dict[str, Any]) -> dict[str, Any]:
    assert answer["result"]["verdict"] == "delivered", answer["result"]["reason"]
    return answer


def _figures(took: list[float], fetch: list[float], polled: list[float]) -> dict[str, object]:
    p50, reference = statistics.median(took), statistics.median(fetch)
    return {
        "ours": round(p50, 1),
        "p99": round(statistics.quantiles(took, n=100)[98], 1),
        "polled": round(statistics.median(polled), 1),
        "reference": round(reference, 1),
        "ratio": round(p50 / reference, 2),
        "unit": "ms",
        "how": f"p50 of {len(took)}, POST /api/v1/traces with Prefer: wait until its answer, two hosts; polled: without it, GET every 2 ms; reference: GET of an answer that is there",
    }


def _with_guests() -> dict[str, Any]:
    """In a process with the product's settings: two running guests on two hosts, then the figures."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.config.settings")
    django.setup()
    from django.conf import settings

    from portal.accounts.models import Team, User
    from portal.compute.models import VM, Flavor, Image
    from portal.compute.requests import VMSpec, create_vm
    from portal.networks.models import Network, Port

    alice, team = User.objects.get(username="alice"), Team.objects.get(slug="payments")
    parts = (Image.objects.get(slug="tiny"), Flavor.objects.get(name="nano"), Network.objects.get(name="payments-net"))
    uuids = [create_vm(team, alice, VMSpec(f"trace-{n}", *parts, secrets.token_hex(8))).vm.pk for n in range(2)]
    deadline = time.monotonic() + 180
    while VM.objects.filter(pk__in=uuids, ssh_at__isnull=False).count() < 2:
        assert time.monotonic() < deadline, "the two guests did not come up within 180 s"
        time.sleep(0.2)
    ends = [str(Port.objects.get(vm_id=pk).uuid) for pk in uuids]
    words = dict(line.split(" ", 1) for line in (Path(settings.STATE_DIR) / "passwords").read_text().splitlines())
    from bench.probes import probe_two_hosts_ms

    vms = list(VM.objects.filter(pk__in=uuids))
    figures = measure(PORT, "alice", words["alice"].strip(), ends[0], ends[1])
    return {"trace_api": figures, "probe_two_hosts_ms": probe_two_hosts_ms(vms)}


if __name__ == "__main__":
    print(json.dumps(_with_guests()))
