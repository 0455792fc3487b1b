"""Alerts, thresholds and channels."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext, gettext_noop
from django.views.decorators.http import require_http_methods, require_POST

from portal.accounts.access import may, refusal, require, team_for
from portal.accounts.models import Team
from portal.accounts.views import person
from portal.alerts.models import Alert, AlertRule, Channel, Delivery, Silence
from portal.alerts.requests import (
    AlertProblem,
    ChannelSpec,
    Errors,
    acknowledge,
    add_channel,
    add_rule,
    remove_channel,
    remove_rule,
    silence,
    try_channel,
)
from portal.alerts.rules import METRIC_BY_NAME, METRICS, MOST_MINUTES, rule_words
from portal.config.cut import cut
from portal.history.asked import parse_quantity

OVER_SHOWN, LOG_SHOWN = 20, 30
NO_NUMBER = -1.0  # no threshold is below nothing
HOURS = (
    (1, gettext_noop("1 hour")),
    (8, gettext_noop("8 hours")),
    (24, gettext_noop("1 day")),
    (168, gettext_noop("1 week")),
)


@require_http_methods(["GET", "HEAD", "POST"])
def alerts(request: HttpRequest) -> HttpResponse:
    """What is wrong and was, and the thresholds; a post adds one."""
    team = team_for(request, "alert.see")
    errors: Errors = {}
    if request.method == "POST":
        require(request, "alert.handle", team)
        try:
            add_rule(team, person(request), request.POST.get("metric", ""), *_numbers(request.POST))
            return redirect("alerts")
        except AlertProblem as problem:
            errors = problem.errors | {
                name: words for name, words in _unread(request.POST).items() if name in problem.errors
            }
    return render(request, "alerts/alerts.html", _alerts_context(request, team, errors), status=422 if errors else 200)


def _alerts_context(request: HttpRequest, team: Team, errors: Errors) -> dict[str, Any]:
    rows = Alert.objects.filter(team=team).select_related("acknowledged_by")
    quiet = dict(Silence.objects.filter(team=team, until__gt=timezone.now()).values_list("key", "until"))
    found = cut(rows.filter(ended_at=None).order_by("-is_bad", "-id"), request.GET)
    return {
        "team": team, "lasting": [(alert, quiet.get(alert.key)) for alert in found.rows], "cut": found, "over": rows.exclude(ended_at=None)[:OVER_SHOWN], "hours": HOURS,
        "rules": [(rule, rule_words(rule)) for rule in team.alert_rules.all()], "metrics": METRICS, "errors": errors,
        "given": request.POST if errors else {"minutes": "5"}, "may": may(request, "alert.handle", team),
        "refusal": refusal(request, "alert.handle", team), "may_manage": may(request, "channel.manage", team),
    }  # fmt: skip


def _numbers(posted: QueryDict) -> tuple[float, int]:
    """The posted threshold, in its metric's unit, and minutes; what is no number is one that is not allowed."""
    metric = METRIC_BY_NAME.get(posted.get("metric", ""))
    above = parse_quantity(posted.get("above", "")[:30], metric.unit if metric else "")
    minutes = posted.get("minutes", "")
    is_number = minutes.isascii() and minutes.isdigit() and len(minutes) < 5
    return NO_NUMBER if above is None else above, int(minutes) if is_number else 0


def _unread(posted: QueryDict) -> Errors:
    """Field → what to say of it where no number was typed."""
    above, minutes = _numbers(posted)
    found: Errors = {}
    if above == NO_NUMBER:
        words = gettext("“%(given)s” was given; a number is allowed, or one with its unit: 80 %%, 2 GiB, 100 Mbit/s")
        found["above"] = [words % {"given": posted.get("above", "")[:30]}]
    if minutes == 0:
        words = gettext("“%(given)s” was given; whole minutes are allowed, 1 to %(most)s")
        found["minutes"] = [words % {"given": posted.get("minutes", "")[:30], "most": MOST_MINUTES}]
    return found


@require_POST
def alert_handle(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Acknowledge one, or silence its cause."""
    alert = get_object_or_404(Alert.objects.filter(team__memberships__user_id=request.user.pk or 0), uuid=uuid)
    require(request, "alert.handle", alert.team)
    hours = request.POST.get("hours", "")
    if not hours:
        acknowledge(alert, person(request))
    elif hours.isascii() and hours.isdigit() and len(hours) < 5:
        try:
            silence(alert, person(request), int(hours))
        except AlertProblem as problem:
            messages.error(request, str(problem))
    return redirect("alerts")


@require_POST
def alert_rule_remove(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The threshold is watched no more."""
    rule = get_object_or_404(AlertRule.objects.filter(team__memberships__user_id=request.user.pk or 0), uuid=uuid)
    require(request, "alert.handle", rule.team)
    remove_rule(rule, person(request))
    return redirect("alerts")


@require_http_methods(["GET", "HEAD", "POST"])
def channels(request: HttpRequest) -> HttpResponse:
    """Where the team is told, and what it was told lately; a post adds a channel."""
    team = team_for(request, "channel.manage")
    errors: Errors = {}
    if request.method == "POST":
        posted = request.POST
        spec = ChannelSpec(posted.get("kind", ""), posted.get("name", ""), posted.get("target", ""), "alerts" in posted, "events" in posted)  # fmt: skip
        try:
            made = add_channel(team, person(request), spec)
            if made.secret:
                messages.success(request, gettext("The secret that signs what %(made)s is sent, told this once: %(secret)s") % {"made": made.name, "secret": made.secret})  # fmt: skip
            return redirect("channels")
        except AlertProblem as problem:
            errors = problem.errors
    log = Delivery.objects.filter(channel__team=team).select_related("channel").defer("body")[:LOG_SHOWN]
    context = {
        "team": team, "channels": team.channels.all(), "log": log, "kinds": _kinds(), "errors": errors,
        "given": request.POST if errors else {"kind": "webhook", "alerts": "on"},
    }  # fmt: skip
    return render(request, "alerts/channels.html", context, status=422 if errors else 200)


def _kinds() -> list[tuple[str, str, bool]]:
    """Every kind with its words, and whether one can be made here: letters need a mail server."""
    return [
        (value, str(words), value != Channel.Kind.EMAIL or bool(settings.EMAIL_HOST))
        for value, words in Channel.Kind.choices
    ]


@require_POST
def channel_act(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Test a channel, or remove it."""
    channel = get_object_or_404(Channel.objects.filter(team__memberships__user_id=request.user.pk or 0), uuid=uuid)
    require(request, "channel.manage", channel.team)
    if request.POST.get("act") == "remove":
        remove_channel(channel, person(request))
    elif request.POST.get("act") == "test":
        try_channel(channel, person(request))
    return redirect("channels")
