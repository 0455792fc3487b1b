"""What each sort of widget shows, from rows alone. `LOADERS` is the whole list; a widget's template bears its kind's name."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_noop as _

from portal.accounts.access import may
from portal.accounts.models import AuditRow, Team
from portal.accounts.presentation import as_feed
from portal.checks.models import MatrixRun
from portal.checks.presentation import check_counts, checks_of, matrix_rows
from portal.compute.forms import quota_bars
from portal.compute.models import VMState
from portal.compute.requests import Use, use_of
from portal.config.told import told
from portal.dashboards.layout import KIND_BY_NAME, Widget, WidgetKind
from portal.dashboards.problems import host_problems, problems_of
from portal.drops.presentation import reason_words
from portal.history import series
from portal.history.asked import quantity, series_asked, shown
from portal.history.store import busiest_of_all, latest_among
from portal.hosts.models import Host
from portal.networks.models import Port
from portal.networks.owners import owned_by
from portal.operations.models import Operation
from portal.traces.models import TraceRequest

ROWS, MATRIX_PORTS = 8, 12
FEW_PORTS = 2000  # of so many the rates are read one by one
FIRST_PORTS = 100
STATE_COLOURS = {
    VMState.RUNNING: "v-delivered",
    VMState.CREATING: "accent",
    VMState.CRASHED: "v-dropped",
    VMState.UNKNOWN: "v-unknown",
}


@dataclass(frozen=True)
class Looking:
    """Who looks at a board, and at which stretch of time."""

    request: HttpRequest
    team: Team
    range_name: str

    @property
    def is_operator(self) -> bool:
        return may(self.request, "host.see")

    @cached_property
    def use(self) -> Use:
        """What the team uses: summed once, however many widgets tell of it."""
        return use_of(self.team)


@dataclass(frozen=True)
class Shown:
    """A widget with what it shows; `refusal` instead of it for somebody who may not see it."""

    widget: Widget
    kind: WidgetKind
    context: dict[str, Any]
    refusal: str = ""

    @property
    def template(self) -> str:
        return f"dashboards/widgets/{self.kind.name}.html"


def load_widget(looking: Looking, widget: Widget) -> Shown:
    """The widget as this person sees it."""
    kind = KIND_BY_NAME[widget.kind]
    if kind.for_operators and not looking.is_operator:
        return Shown(widget, kind, {}, _("Only operators see the hosts."))
    return Shown(widget, kind, LOADERS[kind.name](looking))


def _quota(looking: Looking) -> dict[str, Any]:
    return {"bars": quota_bars(looking.team, looking.use)}


def _problems(looking: Looking) -> dict[str, Any]:
    found = problems_of(looking.team, use=looking.use)
    if looking.is_operator:
        found = host_problems() + found
    return {"problems": found}


def _states(looking: Looking) -> dict[str, Any]:
    counted = looking.team.vms.order_by("state").values_list("state").annotate(vms=Count("id"))
    states = [
        (VMState(state).label.lower(), count, STATE_COLOURS.get(VMState(state), "n-5")) for state, count in counted
    ]
    return {"states": states, "total": sum(count for _, count, _ in states)}


def _vms(looking: Looking) -> dict[str, Any]:
    rows = looking.team.vms.select_related("host").prefetch_related("ports__addresses").defer("user_data", "public_key")
    vms = list(rows[:ROWS])
    load = latest_among(series.VM, [vm.pk for vm in vms], _now())
    return {"rows": [(vm, *_load_words(load.get(vm.pk))) for vm in vms], "total": looking.team.vms.count()}


def _load_words(values: tuple[float, ...] | None) -> tuple[str, str]:
    if values is None:
        return "–", "–"
    cpu, _, _, _, sent, received = values
    known = [value for value in (sent, received) if value == value]  # nan is not itself
    return (f"{cpu:.0f} %" if cpu == cpu else "–"), quantity(sum(known) if known else None, "bit/s")


def _chart(kind: series.Kind, source: str, fields: tuple[str, ...]) -> Callable[[Looking], dict[str, Any]]:
    def load(looking: Looking) -> dict[str, Any]:
        found = series_asked(kind, looking.team.pk, looking.range_name)
        lines = [shown(found.line(name)) for name in fields]
        return {"lines": lines, "source": f"{reverse(source)}?range={looking.range_name}", "every_s": found.step_s}

    return load


def _talkers(looking: Looking) -> dict[str, Any]:
    owned = Port.objects.filter(owned_by(looking.team), wired_at__isnull=False)
    few = list(owned.order_by().values_list("id", flat=True)[: FEW_PORTS + 1])
    if len(few) <= FEW_PORTS:
        rates = latest_among(series.PORT, few, _now())
        busiest = sorted(rates.items(), key=lambda one: -(one[1][0] + one[1][1]))[:ROWS]
    else:
        busiest = _busiest_of(owned)
    ports = {port.pk: port for port in Port.objects.filter(pk__in=dict(busiest)).select_related("vm", "network")}
    most = max((sent + received for _, (sent, received, *_) in busiest), default=0.0) or 1.0
    return {
        "talkers": [
            (ports[pk], quantity(sent, "bit/s"), quantity(received, "bit/s"), round(100 * (sent + received) / most))
            for pk, (sent, received, *_) in busiest
            if pk in ports and sent + received > 0
        ]
    }


def _busiest_of(owned: QuerySet[Port]) -> list[tuple[int, tuple[float, ...]]]:
    """The busiest of very many ports, of those that are among the busiest of all teams."""
    ranked = busiest_of_all(series.PORT, FEW_PORTS, _now())
    found: list[tuple[int, tuple[float, ...]]] = []
    for some in (ranked[:FIRST_PORTS], ranked[FIRST_PORTS:]):  # whoever has very many has some of the first
        ours = set(owned.filter(pk__in=dict(some)).order_by().values_list("pk", flat=True)) if len(found) < ROWS else ()
        found += [(pk, values) for pk, values in some if pk in ours]
    return found[:ROWS]


def _drops(looking: Looking) -> dict[str, Any]:
    found = series_asked(series.DROPS, looking.team.pk, looking.range_name)
    sums = [(line.field.name, round(sum(line.known) * found.step_s)) for line in found.lines]
    rows = sorted(((told(reason_words(name)), count) for name, count in sums if count), key=lambda row: -row[1])[:ROWS]
    most = max((count for _, count in rows), default=1)
    return {"drops": [(words, count, round(100 * count / most)) for words, count in rows]}


def _checks(looking: Looking) -> dict[str, Any]:
    rows = checks_of(looking.team)
    return {"checks": rows[:ROWS], "check_counts": check_counts(rows)}


def _matrix(looking: Looking) -> dict[str, Any]:
    run = MatrixRun.objects.filter(team=looking.team, state="done").select_related("network").first()
    rows = matrix_rows(run) if run else []
    return {"run": run, "rows": rows if len(rows) <= MATRIX_PORTS else [], "ports": len(rows)}


def _operations(looking: Looking) -> dict[str, Any]:
    return {"operations": Operation.objects.filter(team=looking.team).select_related("created_by")[:ROWS]}


def _traces(looking: Looking) -> dict[str, Any]:
    return {"traces": TraceRequest.objects.filter(team=looking.team).defer("reply")[:6]}


def _hosts(looking: Looking) -> dict[str, Any]:
    hosts = list(Host.objects.annotate(vm_count=Count("vms"), ram_used=Sum("vms__ram_mib"))[:ROWS])
    load = latest_among(series.HOST, [host.pk for host in hosts], _now())
    rows = []
    for host in hosts:
        values = load.get(host.pk)
        cpu, memory = values[:2] if values else (None, None)
        rows.append((host, quantity(cpu if cpu == cpu else None, "percent"), quantity(memory, "bytes")))
    return {"rows": rows}


def _activity(looking: Looking) -> dict[str, Any]:
    return {"entries": as_feed(AuditRow.objects.filter(team_id=looking.team.pk)[:ROWS])}


def _nothing(looking: Looking) -> dict[str, Any]:
    return {}


def _now() -> int:
    return int(time.time())


LOADERS: dict[str, Callable[[Looking], dict[str, Any]]] = {
    "quota": _quota,
    "problems": _problems,
    "states": _states,
    "vms": _vms,
    "traffic": _chart(series.TEAM, "api-1:traffic_history", ("sent_bps", "received_bps")),
    "use": _chart(series.TEAM_VMS, "api-1:use_history", ("cpu_cores", "running_vms")),
    "talkers": _talkers,
    "drops": _drops,
    "checks": _checks,
    "matrix": _matrix,
    "operations": _operations,
    "traces": _traces,
    "hosts": _hosts,
    "activity": _activity,
    "note": _nothing,
    "heading": _nothing,
}
