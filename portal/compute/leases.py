"""Leases: a VM that is wanted for some days only. At its end it is shut down, and after a grace deleted, to be had back for a while."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from portal.accounts.audit import record
from portal.accounts.models import Team, User
from portal.compute.actions import request_action
from portal.compute.changes import bin_vm
from portal.compute.models import VM, VMState
from portal.compute.requests import MAX_LEASE_DAYS, VMProblem, lease_words
from portal.live.publishers import vm_changed
from portal.operations.models import Operation, OperationState

log = logging.getLogger("hopsight.leases")
SOON = timedelta(hours=48)  # a reminder is shown from then on
ON = (VMState.RUNNING, VMState.PAUSED)


def set_lease(vm: VM, user: User, days: int) -> VM:
    """The VM, whose lease ends so many days from now; 0 for none."""
    if not 0 <= days <= MAX_LEASE_DAYS:
        raise VMProblem({"lease_days": [lease_words(days)]})
    with transaction.atomic():
        Team.objects.select_for_update(no_key=True).get(pk=vm.team_id)
        fresh = VM.objects.select_related("team", "host", "image", "flavor").get(pk=vm.pk)
        before = fresh.lease_until
        fresh.lease_until = timezone.now() + timedelta(days=days) if days else None
        fresh.save(update_fields=["lease_until"])
        change = {"lease_until": before.isoformat() if before else None}
        after = {"lease_until": fresh.lease_until.isoformat() if fresh.lease_until else None}
        record("vm.lease", fresh.team, user, ("vm", str(fresh.uuid), fresh.name), before=change, after=after)
        vm_changed(fresh)
        return fresh


def reminder_of(vm: VM) -> str:
    """What a person should know of the lease now; nothing when it is long, or none."""
    if vm.lease_until is None or vm.state == VMState.DELETED:
        return ""
    left = vm.lease_until - timezone.now()
    if left > SOON:
        return ""
    goes = vm.lease_until + timedelta(hours=settings.LEASE_GRACE_HOURS)
    if left > timedelta(0):
        words = _("Its lease ends at %(end)s: it is shut down then, and deleted at %(goes)s.")
        return words % {"end": _shown(vm.lease_until), "goes": _shown(goes)}
    if vm.is_protected:
        return _("Its lease is over: it is shut down, and kept, for it is protected from being deleted.")
    return _("Its lease is over: it is shut down, and deleted at %(goes)s.") % {"goes": _shown(goes)}


def _shown(at: datetime) -> str:
    return date_format(timezone.localtime(at), "j E H:i")


def end_leases() -> int:
    """Ask for what leases that are over want next: a shutdown, power off when that failed, and after the grace the bin; for how many."""
    now = timezone.now()
    asked = 0
    rows = VM.objects.filter(lease_until__lt=now, state__in=(*ON, VMState.STOPPED, VMState.CRASHED))
    for vm in rows.select_related("team")[:200]:
        step = _next_step(vm)
        if step is None:
            continue
        try:
            step()
            asked += 1
        except VMProblem as problem:  # busy, or its host is away: the next sweep asks again
            log.info("lease not ended yet vm=%s problem=%s", vm.uuid, problem)
    return asked


def _next_step(vm: VM) -> Callable[[], Operation] | None:
    assert vm.lease_until is not None
    if vm.state in ON:
        since = Operation.objects.filter(object_uuid=vm.uuid, created_at__gt=vm.lease_until, kind="vm.stop")
        failed = vm.state == VMState.PAUSED or since.filter(state=OperationState.FAILED).exists()
        return lambda: request_action(vm, None, "force_off" if failed else "stop")
    is_due = vm.lease_until + timedelta(hours=settings.LEASE_GRACE_HOURS) < timezone.now()
    return (lambda: bin_vm(vm, None)) if is_due and not vm.is_protected else None
