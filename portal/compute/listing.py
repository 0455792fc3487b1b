"""The list of VMs as its URL asks for it: searched, filtered, sorted and cut into pages by the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Count, F, Q, QuerySet, Subquery, Window
from django.db.models.expressions import OrderBy
from django.urls import reverse
from django.utils.translation import gettext_noop as _

from portal.accounts.models import Team
from portal.compute.columns import COLUMNS, FIRST, parse_columns
from portal.compute.models import VM, VMState, VMTag
from portal.console.access import has_screen
from portal.networks.claims import RIGHT
from portal.networks.models import FixedAddress

PER_PAGE = 50
NOBODY = UUID(int=0)  # stands for a VM in an address that is made once for a page of them
SORTS: dict[str, tuple[str, tuple[str, ...]]] = {"name": (_("Name"), ("name",))} | {
    name: (kind.title, kind.order) for name, kind in COLUMNS.items() if kind.order
}
LAST_WITHOUT = {"lease_until", "created_by__username"}  # a VM that has none comes last, however it is sorted
FIELDS = ("q", "state", "tag", "sort", "columns", "page")


@dataclass(frozen=True)
class Asked:
    """What the URL says; anything that it may not say is as if it were not there."""

    q: str = ""
    state: str = ""
    tag: str = ""
    sort: str = "name"
    is_down: bool = False
    page: int = 1
    columns: tuple[str, ...] = ()

    def query(self, **changed: object) -> str:
        """The URL's query with those fields changed, without what is the default."""
        values = {
            "q": self.q,
            "state": self.state,
            "tag": self.tag,
            "sort": self.sort_word,
            "columns": ",".join(self.columns),
            "page": self.page,
        } | changed
        plain = {"sort": "name", "page": 1}
        return urlencode(
            {name: value for name, value in values.items() if value and value != plain.get(name)}, safe=","
        )

    @property
    def sort_word(self) -> str:
        return f"{'-' if self.is_down else ''}{self.sort}"

    @property
    def is_filtered(self) -> bool:
        return bool(self.q or self.state or self.tag)


@dataclass(frozen=True)
class Column:
    """A head of the table: where a click sorts by it (empty: it can't), and how it sorts now ("ascending", "descending", "")."""

    title: str
    query: str
    direction: str
    css: str = ""


@dataclass(frozen=True)
class Listed:
    """One page of the list. `total` counts what the filter lets through."""

    rows: list[VM]
    total: int
    asked: Asked
    pages: int
    columns: dict[str, Column]

    @property
    def first(self) -> int:
        return (self.asked.page - 1) * PER_PAGE + 1 if self.rows else 0

    @property
    def last(self) -> int:
        return self.first + len(self.rows) - 1 if self.rows else 0

    @property
    def before(self) -> str:
        return self.asked.query(page=self.asked.page - 1) if self.asked.page > 1 else ""

    @property
    def after(self) -> str:
        return self.asked.query(page=self.asked.page + 1) if self.asked.page < self.pages else ""


def parse_asked(given: Mapping[str, str]) -> Asked:
    """The question in a URL's query."""
    text = {name: str(given.get(name, "")).replace("\0", "").strip()[:100] for name in FIELDS}
    sort = text["sort"].removeprefix("-")
    page = int(text["page"]) if text["page"].isascii() and text["page"].isdecimal() and len(text["page"]) < 7 else 1
    return Asked(
        q=text["q"],
        state=text["state"] if text["state"] in VMState.values else "",
        tag=text["tag"],
        sort=sort if sort in SORTS else "name",
        is_down=text["sort"].startswith("-") and sort in SORTS,
        page=max(1, page),
        columns=parse_columns(str(given.get("columns", ""))[:200].split(",")),
    )


