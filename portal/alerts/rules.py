"""Thresholds: the metrics that a rule may watch, as data, and what is above its rule now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.urls import reverse

from portal.accounts.models import Team
from portal.alerts.models import AlertRule
from portal.compute.models import VM, VMState
from portal.dashboards.problems import Problem
from portal.history import series
from portal.history.asked import quantity
from portal.history.store import means_among

SHOWN = 50  # objects of one rule: more of them are one trouble, not many
MOST_MINUTES = 60


@dataclass(frozen=True, slots=True)
class Metric:
    """What a rule compares, in `unit`; `of_vms` ones are looked at VM by VM."""

    name: str
    words: str
    kind: series.Kind
    field: str
    of_vms: bool = False

    @property
    def unit(self) -> str:
        return next(field.unit for field in self.kind.fields if field.name == self.field)


METRICS: tuple[Metric, ...] = (
    Metric("vm_cpu_percent", "CPU of a VM", series.VM, "cpu_percent", of_vms=True),
    Metric("vm_memory_bytes", "memory that a VM holds", series.VM, "memory_bytes", of_vms=True),
    Metric("vm_sent_bps", "what a VM sends", series.VM, "sent_bps", of_vms=True),
    Metric("vm_received_bps", "what a VM receives", series.VM, "received_bps", of_vms=True),
    Metric("team_sent_bps", "what all VMs send", series.TEAM, "sent_bps"),
    Metric("team_received_bps", "what all VMs receive", series.TEAM, "received_bps"),
    Metric("team_dropped_pps", "packets dropped, of all ports", series.TEAM, "dropped_pps"),
    Metric("team_lost_pps", "packets lost at ports", series.TEAM, "lost_pps"),
)
METRIC_BY_NAME = {metric.name: metric for metric in METRICS}


def above_rules(team: Team, now_s: int) -> list[Problem]:
    """What is above one of the team's rules now."""
    return [problem for rule in team.alert_rules.all() for problem in _above(team, rule, now_s)]


def _above(team: Team, rule: AlertRule, now_s: int) -> Iterator[Problem]:
    metric = METRIC_BY_NAME.get(rule.metric)
    if metric is None:
        return
    names = _vms(team) if metric.of_vms else {team.pk: ("", reverse("dashboard"))}
    start_s = now_s - 60 * rule.minutes
    means = means_among(metric.kind, list(names), metric.field, start_s, now_s)
    above = sorted((pk for pk, mean in means.items() if mean > rule.above), key=lambda pk: -means[pk])
    for pk in above[:SHOWN]:
        name, url = names[pk]
        told, limit = quantity(means[pk], metric.unit), quantity(rule.above, metric.unit)
        of = f"{name}: " if name else ""
        words = f"{of}{metric.words if of else metric.words[0].upper() + metric.words[1:]} is {told}, above {limit}"
        yield Problem(f"rule:{rule.uuid}:{pk}", True, words, f"the mean of the last {rule.minutes} min", url)


def _vms(team: Team) -> dict[int, tuple[str, str]]:
    rows = VM.objects.filter(team=team, state=VMState.RUNNING).values_list("id", "name", "uuid")
    return {pk: (name, reverse("vm", args=[uuid])) for pk, name, uuid in rows}


def rule_words(rule: AlertRule) -> str:
    """The rule as a sentence."""
    metric = METRIC_BY_NAME.get(rule.metric)
    if metric is None:
        return rule.metric
    return f"{metric.words} above {quantity(rule.above, metric.unit)} for {rule.minutes} min"
