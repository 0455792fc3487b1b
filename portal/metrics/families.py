"""Every metric that /metrics tells, from rows and Redis at the time of asking. `FAMILIES` is the whole list.

Names follow Prometheus: a `hopsight_` prefix, the unit at the end, `_total` for what only grows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any

from django.db.models import Count, Sum
from django.utils import timezone
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from portal.checks.models import PathCheck
from portal.compute.models import VM
from portal.drops.models import DropCounter
from portal.hosts.models import Host
from portal.metrics.tally import BUCKETS_S, Key, http_counts, live_sockets, port_counts, queued_tasks
from portal.networks.models import Port
from portal.operations.models import Operation, OperationState
from sdn.model.cookie import CauseKind

PORT_LABELS = ("port", "vm", "team", "network", "host")
RECENT = timedelta(hours=1)
MOST_TIMED = 1000
QUANTILES = (0.5, 0.95, 1.0)
FRESH = timedelta(seconds=30)


class Rows(Collector):
    """What a registry collects: all families, made anew each time."""

    def collect(self) -> Iterator[Metric]:
        for family in FAMILIES:
            yield from family()


def drops() -> Iterator[Metric]:
    """What was dropped: of each host in all, and of each port."""
    packets = CounterMetricFamily("hopsight_dropped_packets", "Packets dropped by a host's br-int, by reason", labels=("host", "reason"))  # fmt: skip
    octets = CounterMetricFamily("hopsight_dropped_bytes", "Bytes dropped by a host's br-int, by reason", labels=("host", "reason"))  # fmt: skip
    rows = DropCounter.objects.filter(kind=CauseKind.SYSTEM)
    for host, reason, count, size in rows.values_list("host__name", "reason", "packets", "bytes"):
        packets.add_metric((host, reason), count)
        octets.add_metric((host, reason), size)
    of_port = CounterMetricFamily("hopsight_port_dropped_packets", "Packets dropped at a port, by reason", labels=(*PORT_LABELS, "reason"))  # fmt: skip
    fields = ("port__uuid", "port__name", "port__network__team__slug", "port__network__name", "host__name", "reason")
    for *labels, count in DropCounter.objects.filter(port__isnull=False).values_list(*fields, "packets"):
        of_port.add_metric([str(one) for one in labels], count)
    yield from (packets, octets, of_port)


def ports() -> Iterator[Metric]:
    """What each port carried, from the guest's side."""
    names = (("sent", "the guest sent"), ("received", "the guest received"))
    packets = {way: CounterMetricFamily(f"hopsight_port_{way}_packets", f"Packets that {words}", labels=PORT_LABELS) for way, words in names}  # fmt: skip
    octets = {way: CounterMetricFamily(f"hopsight_port_{way}_bytes", f"Bytes that {words}", labels=PORT_LABELS) for way, words in names}  # fmt: skip
    lost = CounterMetricFamily("hopsight_port_lost_packets", "Errors and full queues at the port", labels=PORT_LABELS)
    counted = port_counts()
    known = Port.objects.filter(uuid__in=[uuid for _, uuid in counted]).select_related("network__team")
    rows = {str(port.uuid): port for port in known}
    for (host, uuid), count in sorted(counted.items()):
        if (port := rows.get(uuid)) is None:
            continue
        labels = (uuid, port.name, port.network.team.slug, port.network.name, host)
        packets["sent"].add_metric(labels, count.rx_packets)
        packets["received"].add_metric(labels, count.tx_packets)
        octets["sent"].add_metric(labels, count.rx_bytes)
        octets["received"].add_metric(labels, count.tx_bytes)
        lost.add_metric(labels, count.lost)
    yield from (*packets.values(), *octets.values(), lost)


def vms() -> Iterator[Metric]:
    """How many VMs there are, and what they take."""
    count = GaugeMetricFamily("hopsight_vms", "VMs by state", labels=("team", "state"))
    for row in VM.objects.values("team__slug", "state").annotate(number=Count("id")).order_by("team__slug", "state"):
        count.add_metric((row["team__slug"], row["state"]), row["number"])
    yield count


def hosts() -> Iterator[Metric]:
    """Whether each host is seen, what it has, and what its VMs take of it."""
    up = GaugeMetricFamily("hopsight_host_up", "1 when both of the host's daemons were heard of within 30 s", labels=("host",))  # fmt: skip
    age = GaugeMetricFamily("hopsight_host_libvirt_age_seconds", "Since libvirt was last heard of", labels=("host",))
    vcpus = GaugeMetricFamily("hopsight_host_vcpus", "Processors of the host", labels=("host",))
    memory = GaugeMetricFamily("hopsight_host_memory_bytes", "Memory of the host", labels=("host",))
    taken = GaugeMetricFamily("hopsight_host_allocated_vcpus", "Processors given to VMs", labels=("host",))
    given = GaugeMetricFamily("hopsight_host_allocated_memory_bytes", "Memory given to VMs", labels=("host",))
    now = timezone.now()
    for host in Host.objects.annotate(used_vcpus=Sum("vms__vcpus"), used_mib=Sum("vms__ram_mib")):
        seen = host.libvirt_seen_at
        is_up = seen is not None and now - seen < FRESH and not host.ovs_error
        up.add_metric((host.name,), int(is_up))
        if seen is not None:
            age.add_metric((host.name,), (now - seen).total_seconds())
        vcpus.add_metric((host.name,), host.vcpus)
        memory.add_metric((host.name,), host.ram_mib * 2**20)
        taken.add_metric((host.name,), host.used_vcpus or 0)
        given.add_metric((host.name,), (host.used_mib or 0) * 2**20)
    yield from (up, age, vcpus, memory, taken, given)


def operations() -> Iterator[Metric]:
    """Operations by kind and state, and how long creates of the last hour took."""
    count = GaugeMetricFamily("hopsight_operations", "Operations by kind and state", labels=("kind", "state"))
    for row in Operation.objects.values("kind", "state").annotate(number=Count("id")).order_by("kind", "state"):
        count.add_metric((row["kind"], row["state"]), row["number"])
    yield count
    since = timezone.now() - RECENT
    done = Operation.objects.filter(kind="vm.create", state=OperationState.DONE, finished_at__gt=since)
    up = VM.objects.filter(ssh_at__gt=since, started_at__isnull=False)
    yield _times("hopsight_vm_time_to_runnable_seconds", "From asking for a VM until every stage was done", done.values_list("created_at", "finished_at"))  # fmt: skip
    yield _times("hopsight_vm_boot_to_ssh_seconds", "From libvirt's start of a VM until SSH answered", up.values_list("started_at", "ssh_at"))  # fmt: skip
    yield _times("hopsight_vm_time_to_ssh_seconds", "From asking for a VM until SSH answered", up.values_list("created_at", "ssh_at"))  # fmt: skip


def _times(name: str, words: str, pairs: Any) -> Metric:
    gauge = GaugeMetricFamily(name, f"{words}: quantiles of the last hour", labels=("quantile",))
    spans = sorted((last - first).total_seconds() for first, last in pairs.order_by("-id")[:MOST_TIMED])
    for quantile in QUANTILES if spans else ():
        gauge.add_metric((str(quantile),), spans[min(int(quantile * len(spans)), len(spans) - 1)])
    return gauge


def checks() -> Iterator[Metric]:
    """Pinned path checks."""
    passing = GaugeMetricFamily("hopsight_check_passing", "1 when the path is as expected, 0 when not", labels=("check", "team"))  # fmt: skip
    for check in PathCheck.objects.exclude(state=PathCheck.State.WAITING).select_related("source", "target", "team"):
        name = f"{check.title} {check.service}"
        passing.add_metric((name, check.team.slug), int(check.state == PathCheck.State.PASSING))
    yield passing


def app() -> Iterator[Metric]:
    """The portal's own: requests, live sockets, tasks that wait."""
    yield from _requests(http_counts())
    yield GaugeMetricFamily("hopsight_live_sockets", "Open WebSockets of all web processes", value=live_sockets())
    yield GaugeMetricFamily("hopsight_celery_queue_tasks", "Tasks that wait for a worker", value=queued_tasks())


def _requests(counts: dict[Key, int]) -> Iterable[Metric]:
    total = CounterMetricFamily("hopsight_http_requests", "Requests", labels=("method", "view", "status"))
    took = HistogramMetricFamily("hopsight_http_request_duration_seconds", "Server time", labels=("method", "view"))
    buckets: dict[tuple[str, str], Counter[int]] = defaultdict(Counter)
    sums: Counter[tuple[str, str]] = Counter()
    for (what, method, view, detail), count in sorted(counts.items()):
        if what == "n":
            total.add_metric((method, view, detail), count)
        elif what == "le":
            buckets[method, view][int(detail)] += count
        else:
            sums[method, view] += count
    for labels, found in sorted(buckets.items()):
        took.add_metric(labels, _cumulative(found), sums[labels] / 1e6)
    return (total, took)


def _cumulative(found: Counter[int]) -> Sequence[tuple[str, float]]:
    limits = [*map(str, BUCKETS_S), "+Inf"]
    return [(limit, sum(found[index] for index in range(at + 1))) for at, limit in enumerate(limits)]


FAMILIES: tuple[Callable[[], Iterator[Metric]], ...] = (drops, ports, vms, hosts, operations, checks, app)
