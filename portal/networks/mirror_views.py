"""The team's mirrors of ports: which port is watched, where the copies go, and a form for one more."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_POST

from portal.accounts.access import may, refusal, require, team_for
from portal.accounts.models import Team
from portal.accounts.views import person
from portal.config.cut import few
from portal.networks.mirrors import (
    MirrorSpec,
    end_mirror,
    mirror_words,
    mirrorable,
    mirrors_of,
    port_of,
    set_mirror,
    what_of,
)
from portal.networks.models import Mirror
from portal.networks.problems import Errors, NetworkProblem
from sdn.model.cookie import Cause, CauseKind, format_cookie

FIELDS = ("watch", "to", "what")
CHOICES = (
    ("both", "what it sends and receives"), ("sends", "only what it sends"), ("receives", "only what it receives"),
)  # fmt: skip
SHORT = {"both": "sends and receives", "sends": "sends", "receives": "receives"}


@require_http_methods(["GET", "HEAD", "POST"])
def mirrors(request: HttpRequest) -> HttpResponse:
    """Every mirror of the team; a post makes one, or changes the watched port's."""
    team = team_for(request, "mirror.see")
    errors: Errors = {}
    if request.method == "POST":
        require(request, "mirror.change", team)
        try:
            _set(request, team)
            return redirect("mirrors")
        except NetworkProblem as problem:
            errors = problem.errors
    return _page(request, team, errors)


@require_POST
def mirror_end(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Make no more copies."""
    rows = Mirror.objects.filter(source__vm__team__memberships__user_id=request.user.pk or 0)
    row = get_object_or_404(rows.select_related("source__vm__team", "target__vm"), uuid=uuid)
    assert row.source.vm is not None
    require(request, "mirror.change", row.source.vm.team)
    end_mirror(row, person(request))
    return redirect("mirrors")


def _set(request: HttpRequest, team: Team) -> None:
    """What the form says. Raises NetworkProblem with everything that is wrong."""
    given = {field: request.POST.get(field, "") for field in FIELDS}
    source, target = port_of(team, given["watch"]), port_of(team, given["to"])
    errors: Errors = {}
    if source is None:
        errors["watch"] = [
            gettext("none of the ports of %(team)s’s VMs was given: choose one of the list") % {"team": team.name}
        ]
    if target is None:
        errors["to"] = [gettext("none of the ports was given: choose one of the list")]
    if source is None or target is None:
        raise NetworkProblem(errors)
    set_mirror(source, MirrorSpec(target, given["what"]), person(request))


def _page(request: HttpRequest, team: Team, errors: Errors) -> HttpResponse:
    given = {field: request.POST.get(field, "") or request.GET.get(field, "") for field in FIELDS}
    rows = [
        {"row": row, "what": SHORT[what_of(row)], "words": mirror_words(row), "command": _command(row)}
        for row in mirrors_of(team)
    ]
    context = {
        "team": team, "rows": rows, "ports": few(mirrorable(team)), "choices": CHOICES, "given": given, "errors": errors,
        "may": may(request, "mirror.change", team), "refusal": refusal(request, "mirror.change", team),
    }  # fmt: skip
    return render(request, "networks/mirrors.html", context, status=422 if errors else 200)


def _command(row: Mirror) -> str:
    """What shows the mirror's flows, and how much they copied, on the watched port's host."""
    cookie = format_cookie(Cause(CauseKind.MIRROR, row.pk))
    return f"ovs-ofctl -O OpenFlow14 dump-flows br-int cookie={cookie:#x}/-1"
