"""Rules, channels, acknowledging and silencing: what pages and API share."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from portal.accounts.audit import record
from portal.accounts.models import Team, User
from portal.alerts.models import Alert, AlertRule, Channel, Delivery, Silence
from portal.alerts.rules import METRIC_BY_NAME, MOST_MINUTES, rule_words
from portal.alerts.telling import alert_changed
from portal.config.internet import is_inside
from portal.live.models import Topic

MOST_RULES, MOST_CHANNELS, MOST_HOURS = 50, 20, 24 * 30
MOST_ABOVE = 1e15
Errors = dict[str, list[str]]


class AlertProblem(Exception):
    """It cannot be so. `errors` holds field → sentences, all at once."""

    def __init__(self, errors: Errors) -> None:
        super().__init__("; ".join(line for lines in errors.values() for line in lines))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """A channel as asked for."""

    kind: str
    name: str
    target: str
    gets_alerts: bool = True
    gets_events: bool = False


@transaction.atomic
def add_rule(team: Team, actor: User, metric: str, above: float, minutes: int) -> AlertRule:
    """A threshold that is watched from now on. Raises AlertProblem."""
    errors: Errors = {}
    if metric not in METRIC_BY_NAME:
        errors["metric"] = [
            gettext("“%(metric)s” was given; %(metric_by_name)s are allowed")
            % {"metric": metric[:40], "metric_by_name": ", ".join(METRIC_BY_NAME)}
        ]
    if not 0 <= above <= MOST_ABOVE:
        errors["above"] = [
            gettext("%(above)s was given; 0 to %(most_above)s are allowed")
            % {"above": f"{above:g}", "most_above": f"{MOST_ABOVE:g}"}
        ]
    if not 1 <= minutes <= MOST_MINUTES:
        errors["minutes"] = [
            gettext("%(minutes)s was given; 1 to %(most_minutes)s are allowed")
            % {"minutes": minutes, "most_minutes": MOST_MINUTES}
        ]
    if team.alert_rules.count() >= MOST_RULES:
        errors["metric"] = [
            gettext("the team has %(most_rules)s rules, which is the most: remove one first")
            % {"most_rules": MOST_RULES}
        ]
    if errors:
        raise AlertProblem(errors)
    rule = AlertRule.objects.create(team=team, metric=metric, above=above, minutes=minutes, created_by=actor)
    record("alert_rule.add", team, actor, ("alert_rule", str(rule.uuid), rule_words(rule)))
    return rule


@transaction.atomic
def remove_rule(rule: AlertRule, actor: User) -> None:
    """The threshold is watched no more; its alerts end at the next look."""
    record("alert_rule.remove", rule.team, actor, ("alert_rule", str(rule.uuid), rule_words(rule)))
    rule.delete()


@transaction.atomic
def acknowledge(alert: Alert, actor: User) -> Alert:
    """Somebody looks after it: the team sees who. An alert that is over, or has somebody, is left as it is."""
    mine = Alert.objects.filter(pk=alert.pk, acknowledged_at=None, ended_at=None)
    if mine.update(acknowledged_at=timezone.now(), acknowledged_by=actor):
        alert.refresh_from_db()
        record("alert.acknowledge", alert.team, actor, ("alert", str(alert.uuid), alert.words))
        alert_changed(alert)
    return alert


@transaction.atomic
def silence(alert: Alert, actor: User, hours: int) -> Silence | None:
    """Nobody is told of the alert's cause for so many hours; 0 ends that. Raises AlertProblem."""
    if not 0 <= hours <= MOST_HOURS:
        raise AlertProblem(
            {
                "hours": [
                    gettext("%(hours)s was given; 0 to %(most_hours)s are allowed")
                    % {"hours": hours, "most_hours": MOST_HOURS}
                ]
            }
        )
    what = ("alert", str(alert.uuid), alert.words)
    record("alert.silence", alert.team, actor, what, after={"hours": hours})
    if hours == 0:
        Silence.objects.filter(team=alert.team, key=alert.key).delete()
        return None
    until = timezone.now() + timedelta(hours=hours)
    row, _ = Silence.objects.update_or_create(team=alert.team, key=alert.key, defaults={"until": until, "created_by": actor})  # fmt: skip
    return row