def listed(team: Team, rows: QuerySet[VM], asked: Asked, shown: tuple[str, ...] = FIRST) -> Listed:
    """The page of those VMs of the team that was asked for, and heads for its columns; one after the last is the last."""
    # ids alone are searched, sorted and cut: whole rows of 10,000 VMs are ten times as much to sort
    bare = filtered(VM.objects.filter(team=team), asked)
    # the count rides along in the same query: what is searched is searched once, what is not is read as far as the page
    count = bare.order_by().values("team").annotate(n=Count("pk")).values("n")
    total_of = Window(Count("pk")) if asked.is_filtered else Subquery(count)
    start = (asked.page - 1) * PER_PAGE
    cut = bare.annotate(total=total_of).order_by(*_order(asked)).values_list("pk", "total")
    keys = list(cut[start : start + PER_PAGE])
    total: int = keys[0][1] if keys else bare.count()
    pages = max(1, -(-total // PER_PAGE))
    if asked.page > pages:
        return listed(team, rows, replace(asked, page=pages), shown)
    whole = rows.in_bulk([pk for pk, _ in keys])
    return Listed([whole[pk] for pk, _ in keys if pk in whole], total, asked, pages, _columns(asked, shown))


def with_words(rows: list[VM]) -> None:
    """Gives each row its `address_words`, `conflicts` (addresses), `tag_names`, `url`, `screen_url` (none without a screen)
    and `action_url` (up to the action's name), in two queries for all."""
    ids = [row.pk for row in rows]
    addresses: dict[int, list[str]] = defaultdict(list)
    differ: dict[int, dict[str, None]] = defaultdict(dict)
    found = FixedAddress.objects.filter(port__vm__in=ids).order_by("port_id", "id")
    for vm_id, address, conflicts in found.values_list("port__vm", "address", "port__conflicts"):
        addresses[vm_id].append(address)
        differ[vm_id] |= {row["address"]: None for row in conflicts if row["kind"] != RIGHT}
    tags: dict[int, list[str]] = defaultdict(list)
    for vm_id, name in VMTag.objects.filter(vm__in=ids).order_by("name").values_list("vm", "name"):
        tags[vm_id].append(name)
    one, action = reverse("vm", args=[NOBODY]), reverse("vm_action", args=[NOBODY, "start"]).removesuffix("start/")
    screen = reverse("vm_screen", args=[NOBODY])
    for row in rows:
        row.address_words = " ".join(addresses[row.pk])  # type: ignore[attr-defined]
        row.conflicts = ", ".join(differ[row.pk])  # type: ignore[attr-defined]
        row.screen_url = screen.replace(str(NOBODY), str(row.uuid)) if has_screen(row) else ""  # type: ignore[attr-defined]
        row.tag_names = tags[row.pk]  # type: ignore[attr-defined]
        row.url = one.replace(str(NOBODY), str(row.uuid))  # type: ignore[attr-defined]
        row.action_url = action.replace(str(NOBODY), str(row.uuid))  # type: ignore[attr-defined]


def filtered(rows: QuerySet[VM], asked: Asked) -> QuerySet[VM]:
    """The VMs that the question lets through. Every word must be in the name, a tag, the image's or host's name or begin an address."""
    for word in asked.q.split()[:6]:
        by_address = FixedAddress.objects.filter(address__startswith=word, port__vm__isnull=False).values("port__vm")
        by_tag = VMTag.objects.filter(name__icontains=word).values("vm")
        rows = rows.filter(
            Q(name__icontains=word) | Q(image__name__icontains=word) | Q(host__name__icontains=word)
            | Q(pk__in=by_address) | Q(pk__in=by_tag)
        )  # fmt: skip
    if asked.state:
        rows = rows.filter(state=asked.state)
    if asked.tag:
        rows = rows.filter(tags__name=asked.tag)
    return rows


def _order(asked: Asked) -> list[str | OrderBy]:
    names = SORTS[asked.sort][1]
    return [_without_last(name) for name in (map(_turned, names) if asked.is_down else names)]


def _without_last(name: str) -> str | OrderBy:
    field = name.removeprefix("-")
    if field not in LAST_WITHOUT:
        return name
    return OrderBy(F(field), descending=name != field, nulls_last=True)


def _turned(name: str) -> str:
    return name.removeprefix("-") if name.startswith("-") else f"-{name}"


def _columns(asked: Asked, shown: tuple[str, ...]) -> dict[str, Column]:
    found = {"name": _column(asked, "name", _("Name"))}
    return found | {name: _column(asked, name, COLUMNS[name].title) for name in shown}


def _column(asked: Asked, name: str, title: str) -> Column:
    css = COLUMNS[name].css if name in COLUMNS else ""
    if name not in SORTS:
        return Column(title, "", "", css)
    is_this = name == asked.sort
    turned = f"-{name}" if is_this and not asked.is_down else name
    direction = ("descending" if asked.is_down else "ascending") if is_this else ""
    return Column(title, asked.query(sort=turned, page=1), direction, css)
