"""A team's use of a month with its cost, and the operators' page of all teams with the price list."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from portal.accounts.access import require, team_for
from portal.accounts.models import Team
from portal.accounts.teams import TeamProblem
from portal.accounts.views import person
from portal.usage.resources import RESOURCES, UNITS
from portal.usage.showback import Account, accounts, as_csv, change_prices, month_of, prices


@require_safe
def team_usage(request: HttpRequest) -> HttpResponse:
    """What the current team held in a month, day by day, and what it costs; `form=csv` as a file."""
    team = team_for(request, "usage.see")
    try:
        month = month_of(request.GET.get("month", ""), timezone.now().date())
    except TeamProblem as problem:
        month, words = timezone.now().date().replace(day=1), str(problem)
    else:
        words = ""
    (account,) = accounts([team], month)
    if request.GET.get("form") == "csv":
        return _file([account], f"usage-{team.slug}-{month:%Y-%m}.csv")
    most = max((cost for _, cost in account.days), default=None)
    days = [(day, cost, float(cost / most * 100) if most else 0.0) for day, cost in account.days]
    context = {"account": account, "days": days, "words": words, **_months(month)}
    return render(request, "usage/team_usage.html", context, status=422 if words else 200)


@require_http_methods(["GET", "HEAD", "POST"])
def all_usage(request: HttpRequest) -> HttpResponse:
    """Every team's month, the price list with its form; `form=csv` as a file."""
    require(request, "price.change")
    errors: dict[str, list[str]] = {}
    if request.method == "POST":
        given = {name: request.POST.get(name, "") for name in RESOURCES}
        try:
            change_prices(person(request), request.POST.get("currency", "").strip(), given)
            return redirect("all_usage")
        except TeamProblem as problem:
            errors = problem.errors
    try:
        month = month_of(request.GET.get("month", ""), timezone.now().date())
    except TeamProblem as problem:
        month, errors = timezone.now().date().replace(day=1), problem.errors
    found = accounts(Team.objects.order_by("name"), month)
    if request.GET.get("form") == "csv":
        return _file(found, f"usage-{month:%Y-%m}.csv")
    listed = prices()
    fields = [
        {
            "name": name,
            "words": UNITS[name],
            "value": request.POST.get(name, listed.per_hour.get(name, "0")),
            "errors": errors.get(name, []),
        }
        for name in RESOURCES
    ]
    context = {"accounts": found, "fields": fields, "listed": listed, "errors": errors, **_months(month)}
    return render(request, "usage/all_usage.html", context, status=422 if errors else 200)


def _months(month: date) -> dict[str, Any]:
    index = month.year * 12 + month.month - 1
    around = {"before": index - 1, "after": index + 1}
    if month >= timezone.now().date().replace(day=1):  # nothing was used in the future
        del around["after"]
    return {"month": month} | {name: f"{at // 12:04}-{at % 12 + 1:02}" for name, at in around.items()}


def _file(found: list[Account], name: str) -> HttpResponse:
    answer = HttpResponse(as_csv(found), content_type="text/csv; charset=utf-8")
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer
