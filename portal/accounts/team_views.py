"""A team's members, invitation links and activity."""

from __future__ import annotations

from urllib.parse import urlencode

from allauth.account.internal.flows.login import perform_password_login
from allauth.account.models import Login
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from portal.accounts.access import SESSION_KEY, may, refusal, require, team_for
from portal.accounts.activity import AREAS, ActivityProblem, activity_of, asked_by
from portal.accounts.audit_file import MOST_ROWS, as_csv
from portal.accounts.joining import NewPerson, join_as_new
from portal.accounts.models import AuditRow, Invitation, Membership, Role, Team
from portal.accounts.presentation import as_feed
from portal.accounts.teams import (
    INVITATION_DAYS,
    TeamProblem,
    accept,
    add_member,
    change_role,
    end_invitation,
    invite,
    open_invitation,
    remove_member,
)
from portal.accounts.views import person
from portal.config.cut import cut

ACTIVITY_SHOWN = 100
FILTERS = ("object", "who", "area", "since", "until")


@require_safe
def members(request: HttpRequest) -> HttpResponse:
    """Who is in the current team, and for owners how to change that."""
    return _members_page(request, team_for(request, "team.see"))


def _members_page(
    request: HttpRequest, team: Team, errors: dict[str, list[str]] | None = None, link: str = ""
) -> HttpResponse:
    rows = (
        Membership.objects.filter(team=team, user__service_of=None)
        .select_related("user")
        .order_by("role", "user__username")
    )
    found = errors or {}
    context = {
        "team": team,
        "members": [(row, found.get(f"member-{row.pk}", [])) for row in rows],
        "invitations": team.invitations.filter(used_at=None, expires_at__gt=timezone.now()).select_related(
            "created_by"
        ),
        "manage": may(request, "team.manage", team),
        "refusal": refusal(request, "team.manage", team),
        "roles": Role.choices,
        "days": INVITATION_DAYS,
        "errors": found,
        "given": request.POST,
        "link": link,
    }
    return render(request, "accounts/members.html", context, status=422 if errors else 200)


@require_POST
def member_add(request: HttpRequest) -> HttpResponse:
    """Somebody who has a log-in becomes a member."""
    team = team_for(request, "team.manage")
    try:
        row = add_member(team, person(request), request.POST.get("username", ""), request.POST.get("role", ""))
    except TeamProblem as problem:
        return _members_page(request, team, problem.errors)
    messages.success(
        request,
        gettext("%(user)s is in %(team)s now, as %(role)s.")
        % {"user": row.user.username, "team": team.name, "role": gettext(row.role)},
    )
    return redirect("members")


@require_POST
def member_role(request: HttpRequest, member_id: int) -> HttpResponse:
    """Another role for a member."""
    team = team_for(request, "team.manage")
    row = get_object_or_404(Membership.objects.select_related("user", "team"), pk=member_id, team=team)
    try:
        change_role(row, person(request), request.POST.get("role", ""))
    except TeamProblem as problem:
        return _members_page(request, team, {f"member-{row.pk}": problem.errors["role"]})
    return redirect("members")


@require_POST
def member_remove(request: HttpRequest, member_id: int) -> HttpResponse:
    """An owner removes a member; everybody may leave."""
    team = team_for(request, "team.leave")
    row = get_object_or_404(Membership.objects.select_related("user", "team"), pk=member_id, team=team)
    if row.user_id != request.user.pk:
        require(request, "team.manage", team)
    try:
        remove_member(row, person(request))
    except TeamProblem as problem:
        return _members_page(request, team, {f"member-{row.pk}": problem.errors["role"]})
    return redirect("members" if row.user_id != request.user.pk else "dashboard")


@require_POST
def invite_new(request: HttpRequest) -> HttpResponse:
    """A link into the team, shown this once."""
    team = team_for(request, "team.manage")
    days = request.POST.get("days", "")
    try:
        number = int(days) if days.isdecimal() and len(days) < 6 else 0
        _, secret = invite(team, person(request), request.POST.get("role", ""), number)
    except TeamProblem as problem:
        return _members_page(request, team, {f"invite-{name}": lines for name, lines in problem.errors.items()})
    return _members_page(request, team, link=request.build_absolute_uri(reverse("invitation", args=[secret])))


@require_POST
def invite_end(request: HttpRequest, invitation_id: int) -> HttpResponse:
    """The link works no more."""
    team = team_for(request, "team.manage")
    row = get_object_or_404(Invitation, pk=invitation_id, team=team, used_at=None)
    end_invitation(row, person(request))
    return redirect("members")


@require_http_methods(["GET", "HEAD", "POST"])
def invitation(request: HttpRequest, secret: str) -> HttpResponse:
    """What a link offers; posting takes it."""
    if request.method == "POST":
        try:
            team = accept(secret, person(request))
        except TeamProblem as problem:
            return render(request, "accounts/invitation.html", {"problem": str(problem)}, status=422)
        request.session[SESSION_KEY] = team.slug
        messages.success(request, gettext("You are in %(team)s now.") % {"team": team.name})
        return redirect("dashboard")
    row = open_invitation(secret)
    words = "" if row else gettext("This link was used, ended or is too old: ask for a new one.")
    return render(
        request, "accounts/invitation.html", {"invitation": row, "problem": words}, status=200 if row else 404
    )


@login_not_required
@sensitive_post_parameters("password", "again")
@require_http_methods(["GET", "HEAD", "POST"])
def invitation_new(request: HttpRequest, secret: str) -> HttpResponse:
    """A log-in for somebody invited who has none; posting makes it, joins and logs in."""
    if request.user.is_authenticated:
        return redirect("invitation", secret)
    row = open_invitation(secret) if settings.INVITED_PEOPLE else None
    if row is None:
        words = gettext("This link was used, ended or is too old: ask for a new one.")
        return render(request, "accounts/login_problem.html", {"words": words}, status=404)
    posted, errors = request.POST, {}
    if request.method == "POST":
        asked = NewPerson(posted.get("username", ""), posted.get("password", ""), posted.get("again", ""))
        try:
            user = join_as_new(secret, asked)
            messages.success(request, gettext("You are in %(team)s now.") % {"team": row.team.name})
            return perform_password_login(request, {"username": user.username}, Login(user, redirect_url="/"))  # type: ignore[no-any-return]
        except TeamProblem as problem:
            errors = problem.errors
    context = {"invitation": row, "errors": errors, "given": posted, "secret": secret}
    return render(request, "accounts/invitation_new.html", context, status=422 if errors else 200)


@require_safe
def activity(request: HttpRequest) -> HttpResponse:
    """Who changed what in the current team; ?object=<uuid> for one object, `form=csv` as a file, from `before` a row's id on."""
    return _activity_page(request, team_for(request, "audit.see"))


@require_safe
def operator_activity(request: HttpRequest) -> HttpResponse:
    """Who changed what that belongs to no team, for operators: hosts, what is for all teams, settings, log-ins."""
    require(request, "audit.all")
    return _activity_page(request, None)


def _activity_page(request: HttpRequest, team: Team | None) -> HttpResponse:
    asked, errors = asked_by(request.GET.dict()), {}
    try:
        rows = activity_of(team, asked)
    except ActivityProblem as problem:
        rows, errors = AuditRow.objects.none(), problem.errors
    if request.GET.get("form") == "csv" and not errors:
        name = f"activity-{team.slug}.csv" if team is not None else "activity-of-no-team.csv"
        return _audit_file(rows, request.GET.get("before", ""), name)
    found = cut(rows, request.GET, ACTIVITY_SHOWN)
    kept = {name: value for name, value in request.GET.dict().items() if name in FILTERS and value}
    context = {
        "team": team, "entries": as_feed(found.rows), "cut": found, "asked": asked, "errors": errors, "areas": AREAS,
        "is_filtered": bool(kept), "as_csv": urlencode({"form": "csv", **kept}),
    }  # fmt: skip
    return render(request, "accounts/activity.html", context, status=422 if errors else 200)


def _audit_file(rows: QuerySet[AuditRow], before: str, name: str) -> HttpResponse:
    if before.isascii() and before.isdecimal() and len(before) < 19:
        rows = rows.filter(pk__lt=int(before))
    answer = HttpResponse(as_csv(rows[:MOST_ROWS].iterator()), content_type="text/csv; charset=utf-8")
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer
