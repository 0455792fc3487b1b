"""Traces that were asked for, stored so that they can be linked and replayed."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from portal.accounts.models import Team, User
from portal.hosts.models import Host
from portal.networks.models import ExternalNetwork, Port, Router


class Diagnosis(models.Model):
    """ "Why can't I reach it?" of one port: the traces that were asked for it; the rest is read from rows when it is shown."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="diagnoses")
    port = models.ForeignKey(Port, on_delete=models.CASCADE, related_name="+")
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    protocol = models.CharField(max_length=5, default="tcp")
    port_dst = models.PositiveIntegerField(default=22)
    mended = models.CharField(
        max_length=200, default="", blank=True, help_text="the change that was made of it, in words"
    )
    mended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]

    @property
    def service(self) -> str:
        return f"{self.protocol}/{self.port_dst}" if self.port_dst else self.protocol


class TraceRequest(models.Model):
    """A question and, when `result` is there, its answer: the JSON of sdn.model.trace.Trace.

    A packet from `outside` has no source port; it comes from `source_address`, or from that network's gateway. One of a
    `router` has none either; it comes from the router's address in the target's subnet.
    """

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting for its packet")
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="traces")
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    source = models.ForeignKey(Port, on_delete=models.SET_NULL, null=True, related_name="+")
    outside = models.ForeignKey(ExternalNetwork, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    source_address = models.CharField(max_length=45, default="", blank=True)
    router = models.ForeignKey(Router, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    target = models.ForeignKey(Port, on_delete=models.SET_NULL, null=True, related_name="+")
    address = models.CharField(max_length=45, default="", blank=True, help_text="where to, when no port has it")
    protocol = models.CharField(max_length=5, default="icmp")
    port_dst = models.PositiveIntegerField(default=0)
    header_fields = models.JSONField(
        default=dict, blank=True, help_text="not as the guest would send them: field → value"
    )
    at = models.DateTimeField(null=True, blank=True, help_text="as of then, out of the recorded flows; none: now")
    moment = models.CharField(max_length=12, default="as_is", help_text="sdn.trace.question.Moment")
    size_bytes = models.PositiveIntegerField(default=84, help_text="of the IP packet")
    caught = models.JSONField(null=True, blank=True, help_text="the packet itself, where it was waited for")
    is_handed_over = models.BooleanField(default=False, help_text="its real packet is given to the target's guest")
    direction = models.CharField(max_length=8, default="forward")
    title = models.CharField(max_length=200)
    state = models.CharField(max_length=8, choices=State.choices, default=State.RUNNING)
    result = models.JSONField(null=True, blank=True)
    reply = models.JSONField(null=True, blank=True, help_text="the return direction's answer")
    probe = models.JSONField(null=True, blank=True, help_text="what a real packet did: tasks.probes")
    error = models.TextField(default="", blank=True)
    diagnosis = models.ForeignKey(Diagnosis, on_delete=models.SET_NULL, null=True, blank=True, related_name="traces")
    asks = models.CharField(max_length=8, default="", blank=True, help_text="which question of its diagnosis it is")

    class Meta:
        ordering = ["-id"]

    @property
    def source_name(self) -> str:
        """Where the packet comes from, in a word or two."""
        if self.source is not None:
            return self.source.name
        if self.router is not None:
            return self.router.name
        return self.outside.name if self.outside is not None else "a VM that is gone"


class Probing(models.Model):
    """One real packet a second along a trace's path, for a while."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting for a worker")
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="probings")
    trace = models.ForeignKey(TraceRequest, on_delete=models.CASCADE, related_name="probings")
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    seconds = models.PositiveIntegerField()
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    why = models.CharField(max_length=300, default="", blank=True, help_text="why it ended, or failed")
    sent = models.PositiveIntegerField(default=0)
    arrived = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["-id"]

    @property
    def is_live(self) -> bool:
        return self.state in (self.State.WAITING, self.State.RUNNING)


class ProbeSample(models.Model):
    """One of a probing's packets. `latency_us` is empty where it did not arrive, and then `reason` says why."""

    probing = models.ForeignKey(Probing, on_delete=models.CASCADE, related_name="samples")
    number = models.PositiveIntegerField()
    at = models.DateTimeField()
    latency_us = models.FloatField(null=True)
    error_us = models.FloatField(null=True)
    reason = models.CharField(max_length=300, default="", blank=True)

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["probing", "number"], name="one_sample_a_number")]


class PortTrace(models.Model):
    """A packet that comes in by any port of any bridge of a host, ours or not: operators ask. `result` is as TraceRequest's."""

    class State(models.TextChoices):
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="port_traces")
    bridge = models.CharField(max_length=64)
    flow = models.CharField(max_length=2000, help_text="ovs-ofctl's syntax, with its in_port")
    ct_next = models.JSONField(
        default=list, blank=True, help_text="what conntrack is said to say; the rest is looked up"
    )
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.RUNNING)
    result = models.JSONField(null=True, blank=True)
    error = models.TextField(default="", blank=True)

    class Meta:
        ordering = ["-id"]
