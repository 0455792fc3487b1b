"""One action for many VMs: each is asked by itself, and each has its result, so that one refusal holds nobody else up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from uuid import UUID

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from portal.accounts.models import Team, User
from portal.compute.actions import ACTIONS, request_action
from portal.compute.changes import bin_vm
from portal.compute.models import VM
from portal.compute.requests import VMProblem
from portal.operations.models import Operation

MOST = 200


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one VM: its operation, or why there is none."""

    uuid: UUID
    name: str
    operation: Operation | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class BulkAction:
    title: str
    icon: str
    ask: Callable[[VM, User], Operation]
    is_harmful: bool = False


def _asks(name: str) -> Callable[[VM, User], Operation]:
    return lambda vm, user: request_action(vm, user, name)


BULK: dict[str, BulkAction] = {
    **{name: BulkAction(ACTIONS[name].title, ACTIONS[name].icon, _asks(name)) for name in ("start", "stop", "reboot")},
    "force_off": BulkAction(ACTIONS["force_off"].title, "power", _asks("force_off"), is_harmful=True),
    "delete": BulkAction(_("Delete"), "x", bin_vm, is_harmful=True),
}


def act_on_many(team: Team, user: User, name: str, uuids: Iterable[UUID]) -> list[Result]:
    """The result for each VM, in the order asked. One that is not the team's does not exist. Raises VMProblem for no such action."""
    action = BULK.get(name)
    wanted = list(dict.fromkeys(uuids))
    errors: dict[str, list[str]] = {}
    if action is None:
        errors["action"] = [
            gettext("“%(name)s” was given; allowed are %(bulk)s") % {"name": name[:40], "bulk": ", ".join(BULK)}
        ]
    if not 0 < len(wanted) <= MOST:
        errors["uuids"] = [
            gettext("%(count)s VMs were given; 1 to %(most)s are allowed") % {"count": len(wanted), "most": MOST}
        ]
    if errors or action is None:
        raise VMProblem(errors)
    rows = {row.uuid: row for row in VM.objects.filter(team=team, uuid__in=wanted).select_related("team")}
    return [_one(action, rows.get(uuid), uuid, user) for uuid in wanted]


def _one(action: BulkAction, vm: VM | None, uuid: UUID, user: User) -> Result:
    if vm is None:
        return Result(uuid, str(uuid), problem=gettext("there is no such VM: it may be deleted already"))
    try:
        return Result(uuid, vm.name, action.ask(vm, user))
    except VMProblem as problem:
        return Result(uuid, vm.name, problem=str(problem))
