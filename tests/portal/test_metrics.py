"""/metrics: what it tells, in a form that Prometheus reads, the same from every process, and to whom."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from portal.accounts.tokens import make_token
from portal.drops.models import DropCounter
from portal.hosts.models import Host
from portal.live.events import connection
from portal.live.hub import SOCKETS_PREFIX
from portal.metrics.tally import PortCount, keep_port_counts
from portal.networks.models import Port
from portal.operations.models import Operation
from sdn.model.cookie import CauseKind
from tests.cast import Cast
from tests.portal.clients import client_of, made_host, made_vm

NAME = re.compile(r"hopsight_\w+")
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
SECRET = "scraper-secret-0123456789"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def port(cast: Cast, settings) -> Port:  # type: ignore[no-untyped-def]
    settings.METRICS_TOKEN = SECRET
    connection().flushdb()
    host, vm = made_host(), made_vm(cast)
    port = Port.objects.get(vm=vm)
    keep_port_counts("hv1", {str(port.uuid): PortCount(10, 20, 1000, 2000, 3)})
    for kind, row, of in ((CauseKind.SYSTEM, 0, None), (CauseKind.PORT, port.pk, port)):
        DropCounter.objects.create(
            host=host, kind=kind, row_id=row, port=of, reason="spoofed_mac", packets=7, bytes=420, last_at=timezone.now()
        )  # fmt: skip
    now = timezone.now()
    Operation.objects.filter(object_uuid=vm.uuid).update(
        state="done", created_at=now - timedelta(seconds=4), finished_at=now
    )
    return port


def scrape(secret: str = SECRET) -> dict[str, float]:
    """Name with labels, sorted → value."""
    answer = Client().get(reverse("metrics"), headers={"Authorization": f"Bearer {secret}"})
    assert answer.status_code == 200, answer.content[:300]
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    found = {}
    for family in text_string_to_metric_families(answer.content.decode()):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()) if name != "port")
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def test_it_tells_drops_ports_vms_hosts_operations_and_requests(port: Port) -> None:
    told = scrape()
    of_port = 'host="hv1",network="payments-net",team="payments",vm="web-1"'
    of_port_reason = 'host="hv1",network="payments-net",reason="spoofed_mac",team="payments",vm="web-1"'
    assert told['hopsight_dropped_packets_total{host="hv1",reason="spoofed_mac"}'] == 7
    assert told[f"hopsight_port_dropped_packets_total{{{of_port_reason}}}"] == 7
    assert told[f"hopsight_port_sent_bytes_total{{{of_port}}}"] == 1000
    assert told[f"hopsight_port_received_packets_total{{{of_port}}}"] == 20
    assert told['hopsight_vms{state="creating",team="payments"}'] == 1
    assert told['hopsight_host_up{host="hv1"}'] == 1
    assert told['hopsight_operations{kind="vm.create",state="done"}'] == 1
    assert told['hopsight_vm_time_to_runnable_seconds{quantile="0.5"}'] == pytest.approx(4, abs=0.1)
    assert told["hopsight_celery_queue_tasks{}"] >= 0
    assert scrape()['hopsight_http_requests_total{method="GET",status="200",view="metrics"}'] == 1


def test_a_host_that_is_not_heard_of_is_down(port: Port) -> None:
    Host.objects.update(libvirt_seen_at=timezone.now() - timedelta(minutes=5))
    told = scrape()
    assert told['hopsight_host_up{host="hv1"}'] == 0
    assert told['hopsight_host_libvirt_age_seconds{host="hv1"}'] >= 300


def test_another_processs_requests_and_sockets_are_counted_too(port: Port) -> None:
    """The other process ends right after its requests, so what it had not told yet must be told at its end."""
    script = (
        "import django; django.setup()\n"
        "from django.conf import settings\n"
        f"settings.REDIS_URL = {django_settings.REDIS_URL!r}\n"
        "from portal.metrics.tally import tally\n"
        "for number in range(5): tally.note('GET', 'vm_list', 200, 0.03)\n"
    )
    environment = {"DJANGO_SETTINGS_MODULE": "portal.config.settings", "PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, env=environment, timeout=60)
    connection().set(f"{SOCKETS_PREFIX}a", 3)
    connection().set(f"{SOCKETS_PREFIX}b", 4)
    told = scrape()
    assert told['hopsight_http_requests_total{method="GET",status="200",view="vm_list"}'] == 5
    assert told['hopsight_http_request_duration_seconds_count{method="GET",view="vm_list"}'] == 5
    assert told['hopsight_http_request_duration_seconds_bucket{le="0.025",method="GET",view="vm_list"}'] == 0
    assert told['hopsight_http_request_duration_seconds_bucket{le="0.05",method="GET",view="vm_list"}'] == 5
    assert told["hopsight_live_sockets{}"] == 7


def test_it_is_refused_to_everybody_but_operators_and_the_scraper(cast: Cast, port: Port, settings) -> None:  # type: ignore[no-untyped-def]
    url = reverse("metrics")
    assert Client().get(url).status_code == 401
    assert Client().get(url, headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert client_of(cast.alice).get(url).status_code == 403
    _, alices = make_token(cast.alice, "mine", False, 30)
    assert Client().get(url, headers={"Authorization": f"Bearer {alices}"}).status_code == 403
    _, olgas = make_token(cast.olga, "scrape", False, 30)
    assert scrape(olgas)
    settings.METRICS_TOKEN = ""
    assert Client().get(url, headers={"Authorization": "Bearer "}).status_code == 401
    assert "web-1" not in Client().get(url).content.decode()


def test_every_name_has_the_prefix_and_a_counter_its_total(port: Port) -> None:
    body = Client().get(reverse("metrics"), headers={"Authorization": f"Bearer {SECRET}"}).content.decode()
    for family in text_string_to_metric_families(body):
        assert family.name.startswith("hopsight_") and family.documentation, family.name
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples), family.name


def test_the_dashboard_in_the_docs_asks_only_for_metrics_that_there_are(port: Port) -> None:
    body = Client().get(reverse("metrics"), headers={"Authorization": f"Bearer {SECRET}"}).content.decode()
    told = set()
    for family in text_string_to_metric_families(body):
        told |= {family.name + suffix for suffix in SUFFIXES[family.type]}
    board = json.loads((ROOT / "docs/grafana/hopsight.json").read_text())
    asked = {
        name for panel in board["panels"] for one in panel.get("targets", ()) for name in NAME.findall(one["expr"])
    }
    assert asked and asked <= told, asked - told
    documented = (ROOT / "docs/metrics.md").read_text()
    assert all(
        name.removesuffix("_bucket") in documented for name in asked if "host_" not in name and "port_" not in name
    )
