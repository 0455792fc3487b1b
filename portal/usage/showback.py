"""A month's use as an account: hours, price, cost; per day too. Money is decimal, rounded once, at each line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from django.db import transaction
from django.utils.translation import gettext

from portal.accounts.audit import record
from portal.accounts.models import Team, User
from portal.accounts.teams import TeamProblem
from portal.usage.models import PriceList, UsageDay
from portal.usage.resources import RESOURCES, UNITS

CENT = Decimal("0.01")
MOST_PRICE = Decimal(1_000_000)


@dataclass(frozen=True)
class CostLine:
    """One resource of the month."""

    name: str
    words: str
    hours: Decimal
    price: Decimal
    cost: Decimal


@dataclass(frozen=True)
class Account:
    """A team's month; `days` are (day, cost of the day)."""

    team: Team
    month: date
    currency: str
    lines: tuple[CostLine, ...]
    days: tuple[tuple[date, Decimal], ...]

    @property
    def total(self) -> Decimal:
        return sum((line.cost for line in self.lines), Decimal(0))


def prices() -> PriceList:
    """The one price list."""
    return PriceList.objects.filter(pk=1).first() or PriceList(pk=1)


def change_prices(by: User, currency: str, per_hour: dict[str, str]) -> PriceList:
    """Other prices, of what was used before too. Raises TeamProblem with all that is wrong."""
    errors: dict[str, list[str]] = {}
    if not (currency.isalpha() and currency.isascii() and 1 <= len(currency) <= 8):
        errors["currency"] = [
            gettext("“%(currency)s” was given; 1 to 8 letters as EUR are allowed") % {"currency": currency[:20]}
        ]
    kept: dict[str, str] = {}
    for name, text in per_hour.items():
        price = _price(text)
        if name not in RESOURCES:
            errors[name[:40]] = [
                gettext("there is no such resource; %(resources)s are") % {"resources": ", ".join(RESOURCES)}
            ]
        elif price is None:
            errors[name] = [
                gettext("“%(text)s” was given; a number from 0 to %(most_price)s, with at most 8 places, is allowed")
                % {"text": text[:20], "most_price": MOST_PRICE}
            ]
        elif price:
            kept[name] = format(price, "f")
    if errors:
        raise TeamProblem.of(errors)
    with transaction.atomic():
        row = prices()
        before = {"currency": row.currency, **row.per_hour}
        row.currency, row.per_hour = currency, kept
        row.save()
        record(
            "price.change", None, by, ("prices", "1", "price list"), before=before, after={"currency": currency, **kept}
        )
    return row


def month_of(text: str, today: date) -> date:
    """The first of a month given as 2026-11; this month's for nothing. Raises TeamProblem."""
    if not text:
        return today.replace(day=1)
    try:
        return date.fromisoformat(f"{text}-01")
    except ValueError:
        raise TeamProblem(
            "month",
            gettext("“%(text)s” was given; a month as %(today)s is allowed")
            % {"text": text[:20], "today": f"{today:%Y-%m}"},
        ) from None


def accounts(teams: Iterable[Team], month: date) -> list[Account]:
    """Each team's month; two queries however many teams."""
    listed = prices()
    per_hour = {name: Decimal(listed.per_hour.get(name, "0")) for name in RESOURCES}
    rows = list(teams)
    found: dict[int, list[UsageDay]] = {team.pk: [] for team in rows}
    for row in UsageDay.objects.filter(team__in=found, day__year=month.year, day__month=month.month):
        found[row.team_id].append(row)
    return [_account(team, month, listed.currency, per_hour, found[team.pk]) for team in rows]


def as_csv(found: Iterable[Account]) -> str:
    """The accounts' lines with a heading, as a spreadsheet reads them; no cell begins a formula."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["month", "team", "resource", "hours", "price", "cost", "currency"])
    for one in found:
        for line in one.lines:
            cells = (line.name, f"{line.hours:.4f}", format(line.price, "f"), f"{line.cost:.2f}", one.currency)
            writer.writerow([f"{one.month:%Y-%m}", one.team.slug, *cells])
    return out.getvalue()


def _account(team: Team, month: date, currency: str, per_hour: dict[str, Decimal], rows: list[UsageDay]) -> Account:
    def cost(name: str, hours: float) -> Decimal:
        return (Decimal(str(hours)) * per_hour[name]).quantize(CENT, ROUND_HALF_UP)

    sums = {name: sum(row.hours.get(name, 0.0) for row in rows) for name in RESOURCES}
    lines = tuple(
        CostLine(name, UNITS[name], Decimal(str(round(sums[name], 4))), per_hour[name], cost(name, sums[name]))
        for name in RESOURCES
    )
    days = tuple(
        (row.day, sum((cost(name, row.hours.get(name, 0.0)) for name in RESOURCES), Decimal(0))) for row in rows
    )
    return Account(team, month, currency, lines, days)


def _price(text: str) -> Decimal | None:
    try:
        price = Decimal(text.strip() or "0") if text.isascii() else None
    except InvalidOperation:
        return None
    if price is None or not price.is_finite() or not 0 <= price <= MOST_PRICE:
        return None
    exponent = price.as_tuple().exponent
    return price if isinstance(exponent, int) and exponent >= -8 else None
