"""A team's service accounts and their tokens."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from portal.accounts.access import may, refusal, require, team_for
from portal.accounts.models import ApiToken, Membership, Role, Team, User
from portal.accounts.scopes import READ, WORDS
from portal.accounts.services import change_service_role, create_service, delete_service
from portal.accounts.teams import TeamProblem
from portal.accounts.tokens import TOKEN_DAYS, TokenSpec, delete_token, make_scoped
from portal.accounts.views import person

Errors = dict[str, list[str]]


@require_http_methods(["GET", "HEAD", "POST"])
def services(request: HttpRequest) -> HttpResponse:
    """The current team's service accounts, with a form to make one."""
    team = team_for(request, "service.see")
    if request.method == "POST":
        require(request, "service.manage", team)
        try:
            create_service(team, person(request), request.POST.get("name", "").strip(), request.POST.get("role", ""))
        except TeamProblem as problem:
            return _page(request, team, problem.errors)
        return redirect("services")
    return _page(request, team)


@require_POST
def service_change(request: HttpRequest, service_id: int) -> HttpResponse:
    """Another role, or its end."""
    team = team_for(request, "service.manage")
    user = get_object_or_404(User, pk=service_id, service_of=team)
    if request.POST.get("word") == "delete":
        delete_service(user, person(request))
        return redirect("services")
    try:
        change_service_role(user, person(request), request.POST.get("role", ""))
    except TeamProblem as problem:
        return _page(request, team, {f"role-{user.pk}": problem.errors["role"]})
    return redirect("services")


@require_POST
def service_token(request: HttpRequest, service_id: int) -> HttpResponse:
    """A new token of the account, shown this once; or, with `token`, the end of one."""
    team = team_for(request, "service.manage")
    user = get_object_or_404(User.objects.select_related("service_of"), pk=service_id, service_of=team)
    given = request.POST.get("token", "")
    if given:
        number = int(given) if given.isdecimal() and len(given) < 16 else 0
        delete_token(get_object_or_404(ApiToken.objects.select_related("user"), pk=number, user=user), person(request))
        return redirect("services")
    days = request.POST.get("days", "")
    number = int(days) if days.isdecimal() and len(days) < 6 else 0
    spec = TokenSpec(request.POST.get("name", ""), tuple(request.POST.getlist("scopes")), number)
    try:
        _, secret = make_scoped(user, spec, person(request))
    except TeamProblem as problem:
        lines = [line for found in problem.errors.values() for line in found]
        return _page(request, team, {f"token-{user.pk}": lines})
    return _page(request, team, secret=secret)


def _page(request: HttpRequest, team: Team, errors: Errors | None = None, secret: str = "") -> HttpResponse:
    found = errors or {}
    rows = Membership.objects.filter(team=team, user__service_of=team).select_related("user").order_by("user__username")
    context = {
        "team": team,
        "services": [
            (row, row.user.tokens.all(), found.get(f"role-{row.user_id}", []) + found.get(f"token-{row.user_id}", []))
            for row in rows.prefetch_related("user__tokens")
        ],
        "manage": may(request, "service.manage", team),
        "refusal": refusal(request, "service.manage", team),
        "roles": Role.choices,
        "scopes": WORDS.items(),
        "chosen": [READ],
        "days": TOKEN_DAYS,
        "errors": found,
        "given": request.POST,
        "secret": secret,
    }
    return render(request, "accounts/services.html", context, status=422 if errors else 200)
