"""Who may open a VM's console now: the one policy, asked by the page, for a ticket, at every open and while it is open."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from portal.accounts.callers import is_live, team_limit
from portal.accounts.factors import missing
from portal.accounts.models import Membership, User
from portal.accounts.permissions import is_allowed
from portal.compute.models import VM, Image, VMState
from portal.console.wire import Close, Kind

NOT_ON = {
    VMState.STOPPED: "is off: its console opens when it starts.",
    VMState.CRASHED: "has crashed: its console opens when it starts.",
    VMState.DELETING: "is being deleted.",
    VMState.DELETED: "is deleted: take it back first.",
}
NO_SCREEN = (
    "has no screen: its kernel is given by the host and speaks on the serial line. "
    "A screen is given to VMs that boot from their disk."
)


@dataclass(frozen=True, slots=True)
class Access:
    """What the person may do with the console."""

    name: str
    may_write: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """Why not, for the page and in words."""

    code: Close
    words: str


def access_of(user_id: int, key: str, vm_uuid: UUID, kind: Kind) -> Access | Refused:
    """The person's access to the console now. Strangers cannot tell another team's VM from none."""
    if not is_live(key, user_id, "console.write"):
        return Refused(Close.LOGGED_OUT, "You are logged out.")
    user = User.objects.filter(pk=user_id).first()
    if user is not None and (words := missing(user)):
        return Refused(Close.LOGGED_OUT, words)
    vm = VM.objects.select_related("image", "team").filter(uuid=vm_uuid).first()
    memberships = Membership.objects.filter(user_id=user_id, user__is_active=True, team=vm.team if vm else None)
    limit = team_limit(key)
    memberships = memberships.filter(team_id=limit) if limit is not None else memberships
    role = memberships.values_list("role", flat=True).first()
    if vm is None or not is_allowed("console.see", role, False):
        return Refused(Close.GONE, "There is no such VM, or it is not yours to see any more.")
    if words := not_possible(vm, kind):
        return Refused(Close.OFF if vm.state in NOT_ON else Close.REFUSED, f"{vm.name} {words}")
    return Access(vm.name, is_allowed("console.write", role, False))


def not_possible(vm: VM, kind: Kind) -> str:
    """Why the VM has no such console now, as the end of a sentence about it; nothing when it has."""
    if kind == Kind.SCREEN and not has_screen(vm):
        return NO_SCREEN
    return NOT_ON.get(VMState(vm.state), "")


def has_screen(vm: VM) -> bool:
    """Whether its domain has a frame buffer: one costs a kernel-booted guest time to boot and shows it nothing more."""
    return vm.image.boot == Image.Boot.DISK
