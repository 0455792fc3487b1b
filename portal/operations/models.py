"""Operations: every long change, with its stages as the saga declares them and as the page shows them."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from portal.accounts.models import Team, User
from portal.operations.stages import TITLES


class OperationState(models.TextChoices):
    QUEUED = "queued", _("Queued")
    RUNNING = "running", _("Running")
    UNDOING = "undoing", _("Undoing")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")


UNFINISHED = (OperationState.QUEUED, OperationState.RUNNING, OperationState.UNDOING)


class Operation(models.Model):
    """One change. `lease_until` and `worker` say who works on it now: compare-and-set on them decides.

    `log` is what happened, each line a time and words. `params["asked"]` is what a retry needs and the object's row no
    longer has; it goes when the operation is done. One without a team is of the hosts themselves, and the operators'.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, null=True, blank=True, related_name="operations")
    kind = models.CharField(max_length=30, help_text='"vm.create", "vm.delete", …')
    object_type = models.CharField(max_length=20)
    object_uuid = models.UUIDField()
    object_name = models.CharField(max_length=63)
    state = models.CharField(max_length=10, choices=OperationState.choices, default=OperationState.QUEUED)
    error = models.TextField(default="", blank=True)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    worker = models.CharField(max_length=60, default="", blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    params = models.JSONField(default=dict)
    log = models.JSONField(default=list)
    cancel_asked_at = models.DateTimeField(null=True, blank=True)
    cancel_asked_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    retry_of = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="retries")

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["state"], name="operation_by_state"),
            models.Index(fields=["object_uuid"], name="operation_by_object"),
        ]

    @property
    def title(self) -> str:
        """What it does, as words before the object's name."""
        return TITLES.get(self.kind, self.kind)

    @property
    def owner(self) -> Team:
        """The team, of a kind of operation that always has one."""
        assert self.team is not None, self.kind
        return self.team

    @property
    def topic(self) -> str:
        """Where its changes are told."""
        return f"team:{self.team.slug}" if self.team else "hosts"

    @property
    def is_ended(self) -> bool:
        """Nothing of it is under way any more."""
        return self.state not in UNFINISHED

    @property
    def duration_s(self) -> float | None:
        """From its start to its end; None until it ended."""
        ended = self.started_at and self.finished_at
        return (self.finished_at - self.started_at).total_seconds() if ended else None  # type: ignore[operator]


class StageState(models.TextChoices):
    WAITING = "waiting", _("Waiting")
    RUNNING = "running", _("Running")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")
    UNDONE = "undone", _("Undone")


class OperationStage(models.Model):
    operation = models.ForeignKey(Operation, on_delete=models.CASCADE, related_name="stages")
    position = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=30)
    title = models.CharField(max_length=80)
    state = models.CharField(max_length=10, choices=StageState.choices, default=StageState.WAITING)
    detail = models.CharField(max_length=300, default="", blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    @property
    def duration_s(self) -> float | None:
        """How long it took; None until it ended."""
        ended = self.started_at and self.finished_at
        return (self.finished_at - self.started_at).total_seconds() if ended else None  # type: ignore[operator]

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["operation", "position"], name="one_stage_per_position")]
