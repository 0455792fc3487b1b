"""Operators' pages of teams: all of them with what they use, a new one, and one's limits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import messages
from django.db.models import Count, Max, Q, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from portal.accounts.access import require
from portal.accounts.models import Membership, Team
from portal.accounts.team_admin import LIMITS, TeamSpec, change_team, create_team, limits_of, words_of
from portal.accounts.teams import TeamProblem
from portal.accounts.views import person
from portal.compute.models import VM
from portal.config.typed import typed_number
from portal.networks.models import FloatingAddress, Network
from portal.networks.quota import OVERLAYS
from portal.snapshots.models import Snapshot, SnapshotVolume
from portal.volumes.models import Volume

# What fills a limit: the rows of the team, and what is summed of them.
SUMS: tuple[tuple[Any, dict[str, Any]], ...] = (
    (
        VM,
        {
            "max_vms": Count("id"),
            "max_vcpus": Sum("vcpus"),
            "max_ram_mib": Sum("ram_mib"),
            "max_disk_gib": Sum("disk_gib"),
        },
    ),
    (Volume, {"max_volumes": Count("id"), "max_volume_gib": Sum("size_gib")}),
)
SHOWN = tuple(name for _, sums in SUMS for name in sums)
# What fills the other limits, and these too: the way from a row to its team, and what is looked at. They are priced otherwise, or
# not at all.
MORE: tuple[tuple[Any, str, dict[str, Any]], ...] = (
    (Snapshot.objects, "vm__team", {"max_snapshots": Count("id"), "max_disk_gib": Sum("disk_gib")}),
    (SnapshotVolume.objects, "volume__team", {"max_snapshots": Count("id", filter=Q(snapshot=None)), "max_volume_gib": Sum("size_gib")}),
    (Network.objects.filter(kind__in=OVERLAYS), "team", {"max_networks": Count("id")}),
    (FloatingAddress.objects, "team", {"max_floating_addresses": Count("id")}),
    (VM.objects, "team", {"max_vm_vcpus": Max("vcpus"), "max_vm_ram_mib": Max("ram_mib"), "max_vm_disk_gib": Max("disk_gib")}),
)  # fmt: skip


def use_by_team(teams: Iterable[Team]) -> dict[int, dict[str, int]]:
    """Team → limit → what is used of it: a query for each kind of row, however many teams."""
    found = {team.pk: dict.fromkeys(SHOWN, 0) for team in teams}
    for model, sums in SUMS:
        for row in model.objects.filter(team__in=found).values("team").annotate(**sums).order_by():
            found[row["team"]] |= {name: row[name] or 0 for name in sums}
    return found


def use_of_limits(teams: Iterable[Team]) -> dict[int, dict[str, int]]:
    """Team → each limit → what is used of it, of a VM's size the largest."""
    found = {team: dict.fromkeys(LIMITS, 0) | used for team, used in use_by_team(teams).items()}
    for rows, way, sums in MORE:
        for row in rows.filter(**{f"{way}__in": found}).values(way).annotate(**sums).order_by():
            for name in sums:
                found[row[way]][name] += row[name] or 0
    return found


def use_row(team: Team, used: dict[str, int], names: Iterable[str] = SHOWN) -> list[dict[str, Any]]:
    """Name, words, used and limit of what is counted of the team's rows."""
    return [{"name": name, "words": words_of(name), "used": used[name], "limit": getattr(team, name)} for name in names]


@require_http_methods(["GET", "HEAD", "POST"])
def teams(request: HttpRequest) -> HttpResponse:
    """Every team with what it uses, and a form for a new one, whose owner's first password is shown this once."""
    require(request, "team.list")
    errors: dict[str, list[str]] = {}
    made = None
    if request.method == "POST":
        spec = TeamSpec(request.POST.get("name", "").strip(), request.POST.get("owner", "").strip(), _limits(request))
        try:
            made = create_team(spec, person(request))
        except TeamProblem as problem:
            errors = problem.errors
    members = dict(Membership.objects.filter(user__service_of=None).values_list("team").annotate(Count("id")))
    rows = list(Team.objects.order_by("name"))
    use = use_of_limits(rows)
    context = {
        "teams": [(team, members.get(team.pk, 0), use_row(team, use[team.pk])) for team in rows],
        "headings": [words_of(name) for name in SHOWN],
        "made": made,
        "errors": errors,
        "given": request.POST if errors else {},
        "limits": _fields(errors, request, limits_of(Team())),
    }
    return render(request, "accounts/teams.html", context, status=422 if errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
def team(request: HttpRequest, slug: str) -> HttpResponse:
    """One team's people, use and limits, and a form to change the limits."""
    require(request, "team.list")
    row = get_object_or_404(Team, slug=slug)
    errors: dict[str, list[str]] = {}
    if request.method == "POST":
        spec = TeamSpec(request.POST.get("name", "").strip(), limits=_limits(request))
        try:
            changed = change_team(row, spec, person(request))
            messages.success(request, gettext("%(changed)s is changed.") % {"changed": changed.name})
            return redirect("team", slug)
        except TeamProblem as problem:
            errors = problem.errors
    context = {
        "row": row,
        "use": use_row(row, use_of_limits([row])[row.pk], LIMITS),
        "members": row.memberships.filter(user__service_of=None)
        .select_related("user")
        .order_by("role", "user__username"),
        "errors": errors,
        "name": request.POST.get("name", row.name),
        "limits": _fields(errors, request, limits_of(row)),
    }
    return render(request, "accounts/team.html", context, status=422 if errors else 200)


def _limits(request: HttpRequest) -> dict[str, int]:
    found = {}
    for name in LIMITS:
        text = request.POST.get(name, "").strip()
        if text:
            found[name] = typed_number(text)
    return found


def _fields(errors: dict[str, list[str]], request: HttpRequest, now: dict[str, int]) -> list[dict[str, Any]]:
    return [
        {"name": name, "words": words_of(name), "value": request.POST.get(name, value), "errors": errors.get(name, [])}
        for name, value in now.items()
    ]
