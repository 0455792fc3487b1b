"""Use and its cost over REST."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Schema
from pydantic import Field

from portal.accounts.access import require, team_for
from portal.accounts.models import Team
from portal.accounts.views import person
from portal.api.names import Given
from portal.usage.resources import RESOURCES
from portal.usage.showback import Account, accounts, change_prices, month_of, prices

router = Router()
Month = Annotated[str, Query(max_length=20, description="as 2026-11; none given: this month")]


class UsageLineOut(Schema):
    """Numbers are decimal text, which no reader rounds."""

    name: str
    hours: str
    price: str
    cost: str


class UsageDayOut(Schema):
    day: date
    cost: str


class UsageAccountOut(Schema):
    """`lines` are the month's, a line for each resource: how much was held times for how many hours."""

    team: str
    month: str
    currency: str
    total: str
    lines: list[UsageLineOut]
    days: list[UsageDayOut]


class PricesOut(Schema):
    currency: str
    per_hour: dict[str, str]


class PricesIn(Given):
    currency: str = Field("EUR", max_length=40)
    per_hour: dict[str, Annotated[str, Field(max_length=40)]] = Field(
        max_length=50, description=f"decimal text by resource: {', '.join(RESOURCES)}; none given costs nothing"
    )


@router.get("/usage/month", response=UsageAccountOut, summary="What the team held in a month, and what it costs")
def get_month(request: HttpRequest, month: Month = "") -> Any:
    team = team_for(request, "usage.see")
    return _out(accounts([team], month_of(month, timezone.now().date()))[0])


@router.get("/usage/all", response=list[UsageAccountOut], summary="Every team's month, for operators")
def get_all(request: HttpRequest, month: Month = "") -> Any:
    require(request, "price.change")
    return [_out(one) for one in accounts(Team.objects.order_by("name"), month_of(month, timezone.now().date()))]


@router.get("/prices", response=PricesOut, summary="What an hour costs")
def get_prices(request: HttpRequest) -> Any:
    require(request, "price.see")
    return prices()


@router.put("/prices", response=PricesOut, summary="Change what an hour costs, of what was used before too")
def put_prices(request: HttpRequest, asked: PricesIn) -> Any:
    require(request, "price.change")
    return change_prices(person(request), asked.currency, asked.per_hour)


def _out(one: Account) -> dict[str, Any]:
    lines = [
        {"name": line.name, "hours": f"{line.hours:f}", "price": f"{line.price:f}", "cost": f"{line.cost:f}"}
        for line in one.lines
    ]
    days = [{"day": day, "cost": f"{cost:f}"} for day, cost in one.days]
    told = {"team": one.team.slug, "month": f"{one.month:%Y-%m}", "currency": one.currency, "total": f"{one.total:f}"}
    return {**told, "lines": lines, "days": days}
