"""What needs somebody now, worst first: boards list it, alerts are made of it. From rows alone, in a fixed number of queries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q, Sum
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, gettext_noop

from portal.accounts.models import Team
from portal.checks.models import PathCheck
from portal.compute.models import VMState
from portal.compute.requests import Use, use_of
from portal.config.told import told
from portal.drops.models import DropCounter
from portal.drops.presentation import reason_words
from portal.hosts.models import Host
from portal.networks.claims import RIGHT
from portal.networks.conflicts import conflict_lines, conflicted_ports
from portal.networks.owners import owned_by
from portal.operations.models import Operation, OperationState
from portal.operations.waiting import not_taken

SHOWN = 12  # of each sort
FAILED_FOR = timedelta(hours=6)
DROPS_FOR = timedelta(minutes=1)
SILENT_FOR = timedelta(seconds=30)
NEARLY_FULL = 0.9
QUOTAS = (
    ("vcpus", "vCPU"),
    ("ram_mib", gettext_noop("memory")),
    ("disk_gib", gettext_noop("disk")),
    ("vms", gettext_noop("number of VMs")),
)


@dataclass(frozen=True, slots=True)
class Problem:
    """`key` names it for as long as it lasts; `is_bad` ones stop something, the others may."""

    key: str
    is_bad: bool
    words: str
    detail: str
    url: str
    since: datetime | None = None


def problems_of(team: Team, now: datetime | None = None, use: Use | None = None) -> list[Problem]:
    """The team's problems, the bad ones first; `use` is what it uses, where that is summed already."""
    at = now or timezone.now()
    found = [problem for sort in SORTS for problem in sort(team, at)]
    found += _quota(team, use or use_of(team))
    return sorted(found, key=lambda problem: not problem.is_bad)


def host_problems(now: datetime | None = None) -> list[Problem]:
    """The hosts' problems, for operators."""
    at = now or timezone.now()
    found = []
    heard = Q(libvirt_error="", ovs_error="", libvirt_seen_at__gte=at - SILENT_FOR)
    for host in Host.objects.exclude(heard):
        trouble = host.libvirt_error or host.ovs_error
        if host.libvirt_seen_at is None or at - host.libvirt_seen_at > SILENT_FOR:
            trouble = trouble or gettext("its libvirt was not heard of for 30 s")
        if trouble:
            url = reverse("host_load", args=[host.name])
            found.append(Problem(f"host:{host.name}", True, gettext("Host %(host)s is not well") % {"host": host.name}, told(trouble), url, host.libvirt_seen_at))  # fmt: skip
    return found


def _failing_checks(team: Team, at: datetime) -> Iterator[Problem]:
    rows = team.checks.filter(state=PathCheck.State.FAILING).select_related("source", "target")[:SHOWN]
    for check in rows:
        values = {"check": check.title, "service": check.service}
        values |= {"verdict": told(check.verdict), "expected": told(check.expected)}
        words = gettext("%(check)s %(service)s is %(verdict)s, not %(expected)s") % values
        yield Problem(f"check:{check.uuid}", True, words, told(check.reason), reverse("checks"), check.since)


def _vms_in_trouble(team: Team, at: datetime) -> Iterator[Problem]:
    bad = {
        VMState.CRASHED: gettext_noop("VM %(name)s crashed"),
        VMState.UNKNOWN: gettext_noop("VM %(name)s is not known of any more"),
    }
    for vm in team.vms.filter(state__in=bad).only("uuid", "name", "state", "state_reason", "observed_at")[:SHOWN]:
        words = gettext(bad[VMState(vm.state)]) % {"name": vm.name}
        yield Problem(
            f"vm:{vm.uuid}", True, words, told(vm.state_reason), reverse("vm", args=[vm.uuid]), vm.observed_at
        )


def _failed_operations(team: Team, at: datetime) -> Iterator[Problem]:
    rows = Operation.objects.filter(team=team, state=OperationState.FAILED, finished_at__gt=at - FAILED_FOR)
    for one in rows.order_by("-id")[:SHOWN]:
        words = gettext("%(title)s %(name)s failed") % {"title": gettext(one.title), "name": one.object_name}
        yield Problem(f"operation:{one.uuid}", False, words, told(one.error), reverse("operation", args=[one.uuid]), one.finished_at)  # fmt: skip


def _waiting_operations(team: Team, at: datetime) -> Iterator[Problem]:
    for one in not_taken(at).filter(team=team).order_by("id")[:SHOWN]:
        words = gettext("%(title)s %(name)s is not begun") % {"title": gettext(one.title), "name": one.object_name}
        detail = gettext("No worker has taken it: they are all busy, or none is running.")
        yield Problem(f"waiting:{one.uuid}", True, words, detail, reverse("operation", args=[one.uuid]), one.created_at)


def _drops(team: Team, at: datetime) -> Iterator[Problem]:
    rows = DropCounter.objects.filter(owned_by(team, "port__"), port__isnull=False, last_at__gt=at - DROPS_FOR)
    for row in rows.values("reason", "port__uuid", "port__name", "port__vm__uuid").annotate(sum=Sum("packets")).order_by("port__name")[:SHOWN]:  # fmt: skip
        url = reverse("vm", args=[row["port__vm__uuid"]]) if row["port__vm__uuid"] else reverse("networks")
        words = gettext("Packets of %(port)s are being dropped") % {"port": row["port__name"]}
        key = f"drops:{row['port__uuid']}:{row['reason']}"
        yield Problem(
            key,
            False,
            words,
            gettext("%(why)s: %(count)s so far") % {"why": told(reason_words(row["reason"])), "count": row["sum"]},
            url,
        )


def _address_conflicts(team: Team, at: datetime) -> Iterator[Problem]:
    """Those in which two want one address, or a guest is cut off by its own; one that is only set by hand is none."""
    for port in conflicted_ports(team)[:SHOWN]:
        url = reverse("vm", args=[port.vm.uuid]) if port.vm else reverse("network", args=[port.network.uuid])
        for line in conflict_lines(port):
            if line.kind != RIGHT:
                words = gettext("%(port)s and IPAM differ about %(line)s") % {"port": port.name, "line": line.address}
                key = f"address:{port.uuid}:{line.address}"
                yield Problem(key, line.is_bad, words, f"{line.words} {line.advice}", url, line.since)


def _quota(team: Team, use: Use) -> Iterator[Problem]:
    for name, words in QUOTAS:
        used, most = getattr(use, name), getattr(team, f"max_{name}")
        if most and used >= NEARLY_FULL * most:
            share = gettext("%(share)s of the %(what)s is used") % {
                "share": f"{100 * used / most:.0f} %",
                "what": gettext(words),
            }
            yield Problem(f"quota:{name}", used >= most, gettext("The quota is nearly used up: %(share)s") % {"share": share}, gettext("%(used)s of %(most)s") % {"used": used, "most": most}, reverse("vm_list"))  # fmt: skip


SORTS: tuple[Callable[[Team, datetime], Iterator[Problem]], ...] = (
    _failing_checks,
    _vms_in_trouble,
    _failed_operations,
    _waiting_operations,
    _drops,
    _address_conflicts,
)
