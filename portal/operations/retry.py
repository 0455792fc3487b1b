"""Trying an operation again that failed or was cancelled: a new operation, asked for with the same values by whoever asks now.

Each kind of operation is asked for by the function that its page uses, so that a retry passes the same checks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext

from portal.accounts.audit import record
from portal.accounts.models import User
from portal.backups.again import AGAIN as BACKUPS_AGAIN
from portal.backups.strays import clean_again as clean_store_again
from portal.checks.flow_apply import apply_again
from portal.compute.actions import ACTIONS, request_action
from portal.compute.changes import bin_vm, clone_vm, rebuild_vm, resize_vm
from portal.compute.devices import set_devices
from portal.compute.models import VM, Flavor, Image
from portal.compute.moves import request_move
from portal.compute.nics import add_nic, move_nic, remove_nic, set_nic_model
from portal.compute.recreate import recreate_vm
from portal.compute.requests import delete_vm, start_operation
from portal.hosts.models import Host
from portal.hosts.orphans import clean_again
from portal.images.from_vm import image_of_vm
from portal.images.models import ImageImport
from portal.images.requests import ImageSpec, begin_import, delete_image
from portal.networks.models import Network, Port
from portal.operations.cancel import OperationProblem
from portal.operations.models import Operation, OperationState
from portal.snapshots.again import AGAIN as SNAPSHOTS_AGAIN
from portal.volumes.again import AGAIN as VOLUMES_AGAIN

Again = Callable[[Operation, User], Operation]
FAILED = (OperationState.FAILED, OperationState.CANCELLED)


def retry_refusal(operation: Operation) -> str:
    """Why it cannot be tried again, as far as the operation itself tells, or ""."""
    if operation.state not in FAILED:
        words = gettext("only one that failed or was cancelled is tried again; this one is %(state)s")
        return words % {"state": str(operation.get_state_display()).lower()}
    if operation.kind not in AGAIN:
        return gettext("it is not an operation that people ask for")
    if operation.kind in ("vm.create", "image.import") and "asked" not in operation.params:
        return gettext("what was asked is not known any more: ask anew")
    if operation.kind == "image.import" and not operation.params["asked"]["url"]:
        return gettext("its bytes are not kept: upload the file again")
    return ""


def request_retry(operation: Operation, user: User) -> Operation:
    """The new operation. Raises OperationProblem or VMProblem with the reason when it can't be."""
    if reason := retry_refusal(operation):
        raise OperationProblem(
            gettext("%(operation)s %(object_name)s cannot be tried again: %(reason)s")
            % {"operation": operation.title, "object_name": operation.object_name, "reason": reason}
        )
    with transaction.atomic():
        made = AGAIN[operation.kind](operation, user)
        if made.retry_of_id is None and made.pk > operation.pk:
            Operation.objects.filter(pk=made.pk).update(retry_of=operation)
            made.retry_of = operation
        what = ("operation", str(made.uuid), f"{operation.title} {operation.object_name}")
        record("operation.retry", made.team, user, what, after={"retry_of": str(operation.uuid)})
    return made


def _vm(operation: Operation) -> VM:
    found = VM.objects.select_related("team", "host", "image", "flavor").filter(uuid=operation.object_uuid).first()
    if found is None:
        raise OperationProblem(gettext("%(object_name)s is no longer there") % {"object_name": operation.object_name})
    return found


def _action(name: str) -> Again:
    return lambda operation, user: request_action(_vm(operation), user, name)


def _autostart(operation: Operation, user: User) -> Operation:
    return start_operation("vm.autostart", _vm(operation), user)


def _move(operation: Operation, user: User) -> Operation:
    if not user.is_operator:
        raise OperationProblem(gettext("VMs are moved by operators: ask one"))
    return request_move(_vm(operation), user, Host.objects.filter(name=operation.params.get("to", "")).first())


def _resize(operation: Operation, user: User) -> Operation:
    flavor = Flavor.objects.filter(name=operation.params.get("size", "")).first()
    return resize_vm(_vm(operation), user, flavor)


def _devices(operation: Operation, user: User) -> Operation:
    return set_devices(_vm(operation), user, operation.params["disk_bus"], operation.params["nic_model"])


