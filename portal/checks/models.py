"""What is asked of a shadow of the intent: matrices, pinned path checks, and what-ifs. The hosts are not asked."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from portal.accounts.models import Team, User
from portal.hosts.models import Host
from portal.networks.models import Network, Port, Router, SecurityGroup, SecurityRule
from portal.traces.models import TraceRequest


class RunState(models.TextChoices):
    RUNNING = "running", _("Running")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")


class Expected(models.TextChoices):
    DELIVERED = "delivered", _("delivered")
    DROPPED = "dropped", _("dropped")


class MatrixRun(models.Model):
    """Who of a team's ports, or of one network's, reaches whom. `result`: {"names", "ports", "reasons", "rows"}.

    `rows` holds for each sender a list of indexes into `reasons` ([verdict, sentence]), null for itself.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="matrices")
    network = models.ForeignKey(Network, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    protocol = models.CharField(max_length=5)
    port_dst = models.PositiveIntegerField(default=0)
    state = models.CharField(max_length=8, choices=RunState.choices, default=RunState.RUNNING)
    generation = models.PositiveBigIntegerField(null=True, blank=True)
    result = models.JSONField(null=True, blank=True)
    error = models.TextField(default="", blank=True)

    class Meta:
        ordering = ["-id"]


class PathCheck(models.Model):
    """A path that must stay as it is. `since` is when it last turned; `generation` is what it was last looked at as of."""

    class State(models.TextChoices):
        WAITING = "waiting", _("not looked at yet")
        PASSING = "passing", _("as expected")
        FAILING = "failing", _("not as expected")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="checks")
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    source = models.ForeignKey(Port, on_delete=models.CASCADE, related_name="+")
    target = models.ForeignKey(Port, on_delete=models.CASCADE, null=True, related_name="+")
    address = models.CharField(max_length=45, default="", blank=True, help_text="where to, when no port has it")
    protocol = models.CharField(max_length=5, default="tcp")
    port_dst = models.PositiveIntegerField(default=0)
    expected = models.CharField(max_length=9, choices=Expected.choices, default=Expected.DELIVERED)
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    verdict = models.CharField(max_length=16, default="", blank=True)
    reason = models.TextField(default="", blank=True)
    since = models.DateTimeField(null=True, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    generation = models.PositiveBigIntegerField(null=True, blank=True)

    class Meta:
        ordering = ["id"]

    @property
    def title(self) -> str:
        """`web-1 → db-1`."""
        return f"{self.source.name} → {self.target.name if self.target else self.address}"

    @property
    def service(self) -> str:
        return f"{self.protocol}/{self.port_dst}" if self.port_dst else self.protocol


class CheckTurn(models.Model):
    """One turn of a check: from when on it had this verdict, and what had changed since it was last looked at.

    `changes` is a list of {"at", "actor", "words"}: the audit's rows of the team between the two generations.
    """

    check_row = models.ForeignKey(PathCheck, on_delete=models.CASCADE, related_name="turns")
    at = models.DateTimeField()
    state = models.CharField(max_length=8, choices=PathCheck.State.choices)
    verdict = models.CharField(max_length=16)
    reason = models.TextField()
    generation_before = models.PositiveBigIntegerField(null=True, blank=True)
    generation = models.PositiveBigIntegerField()
    changes = models.JSONField(default=list, blank=True)

    class Meta:
        ordering = ["-id"]


class WhatIf(models.Model):
    """A rule added to a group, or one of its rules removed, on a copy. `rule` holds a rule's form fields.

    With a `router` it is one of its static routes instead, and `rule` holds its destination and next hop.

    `result`: {"flows": {host: [line]}, "before": trace?, "after": trace?, "changed": [...], "services": [...], "pairs": n}.
    """

    class Action(models.TextChoices):
        ADD = "add", _("add it")
        REMOVE = "remove", _("remove it")
        REPLACE = "replace", _("put it in place of another")  # of a route to the same destination

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="what_ifs")
    group = models.ForeignKey(SecurityGroup, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    router = models.ForeignKey(Router, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    trace = models.ForeignKey(TraceRequest, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    removed = models.ForeignKey(SecurityRule, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    action = models.CharField(max_length=7, choices=Action.choices)
    rule = models.JSONField(default=dict, blank=True)
    title = models.CharField(max_length=200)
    state = models.CharField(max_length=8, choices=RunState.choices, default=RunState.RUNNING)
    generation = models.PositiveBigIntegerField(null=True, blank=True)
    result = models.JSONField(null=True, blank=True)
    error = models.TextField(default="", blank=True)
    applied_at = models.DateTimeField(null=True, blank=True)
    applied_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta:
        ordering = ["-id"]

    @property
    def right(self) -> str:
        """What applying it needs."""
        return "group.change" if self.router_id is None else "network.change"


class FlowWhatIf(models.Model):
    """A flow of one bridge of a host added, removed or given other actions, on a copy of what is recorded of it. Operators'.

    `result`: {"lines": [[sign, flow, is ours]], "before": trace?, "after": trace?, "changed": […], "changed_count": n,
    "services": […], "pairs": n, "unasked": why no pair was asked, "findings": […], "fate": words, "command": words}.
    """

    class Action(models.TextChoices):
        ADD = "add", _("add it")
        EDIT = "edit", _("give it other actions")
        REMOVE = "remove", _("remove it")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="+")
    bridge = models.CharField(max_length=64)
    action = models.CharField(max_length=7, choices=Action.choices)
    flow = models.TextField(help_text="as ovs-ofctl takes it")
    packet = models.TextField(default="", blank=True, help_text="followed before and after, as ovs-ofctl takes it")
    exact = models.JSONField(
        default=list, blank=True, help_text="the change in OpenFlow bytes (portal.checks.flow_apply)"
    )
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    state = models.CharField(max_length=8, choices=RunState.choices, default=RunState.RUNNING)
    generation = models.PositiveBigIntegerField(null=True, blank=True)
    result = models.JSONField(null=True, blank=True)
    error = models.TextField(default="", blank=True)
    applied_at = models.DateTimeField(null=True, blank=True)
    applied_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta:
        ordering = ["-id"]

    @property
    def title(self) -> str:
        """What is tried, in words."""
        verb = {"add": "Add a flow to", "edit": "Other actions for a flow of", "remove": "Remove a flow from"}[
            self.action
        ]
        return f"{verb} {self.bridge} on {self.host.name}"
