"""Making the one change that a diagnosis suggests, by the functions that its own page would use: they check and audit it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from portal.accounts.models import User
from portal.compute.actions import request_action
from portal.compute.requests import VMProblem
from portal.live.publishers import diagnosis_changed
from portal.networks.floating_requests import give_floating
from portal.networks.groups import GroupProblem, add_rule
from portal.networks.models import SecurityGroup
from portal.networks.owners import owner_of
from portal.networks.problems import NetworkProblem
from portal.networks.rule_check import RuleSpec
from portal.traces.diagnosis import Fix, answer_of
from portal.traces.models import Diagnosis
from portal.traces.requests import TraceProblem

RIGHTS = {"start": "vm.power", "resume": "vm.power", "floating": "network.change", "rule": "group.change"}


def _power(asked: Diagnosis, user: User, fix: Fix) -> None:
    assert asked.port.vm is not None
    request_action(asked.port.vm, user, fix.kind)


def _floating(asked: Diagnosis, user: User, fix: Fix) -> None:
    give_floating(owner_of(asked.port), asked.port)


def _rule(asked: Diagnosis, user: User, fix: Fix) -> None:
    fields = dict(fix.rule)
    group = SecurityGroup.objects.filter(team=asked.team, name=fields.pop("group")).first()
    if group is None:
        raise GroupProblem({"group": [gettext("the group is gone: somebody removed it meanwhile")]})
    add_rule(group, replace(RuleSpec(**fields), remote_group=None), user)


MENDERS: dict[str, Callable[[Diagnosis, User, Fix], None]] = {
    "start": _power, "resume": _power, "floating": _floating, "rule": _rule,
}  # fmt: skip


def mend(asked: Diagnosis, user: User, kind: str) -> Diagnosis:
    """The diagnosis after its suggested change was made, which must be of that kind still. Raises TraceProblem."""
    fix = answer_of(asked).fix
    if fix is None or fix.kind != kind:
        offered = (
            gettext("now it is %(kind)s: %(words)s") % {"kind": fix.kind, "words": fix.words}
            if fix
            else gettext("now there is none")
        )
        raise TraceProblem(
            {
                "kind": [
                    gettext("%(kind)s was given, and is not the change that is suggested; %(offered)s")
                    % {"kind": f"{kind[:20]!r}", "offered": offered}
                ]
            }
        )
    try:
        with transaction.atomic():
            MENDERS[kind](asked, user, fix)
            asked.mended, asked.mended_at = fix.words[:200], timezone.now()
            asked.save(update_fields=["mended", "mended_at"])
            diagnosis_changed(asked)
    except (VMProblem, NetworkProblem, GroupProblem) as refused:
        raise TraceProblem(refused.errors) from None
    return asked
