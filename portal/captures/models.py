"""Packets copied off a trace's path. The controller process catches them and writes these rows."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from portal.accounts.models import Team, User
from portal.traces.models import TraceRequest


class Capture(models.Model):
    """One capture. `points` is what portal.captures.points made; `rows` and `meetings` are what its page shows."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting for the controller")
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="captures")
    trace = models.ForeignKey(TraceRequest, on_delete=models.CASCADE, related_name="captures")
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    points = models.JSONField(default=list)
    filter_words = models.CharField(max_length=200)
    max_packets = models.PositiveIntegerField()
    seconds = models.PositiveIntegerField()
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    why = models.CharField(max_length=300, default="", blank=True, help_text="why it ended, or failed")
    count = models.PositiveIntegerField(default=0)
    rows = models.JSONField(default=list)
    meetings = models.JSONField(default=list)
    file = models.BinaryField(null=True, help_text="pcapng")

    class Meta:
        ordering = ["-id"]

    @property
    def is_over(self) -> bool:
        return self.state in (self.State.DONE, self.State.FAILED)
