"""Tags of VMs and saved filters of persons."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Value
from django.utils.translation import gettext

from portal.accounts.audit import record
from portal.accounts.models import Team, User
from portal.compute.listing import parse_asked
from portal.compute.models import VM, SavedFilter, VMTag
from portal.compute.requests import VMProblem
from portal.live.publishers import vm_changed

TAG = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,29}")
MOST_TAGS, MOST_FILTERS = 12, 30


def set_tags(vm: VM, user: User, names: list[str]) -> VM:
    """The VM with exactly those tags. Raises VMProblem with all that is wrong."""
    wanted = sorted({name.strip().lower() for name in names if name.strip()})
    problems = [
        gettext("“%(name)s” was given; a tag has 1 to 30 of a-z, 0-9 and _.:-, the first a letter or digit")
        % {"name": name[:40]}
        for name in wanted
        if not TAG.fullmatch(name)
    ]
    if len(wanted) > MOST_TAGS:
        problems.append(
            gettext("%(count)s tags were given; at most %(most_tags)s are allowed")
            % {"count": len(wanted), "most_tags": MOST_TAGS}
        )
    if problems:
        raise VMProblem({"tags": problems})
    with transaction.atomic():
        Team.objects.select_for_update(no_key=True).get(pk=vm.team_id)
        before = sorted(vm.tags.values_list("name", flat=True))
        if before != wanted:
            vm.tags.exclude(name__in=wanted).delete()
            VMTag.objects.bulk_create(VMTag(vm=vm, name=name) for name in wanted if name not in before)
            what = ("vm", str(vm.uuid), vm.name)
            record("vm.tags", vm.team, user, what, before={"tags": before}, after={"tags": wanted})
            fresh = VM.objects.select_related("team", "host", "image", "flavor").get(pk=vm.pk)
            vm_changed(fresh)
            return fresh
    return vm


@dataclass(frozen=True)
class Kept:
    """What a list offers to filter by: every tag of the team's VMs, and the person's own filters (name, query)."""

    tags: list[str]
    filters: list[tuple[str, str]]


def kept_of(team: Team, user: User) -> Kept:
    """Both, by one query: tags are the rows without a query of their own."""
    mine = SavedFilter.objects.filter(team=team, user=user).order_by().values_list("name", "query")
    tags = VMTag.objects.filter(vm__team=team).order_by().values_list("name", Value("")).distinct()
    rows = sorted(mine.union(tags))
    return Kept([name for name, query in rows if not query], [(name, query) for name, query in rows if query])


def save_filter(team: Team, user: User, name: str, query: dict[str, str]) -> SavedFilter:
    """The filter under that name, which is the person's own in that team; an older one of the name is replaced."""
    name = " ".join(name.replace("\0", "").split())[:40]
    asked = parse_asked(query)
    if not name or not (asked.is_filtered or asked.columns or asked.sort_word != "name"):
        raise VMProblem({"filter": [gettext("give it a name, and filter or sort the list first")]})
    with transaction.atomic():
        Team.objects.select_for_update(no_key=True).get(pk=team.pk)
        mine = SavedFilter.objects.filter(team=team, user=user)
        if not mine.filter(name=name).exists() and mine.count() >= MOST_FILTERS:
            raise VMProblem(
                {
                    "filter": [
                        gettext("you have %(most_filters)s filters; delete one first") % {"most_filters": MOST_FILTERS}
                    ]
                }
            )
        row, _ = mine.update_or_create(team=team, user=user, name=name, defaults={"query": asked.query(page=1)})
        return row
