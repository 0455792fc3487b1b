"""Alerts: what is wrong now and was; rules that say when; channels that are told, and what they were told."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from portal.accounts.models import Team, User


class AlertRule(models.Model):
    """A threshold: the mean of `metric` over the last `minutes` is above `above`. `portal.alerts.rules` has the metrics."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="alert_rules")
    metric = models.CharField(max_length=30)
    above = models.FloatField()
    minutes = models.PositiveSmallIntegerField(default=5)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]


class Alert(models.Model):
    """One trouble from its beginning to its end. `key` names its cause; a cause has one open alert at a time."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="alerts")
    key = models.CharField(max_length=150)
    is_bad = models.BooleanField(default=True)
    words = models.CharField(max_length=300)
    detail = models.TextField(default="", blank=True)
    url = models.CharField(max_length=300, default="", blank=True)
    since = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["team", "key"], condition=models.Q(ended_at=None), name="one_open_alert"),
        ]


class Silence(models.Model):
    """Nobody is told of the cause until then; it is still shown."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="silences")
    key = models.CharField(max_length=150)
    until = models.DateTimeField()
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "key"], name="one_silence_of_a_cause")]


class Channel(models.Model):
    """Where a team is told. `seq` is the last event of the team's topic that was taken up for it."""

    class Kind(models.TextChoices):
        WEBHOOK = "webhook", _("Webhook, signed")
        CHAT = "chat", "Slack, Matrix, Mattermost"
        EMAIL = "email", _("E-mail")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="channels")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    name = models.CharField(max_length=60)
    target = models.CharField(max_length=500, help_text="a URL, or an e-mail address")
    secret = models.CharField(max_length=64, default="", blank=True)
    gets_alerts = models.BooleanField(default=True)
    gets_events = models.BooleanField(default=False, help_text="every event of the team's topic; webhooks alone")
    seq = models.PositiveBigIntegerField(default=0)
    is_on = models.BooleanField(default=True)
    off_reason = models.CharField(max_length=300, default="", blank=True)
    failures = models.PositiveIntegerField(default=0, help_text="deliveries given up since the last that arrived")
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["team", "name"], name="channel_name_per_team")]


class Delivery(models.Model):
    """One message to one channel. `next_at` is when it is tried (again); while it is being sent, when the sender is given up."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        DONE = "done", _("arrived")
        FAILED = "failed", _("given up")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="deliveries")
    type = models.CharField(max_length=40)
    body = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(db_index=True)
    answer = models.CharField(max_length=300, default="", blank=True, help_text="what the last attempt came to")
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
