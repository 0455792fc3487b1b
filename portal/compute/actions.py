"""What can be done with a VM, as one table: action × state. Buttons, API and requests read it, and say why not.

Nothing here acts: an action is an operation with stages (portal.operations.stages), which a worker runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from portal.accounts.audit import record
from portal.accounts.models import Team, User
from portal.compute.models import VM, VMState
from portal.compute.requests import VMProblem, rescue_image, start_operation
from portal.live.publishers import vm_changed
from portal.operations.models import UNFINISHED, Operation
from portal.operations.stages import TITLES


@dataclass(frozen=True, slots=True)
class Action:
    """One action. `states` are those of a VM that takes it; `meanwhile` the operations that it need not wait for."""

    name: str
    title: str
    icon: str
    words: str
    states: frozenset[str]
    meanwhile: frozenset[str] = frozenset()
    refuse: Callable[[VM], str] = lambda _vm: ""  # a reason of its own, once the state is right

    @property
    def kind(self) -> str:
        """Of its operation."""
        return f"vm.{self.name}"


@dataclass(frozen=True, slots=True)
class Offer:
    """An action for one VM now; disabled when there is a reason."""

    action: Action
    disabled_reason: str


OFF = frozenset({VMState.STOPPED, VMState.CRASHED})
ON = frozenset({VMState.RUNNING})
ACTIONS: dict[str, Action] = {
    action.name: action
    for action in (
        Action("start", _("Start"), "play", _("Power on"), OFF),
        Action("stop", _("Shut down"), "power", _("Press the power button: the guest shuts down by itself (ACPI)"), ON),
        Action("reboot", _("Restart"), "refresh", _("Ask the guest to restart (ACPI)"), ON),
        Action("suspend", _("Suspend"), "pause", _("Stop its vCPUs; its memory stays on the host"), ON),
        Action("resume", _("Resume"), "play", _("Let its vCPUs run on"), frozenset({VMState.PAUSED})),
        Action("reset", _("Reset"), "refresh", _("Press the reset button: the guest is not asked"), ON),
        Action(
            "force_off", _("Force off"), "power", _("Cut its power: what the guest has not written yet is lost"),
            frozenset({VMState.RUNNING, VMState.PAUSED}), frozenset({"vm.stop", "vm.reboot"}),
        ),
        Action(
            "rescue", _("Rescue"), "flag", _("Boot it from a rescue image, with its own disk as the second one"), OFF,
            refuse=lambda vm: vm.why_not_changed or ((gettext("it is %(state)s and in rescue already") % {"state": vm.state}) if vm.rescue_image_id else ""),
        ),
        Action(
            "unrescue", _("End rescue"), "flag", _("Cut its power and boot its own disk again"), OFF | ON,
            refuse=lambda vm: "" if vm.rescue_image_id else (gettext("it is %(state)s and not in rescue") % {"state": vm.state}),
        ),
        Action("undelete", _("Undelete"), "refresh", _("Take it back, as it was when it was deleted"), frozenset({VMState.DELETED})),
    )
}  # fmt: skip


COPIES = ("vm.clone", "image.from_vm")  # they hold the VM whose disk they copy too


def unfinished_of(uuids: Iterable[UUID]) -> dict[UUID, str]:
    """The kind of the unfinished operation of each object that has one; one query for all."""
    mine = Q(object_uuid__in=list(uuids)) | Q(kind__in=COPIES)
    rows = Operation.objects.filter(mine, state__in=UNFINISHED).order_by("id")
    found = {}
    for uuid, kind, params in rows.values_list("object_uuid", "kind", "params"):
        found[uuid] = kind
        if kind in COPIES:
            found.setdefault(UUID(params["source"]), kind)
    return found


def offers_of(vm: VM, unfinished: Mapping[UUID, str] | None = None) -> list[Offer]:
    """Every action with the reason that forbids it now, if any."""
    busy = (unfinished_of([vm.uuid]) if unfinished is None else unfinished).get(vm.uuid, "")
    return [Offer(action, _refusal(vm, action, busy)) for action in ACTIONS.values()]


def shown_of(offers: list[Offer]) -> tuple[list[Offer], list[Offer]]:
    """What a page shows as buttons and what under “more”: the three of a running VM, or what a VM that is off takes."""
    enabled = [offer for offer in offers if not offer.disabled_reason]
    first = ("stop", "reboot") if any(offer.action.name == "stop" for offer in enabled) else ("start",)
    if any(offer.action.name == "resume" for offer in enabled):
        first = ("resume",)
    elif [offer.action.name for offer in enabled] == ["force_off"]:
        first = ("force_off",)
    elif any(offer.action.name == "undelete" for offer in enabled):
        first = ("undelete",)
    return (
        [offer for offer in offers if offer.action.name in first],
        [offer for offer in offers if offer.action.name not in first],
    )


def _refusal(vm: VM, action: Action, busy: str) -> str:
    if busy and busy not in action.meanwhile:
        return gettext("“%(title)s” is under way") % {"title": gettext(TITLES.get(busy, busy))}
    if vm.state not in action.states:
        wanted = gettext(" or ").join(sorted(str(VMState(state).label).lower() for state in action.states))
        words = gettext("it is %(state)s; only a VM that is %(wanted)s takes this")
        return words % {"state": str(VMState(vm.state).label).lower(), "wanted": wanted}
    return action.refuse(vm) or _lease_refusal(vm, action) or host_refusal(vm)


def _lease_refusal(vm: VM, action: Action) -> str:
    if action.name in ("start", "rescue") and vm.lease_until is not None and vm.lease_until < timezone.now():
        return gettext("its lease is over: extend it first")
    return ""


def host_refusal(vm: VM) -> str:
    """Why the VM's host can be asked nothing now."""
    if vm.host is None:
        return gettext("it has no host")
    if vm.host.libvirt_error:
        return gettext("%(host)s does not answer: %(libvirt_error)s") % {
            "host": vm.host.name,
            "libvirt_error": vm.host.libvirt_error[:120],
        }
    return ""