def _rebuild(operation: Operation, user: User) -> Operation:
    return rebuild_vm(_vm(operation), user, Image.objects.filter(pk=operation.params.get("image")).first())


def _clone(operation: Operation, user: User) -> Operation:
    source = VM.objects.select_related("team").filter(team=operation.team, uuid=operation.params["source"]).first()
    if source is None:
        raise OperationProblem(gettext("the VM to clone is no longer there"))
    return clone_vm(source, user, operation.object_name).operation


def _port(operation: Operation, vm: VM) -> Port:
    port = Port.objects.select_related("network").filter(vm=vm, uuid=UUID(operation.params["port"])).first()
    if port is None:
        raise OperationProblem(gettext("%(vm)s no longer has that NIC") % {"vm": vm.name})
    return port


def _network(operation: Operation) -> Network | None:
    return Network.objects.filter(team=operation.team, name=operation.params.get("network", "")).first()


def _nic_add(operation: Operation, user: User) -> Operation:
    asked = operation.params
    model, address = asked.get("model", "virtio"), asked.get("address")
    return add_nic(_vm(operation), user, _network(operation), model=model, address=address)


def _nic_remove(operation: Operation, user: User) -> Operation:
    vm = _vm(operation)
    return remove_nic(vm, user, _port(operation, vm))


def _nic_model(operation: Operation, user: User) -> Operation:
    vm = _vm(operation)
    return set_nic_model(vm, user, _port(operation, vm), operation.params["model"])


def _nic_network(operation: Operation, user: User) -> Operation:
    vm = _vm(operation)
    return move_nic(vm, user, _port(operation, vm), _network(operation), operation.params.get("address"))


def _image_import(operation: Operation, user: User) -> Operation:
    made = begin_import(operation.owner, user, ImageSpec(**operation.params["asked"]))[1]
    assert made is not None  # it has a URL
    return made


def _image_of_vm(operation: Operation, user: User) -> Operation:
    vm = VM.objects.select_related("team").filter(team=operation.team, uuid=operation.params["source"]).first()
    if vm is None:
        raise OperationProblem(gettext("the VM is no longer there"))
    return image_of_vm(vm, user, operation.params["name"], operation.params["note"])


def _image_delete(operation: Operation, user: User) -> Operation:
    row = ImageImport.objects.select_related("image").filter(uuid=operation.object_uuid).first()
    if row is None or row.image is None:
        raise OperationProblem(gettext("%(object_name)s is no longer there") % {"object_name": operation.object_name})
    return delete_image(operation.owner, user, row.image)


def _create(operation: Operation, user: User) -> Operation:
    return recreate_vm(operation.owner, user, operation.params["asked"]).operation


AGAIN: Mapping[str, Again] = {
    **{action.kind: _action(action.name) for action in ACTIONS.values()},
    "vm.create": _create,
    "vm.delete": lambda operation, user: delete_vm(_vm(operation), user),
    "vm.bin": lambda operation, user: bin_vm(_vm(operation), user),
    "vm.autostart": _autostart,
    "vm.resize": _resize,
    "vm.migrate": _move,
    "vm.devices": _devices,
    "vm.rebuild": _rebuild,
    "vm.clone": _clone,
    "vm.nic_add": _nic_add,
    "vm.nic_remove": _nic_remove,
    "vm.nic_model": _nic_model,
    "vm.nic_network": _nic_network,
    **VOLUMES_AGAIN,
    **SNAPSHOTS_AGAIN,
    **BACKUPS_AGAIN,
    "image.import": _image_import,
    "image.from_vm": _image_of_vm,
    "image.delete": _image_delete,
    "host.clean": clean_again,
    "store.clean": clean_store_again,
    "flow.apply": apply_again,
}


def asked_values(params: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked, as a page may show it: without user-data, which may be a secret."""
    hidden = {
        "claims",
        "asked",
        "before",
        "held",
        "placement",
        "moved",
        "was_paused",
        "chosen",
        "made_of",
        "made",
        "opened",
    }
    shown = {name: value for name, value in params.items() if name not in hidden}
    return shown | {name: value for name, value in params.get("asked", {}).items() if name != "user_data" and value}
