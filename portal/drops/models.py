"""What the hosts' switches dropped, by reason and by what it was dropped for. The controller counts."""

from __future__ import annotations

from django.db import models

from portal.hosts.models import Host
from portal.networks.models import Port


class DropCounter(models.Model):
    """One host's drops for one reason, put down to one row: a port, a network, a router, … (sdn.model.cookie.CauseKind).

    The kind SYSTEM, with the row 0, is everything that the host dropped for the reason; the others are part of it.
    `seen_…` is what the switch's flows said last, so that a controller that starts again goes on from there.
    """

    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="drops")
    kind = models.PositiveSmallIntegerField()
    row_id = models.PositiveBigIntegerField()
    reason = models.CharField(max_length=24)
    port = models.ForeignKey(Port, on_delete=models.CASCADE, null=True, related_name="drops")
    packets = models.PositiveBigIntegerField(default=0)
    bytes = models.PositiveBigIntegerField(default=0)
    seen_packets = models.PositiveBigIntegerField(default=0)
    seen_bytes = models.PositiveBigIntegerField(default=0)
    last_at = models.DateTimeField(help_text="when it last grew")

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["host", "kind", "row_id", "reason"], name="one_drop_counter")]