@transaction.atomic
def add_channel(team: Team, actor: User, spec: ChannelSpec) -> Channel:
    """A channel that is told from now on; a webhook's secret is made. Raises AlertProblem."""
    if errors := channel_errors(team, spec):
        raise AlertProblem(errors)
    topic = Topic.objects.filter(name=f"team:{team.slug}").first()
    is_signed = spec.kind == Channel.Kind.WEBHOOK
    channel = Channel.objects.create(
        team=team, kind=spec.kind, name=spec.name.strip(), target=spec.target.strip(), gets_alerts=spec.gets_alerts,
        gets_events=spec.gets_events and is_signed, secret=secrets.token_hex(24) if is_signed else "",
        seq=topic.seq if topic else 0, created_by=actor,
    )  # fmt: skip
    record("channel.add", team, actor, ("channel", str(channel.uuid), channel.name), after={"kind": channel.kind})
    return channel


def channel_errors(team: Team, spec: ChannelSpec) -> Errors:
    """What is wrong with a channel; nothing when it can be made. Where its name leads is looked at when it is told."""
    errors: Errors = {}
    name = spec.name.strip()
    if spec.kind not in Channel.Kind.values:
        errors["kind"] = [
            gettext("“%(kind)s” was given; %(values)s are allowed")
            % {"kind": spec.kind[:20], "values": ", ".join(Channel.Kind.values)}
        ]
    if not 1 <= len(name) <= 60 or not name.isprintable():
        errors["name"] = [
            gettext("%(count)s characters were given; 1 to 60 printable ones are allowed") % {"count": len(name)}
        ]
    elif team.channels.filter(name=name).exists():
        errors["name"] = [gettext("the team has a channel %(name)s already") % {"name": name}]
    if words := _target_error(spec):
        errors["target"] = [words]
    if team.channels.count() >= MOST_CHANNELS:
        errors["name"] = [
            gettext("the team has %(most_channels)s channels, which is the most: remove one first")
            % {"most_channels": MOST_CHANNELS}
        ]
    return errors


def _target_error(spec: ChannelSpec) -> str:
    target = spec.target.strip()
    if len(target) > 500 or not target.isprintable() or " " in target:
        return gettext("a URL or an address of at most 500 printable characters without spaces is allowed")
    if spec.kind == Channel.Kind.EMAIL:
        if not settings.EMAIL_HOST:
            return gettext("no mail server is set: an operator sets HOPSIGHT_SMTP")
        try:
            validate_email(target)
        except ValidationError:
            return gettext("“%(target)s” was given; an e-mail address is allowed") % {"target": target[:60]}
        return ""
    try:
        parts = urlsplit(target)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_url = False
    if not is_url:
        return gettext("“%(target)s” was given; an address that begins with https:// or http:// is allowed") % {
            "target": target[:60]
        }
    if is_inside(parts.hostname or "", settings.HOOKS_ALSO):
        return gettext(
            "%(host)s is not on the internet: an operator allows receivers of your own by HOPSIGHT_HOOKS_ALSO"
        ) % {"host": parts.hostname}
    return ""


@transaction.atomic
def remove_channel(channel: Channel, actor: User) -> None:
    """The channel is told no more, and its log goes with it."""
    record("channel.remove", channel.team, actor, ("channel", str(channel.uuid), channel.name))
    channel.delete()


@transaction.atomic
def try_channel(channel: Channel, actor: User) -> Delivery:
    """A message that says that it is a test; a channel that was switched off is on again."""
    Channel.objects.filter(pk=channel.pk).update(is_on=True, off_reason="", failures=0)
    record("channel.test", channel.team, actor, ("channel", str(channel.uuid), channel.name))
    words = f"{actor} tests the channel {channel.name} of {channel.team.name}"
    body = {"type": "test", "team": channel.team.slug, "words": words, "at": timezone.now().isoformat()}
    return Delivery.objects.create(channel=channel, type="test", body=body, next_at=timezone.now())
