"""Plans: a snapshot of a VM, or of a volume alone, every so often, of which the last so many are kept.

A plan that has as many as it keeps, where there is no room for one more, drops its oldest first. One that cannot take what is due
says why on its page, and tries again at each look.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from portal.accounts.audit import record
from portal.accounts.models import User
from portal.compute.models import VM
from portal.compute.plans import plan_errors, plan_form
from portal.compute.requests import Use, VMProblem, over_quota_by, use_of
from portal.live.publishers import vm_changed, volume_changed
from portal.operations.models import Operation
from portal.snapshots.models import Snapshot, SnapshotPlan, SnapshotVolume
from portal.snapshots.of_volumes import delete_volume_snapshot, refusals_of_moment, take_volume_snapshot
from portal.snapshots.requests import (
    MOST,
    SnapshotSpec,
    chosen_volumes,
    delete_snapshot,
    left_out_words,
    refusals_of,
    take_refusal,
    take_snapshot,
    team_refusal,
)
from portal.volumes.models import Volume
from portal.volumes.quota import quota_problems
from portal.volumes.rules import MOST_SNAPSHOTS
from portal.volumes.rules import refusals_of as refusals_of_volume


def plan_of(what: VM | Volume) -> SnapshotPlan | None:
    """Its plan; None when it has none."""
    return SnapshotPlan.objects.filter(**_key(what)).first()


def form_of(plan: SnapshotPlan | None, given: Mapping[str, str] | None = None) -> dict[str, object]:
    """What the plan's form shows: what was typed, where that was refused, else what the plan is."""
    planned: dict[str, object] = {"every_hours": 0, "keep": 7, "volumes": True}
    if plan is not None:
        planned = {"every_hours": plan.every_hours, "keep": plan.keep, "volumes": plan.is_with_volumes}
    return plan_form(planned, given)


def set_plan(
    what: VM | Volume, user: User, every_hours: int, keep: int, with_volumes: bool = True
) -> SnapshotPlan | None:
    """The VM's, or the volume's, plan from now on; every 0 hours is none."""
    with transaction.atomic():
        fresh = _locked(what)
        if errors := _plan_errors(fresh, every_hours, keep):
            raise VMProblem(errors)
        plan = None
        if every_hours:
            next_at = timezone.now() + timedelta(hours=every_hours)
            told = {"every_hours": every_hours, "keep": keep, "next_at": next_at, "problem": ""}
            told |= {"is_with_volumes": with_volumes}
            plan, _ = SnapshotPlan.objects.update_or_create(**_key(fresh), defaults=told)
        else:
            SnapshotPlan.objects.filter(**_key(fresh)).delete()
        after: dict[str, object] = {"every_hours": every_hours, "keep": keep if every_hours else 0}
        if isinstance(fresh, VM):
            after["volumes"] = with_volumes
        kind = "vm" if isinstance(fresh, VM) else "volume"
        record(f"{kind}.snapshot_plan", fresh.team, user, (kind, str(fresh.uuid), fresh.name), after=after)
        _changed(fresh)
        return plan


def keep_plans() -> int:
    """Take what is due, and delete what is more than a plan keeps, one at a time; how many operations were begun."""
    parts = ("vm__team", "volume__team", "volume__pool__host", "volume__vm__host", "volume__vm__team")
    return sum(_keep(plan) for plan in SnapshotPlan.objects.select_related(*parts))


def _keep(plan: SnapshotPlan) -> bool:
    now, own = timezone.now(), _own(plan)
    try:
        if len(own) > plan.keep and not _delete_refusal(own[0]):
            _delete(own[0])
            return True
        if plan.next_at > now:
            return False
        if len(own) >= plan.keep and _lacks_room(_subject(plan), plan.is_with_volumes) and not _delete_refusal(own[0]):
            _delete(own[0])
            return True
        if reason := _take_refusal(_subject(plan)):
            return _tell(plan, reason)
        _take(plan, f"auto-{now:%Y%m%d-%H%M%S}")
        plan.was_taken(now)
        return True
    except VMProblem as problem:  # no quota left, or somebody was faster: the next look tries again
        return _tell(plan, str(problem))


def _tell(plan: SnapshotPlan, reason: str) -> bool:
    """Keep why none was taken, for its page; nothing was begun."""
    with transaction.atomic():
        if plan.was_not_taken(reason):
            _changed(_subject(plan))
    return False


def _plan_errors(what: VM | Volume, every_hours: int, keep: int) -> dict[str, list[str]]:
    most = MOST if isinstance(what, VM) else MOST_SNAPSHOTS
    errors = plan_errors(every_hours, keep, most - 1)
    if isinstance(what, Volume) and every_hours and (reason := left_out_words(what)):
        errors["volume"] = [f"{what.name}: {reason}"]
    return errors


# What differs between the two kinds, and nothing else.


def _subject(plan: SnapshotPlan) -> VM | Volume:
    found = plan.vm or plan.volume
    assert found is not None, "a constraint of the table"
    return found


def _key(what: VM | Volume) -> dict[str, Any]:
    return {"vm" if isinstance(what, VM) else "volume": what}


def _locked(what: VM | Volume) -> VM | Volume:
    if isinstance(what, VM):
        return VM.objects.select_for_update().select_related("team").get(pk=what.pk)
    return Volume.objects.select_for_update(of=("self",)).select_related("team", "pool__host").get(pk=what.pk)


def _changed(what: VM | Volume) -> None:
    if isinstance(what, VM):
        vm_changed(what)
    else:
        volume_changed(what)


def _own(plan: SnapshotPlan) -> list[Snapshot] | list[SnapshotVolume]:
    """Those that it took, oldest first."""
    what = _subject(plan)
    if isinstance(what, VM):
        return list(what.snapshots.filter(is_scheduled=True).order_by("id"))
    return list(what.moments.filter(snapshot=None, is_scheduled=True).order_by("id"))


def _delete_refusal(one: Snapshot | SnapshotVolume) -> str:
    return (refusals_of(one) if isinstance(one, Snapshot) else refusals_of_moment(one))["delete"]


def _delete(one: Snapshot | SnapshotVolume) -> Operation:
    return delete_snapshot(one, None) if isinstance(one, Snapshot) else delete_volume_snapshot(one, None)


def _take_refusal(what: VM | Volume) -> str:
    return take_refusal(what) if isinstance(what, VM) else refusals_of_volume(what)["snapshot"]


def _take(plan: SnapshotPlan, name: str) -> Operation:
    what = _subject(plan)
    if isinstance(what, VM):
        volumes = None if plan.is_with_volumes else ()
        return take_snapshot(what, None, SnapshotSpec(name, volumes=volumes, is_scheduled=True))
    return take_volume_snapshot(what, None, name, is_scheduled=True)


def _lacks_room(what: VM | Volume, with_volumes: bool) -> bool:
    """Whether it, or its team, has as many, or as much, as it may have: one more needs that another one goes."""
    team = what.team
    if isinstance(what, Volume):
        is_full = what.moments.filter(snapshot=None).count() >= MOST_SNAPSHOTS
        return is_full or bool(team_refusal(team) or quota_problems(team, 0, what.size_gib))
    gib = sum(one.size_gib for one in chosen_volumes(what, None)) if with_volumes else 0
    over = over_quota_by(team, use_of(team), Use(0, 0, what.disk_gib, 0)) or quota_problems(team, 0, gib)
    return what.snapshots.count() >= MOST or bool(team_refusal(team) or over)
