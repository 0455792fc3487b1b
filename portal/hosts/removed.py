"""Flows with our mark that nothing explained, and that were removed: what the controller wrote down of them."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from portal.accounts.models import AuditRow

FLOWS_REMOVED = "flows.removed"
SHOWN_FOR = timedelta(days=7)
MOST_SHOWN = 10


def removals() -> list[AuditRow]:
    """The latest ones; `before` holds `count` and `flows`, lines as ovs-ofctl writes them."""
    since = timezone.now() - SHOWN_FOR
    return list(AuditRow.objects.filter(action=FLOWS_REMOVED, at__gt=since).order_by("-id")[:MOST_SHOWN])
