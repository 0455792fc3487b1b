"""What every page's frame needs."""

from __future__ import annotations

from typing import Any

from django.db.models import TextChoices
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.translation import get_language

from portal.accounts.access import current_team, memberships_of, role_in
from portal.accounts.models import Team
from portal.compute.models import VMState
from portal.hosts.models import Host
from portal.operations.models import UNFINISHED, Operation, OperationState
from portal.search.places import PLACES

KEYS = ",".join(place.keys for place in PLACES if place.keys)


def shell(request: HttpRequest) -> dict[str, Any]:
    """The current team, the navigation and the hosts' ages for the status line, as one `shell` word."""
    if not getattr(request, "user", None) or not request.user.is_authenticated:
        return {}
    team = current_team(request)
    frame: dict[str, Any] = {
        "team": team,
        "keys": KEYS,
        "teams": [row.team for row in memberships_of(request)],
        "role": role_in(request, team) if team else None,
        "vm_count": team.vms.count() if team else 0,
        "running": running_operation(team),
        "hosts": Host.objects.filter(enabled=True).only("name", "libvirt_seen_at")[:6],
        "trace_url": url_or_nothing("trace_new"),
        "flows_url": url_or_nothing("flow_hosts"),
        "topology_url": url_or_nothing("topology"),
        "state_words": state_words(),
    }
    return {"shell": frame}


def state_words() -> dict[str, dict[str, str]]:
    """Kind of object → its states in the page's language, for what changes them live; none where that is English."""
    if (get_language() or "en").startswith("en"):
        return {}
    kinds: dict[str, type[TextChoices]] = {"vm": VMState, "operation": OperationState}
    return {kind: {value: str(label) for value, label in states.choices} for kind, states in kinds.items()}


def running_operation(team: Team | None) -> Operation | None:
    """The team's newest operation that has not ended."""
    return Operation.objects.filter(team=team, state__in=UNFINISHED).first() if team else None


def url_or_nothing(name: str) -> str:
    try:
        return reverse(name)
    except NoReverseMatch:
        return ""
