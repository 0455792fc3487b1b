"""Boards: a team's own, and those that its people made for themselves."""

from __future__ import annotations

import uuid

from django.db import models

from portal.accounts.models import Team, User


class Board(models.Model):
    """Widgets in their order. Without an owner it is the team's board; before its first change it has no row.

    `widgets` is a list of {"id", "kind", "width", "text"}: `portal.dashboards.layout` says what is allowed.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="boards")
    owner = models.ForeignKey(User, on_delete=models.CASCADE, null=True, blank=True, related_name="boards")
    title = models.CharField(max_length=60)
    is_shared = models.BooleanField(default=False, help_text="the whole team sees it")
    widgets = models.JSONField(default=list)
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["team"], condition=models.Q(owner=None), name="one_board_of_a_team"),
        ]
