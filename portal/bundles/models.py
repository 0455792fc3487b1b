"""Support bundles that operators uploaded, and the packets that were asked about in them. Kept for a while, then gone."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from portal.accounts.models import User


class SupportBundle(models.Model):
    """One host as its report tells. `facts`: {"bridges": [{"name", "ports": [{"name", "ofport"}], "flows"}], "guests": [name], "past": [{"guest", "mac", "words", "truth"}]}."""

    class State(models.TextChoices):
        READING = "reading", _("Being read")
        READY = "ready", _("Ready")
        FAILED = "failed", _("Not readable")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=120, help_text="the archive's own")
    size_bytes = models.PositiveBigIntegerField(default=0)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    state = models.CharField(max_length=8, choices=State.choices, default=State.READING)
    error = models.TextField(default="", blank=True)
    host = models.CharField(max_length=63, default="", blank=True)
    facts = models.JSONField(default=dict, blank=True)
    problems = models.JSONField(default=list, blank=True, help_text="what could not be loaded, a sentence each")

    class Meta:
        ordering = ["-id"]


class BundleTrace(models.Model):
    """One packet's way through a bundle's host; `result` is the JSON of sdn.model.trace.Trace."""

    class State(models.TextChoices):
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    bundle = models.ForeignKey(SupportBundle, on_delete=models.CASCADE, related_name="traces")
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    bridge = models.CharField(max_length=64)
    flow = models.CharField(max_length=2000)
    ct_next = models.JSONField(default=list, blank=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.RUNNING)
    result = models.JSONField(null=True, blank=True)
    error = models.TextField(default="", blank=True)

    class Meta:
        ordering = ["-id"]