def request_action(vm: VM, user: User | None, name: str) -> Operation:
    """The operation that does it; asked twice it is the same one. Raises VMProblem with the reason when it can't be done."""
    action = ACTIONS.get(name)
    if action is None:
        raise VMProblem(
            {
                "action": [
                    gettext("“%(name)s” was given; allowed are %(actions)s")
                    % {"name": name[:40], "actions": ", ".join(ACTIONS)}
                ]
            }
        )
    with transaction.atomic():
        Team.objects.select_for_update(no_key=True).get(pk=vm.team_id)
        fresh = VM.objects.select_related("team", "host", "image", "flavor").get(pk=vm.pk)
        running = Operation.objects.filter(object_uuid=fresh.uuid, kind=action.kind, state__in=UNFINISHED).first()
        if running is not None:
            return running
        reason = _refusal(fresh, action, unfinished_of([fresh.uuid]).get(fresh.uuid, ""))
        if reason:
            raise VMProblem(
                {
                    "action": [
                        gettext("%(title)s of %(fresh)s is not possible now: %(reason)s")
                        % {"title": action.title, "fresh": fresh.name, "reason": reason}
                    ]
                }
            )
        return start_operation(action.kind, fresh, user, _params_of(fresh, name))


def _params_of(vm: VM, name: str) -> dict[str, object]:
    """What an action's saga must know beside the VM."""
    if name != "rescue":
        return {}
    image = rescue_image(vm.team)
    if image is None:
        raise VMProblem({"action": [gettext("there is no rescue image: one whose kernel the host gives is needed")]})
    return {"image": image.pk}


def change_flags(vm: VM, user: User, *, autostart: bool | None = None, protected: bool | None = None) -> VM:
    """The VM with its flags as asked; libvirt is told of autostart by an operation."""
    with transaction.atomic():
        Team.objects.select_for_update(no_key=True).get(pk=vm.team_id)
        fresh = VM.objects.select_related("team", "host", "image", "flavor").get(pk=vm.pk)
        before = {"protected": fresh.is_protected, "autostart": fresh.is_autostarted}
        if protected is not None:
            fresh.is_protected = protected
        if autostart is not None and autostart != fresh.is_autostarted:
            fresh.is_autostarted = autostart
            if fresh.host is not None:
                start_operation("vm.autostart", fresh, user)
        fresh.save(update_fields=["is_protected", "is_autostarted"])
        after = {"protected": fresh.is_protected, "autostart": fresh.is_autostarted}
        if after != before:
            record("vm.flags", fresh.team, user, ("vm", str(fresh.uuid), fresh.name), before=before, after=after)
        vm_changed(fresh)
        return fresh
