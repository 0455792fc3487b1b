"""Operations on their pages and in the API: cancelled and tried again by members, with reasons where that can't be."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.urls import reverse

from portal.accounts.models import AuditRow
from portal.compute.actions import ACTIONS
from portal.compute.changes import rebuild_vm, resize_vm
from portal.compute.models import VM, Flavor, VMState
from portal.compute.nics import add_nic
from portal.compute.requests import VMSpec, create_vm
from portal.networks.models import Network
from portal.networks.network_requests import NetworkSpec, SubnetSpec, create_network
from portal.operations.models import Operation
from portal.operations.retry import AGAIN
from portal.operations.stages import STAGES
from tasks.sagas.rows import release
from tests.cast import Cast
from tests.portal.clients import client_of, made_host, made_vm


@pytest.fixture
def vm(cast: Cast) -> VM:
    vm, host = made_vm(cast), made_host()
    Operation.objects.update(state="done")
    VM.objects.update(host=host, state=VMState.RUNNING)
    vm.refresh_from_db()
    return vm


def post(cast: Cast, operation: Operation, verb: str, person: str = "bob") -> Any:
    return client_of(getattr(cast, person)).post(
        f"/api/v1/operations/{operation.uuid}/{verb}", "{}", "application/json"
    )


def fail(operation: Operation) -> Operation:
    Operation.objects.filter(pk=operation.pk).update(state="failed", error="the disk is full")
    operation.refresh_from_db()
    return operation


def test_every_action_and_change_of_a_vm_can_be_asked_for_again() -> None:
    assert {action.kind for action in ACTIONS.values()} <= set(AGAIN) <= set(STAGES)


def test_a_member_cancels_and_the_operation_says_so_before_it_ends(cast: Cast) -> None:
    operation = Operation.objects.get(object_uuid=made_vm(cast).uuid)
    answer = post(cast, operation, "cancel")
    assert answer.status_code == 202 and answer.json()["operation"]["cancel_asked_by"] == "bob"
    assert "being cancelled already" in post(cast, operation, "cancel").json()["errors"]["operation"][0]
    page = client_of(cast.charlie).get(reverse("operation", args=[operation.uuid])).content.decode()
    assert "bob asked to cancel it" in page
    assert AuditRow.objects.filter(action="operation.cancel", actor="bob").count() == 1


def test_one_that_has_ended_is_not_cancelled_and_one_that_is_done_not_tried_again(cast: Cast, vm: VM) -> None:
    operation = Operation.objects.get()
    assert "it has ended (done)" in post(cast, operation, "cancel").json()["errors"]["operation"][0]
    assert "only one that failed" in post(cast, operation, "retry").json()["errors"]["operation"][0]


def test_a_create_that_left_nothing_is_asked_for_again_with_all_that_was_asked(cast: Cast) -> None:
    spec = VMSpec(
        "web-1", cast.image, cast.flavor, cast.network, "k", user_data="#!/bin/sh\n", address="10.20.0.77", groups=()
    )
    made = create_vm(cast.payments, cast.alice, spec)
    fail(made.operation)
    release(made.vm.uuid)
    answer = post(cast, made.operation, "retry")
    assert answer.status_code == 202, answer.content
    again = VM.objects.get()
    assert (again.name, again.user_data, again.created_by) == ("web-1", "#!/bin/sh\n", cast.bob)
    port = again.ports.get()
    assert "10.20.0.77" in {row.address for row in port.addresses.all()} and not port.groups.exists()
    made.operation.refresh_from_db()
    assert answer.json()["operation"]["retry_of"] == str(made.operation.uuid)
    page = client_of(cast.bob).get(reverse("operation", args=[made.operation.uuid])).content.decode()
    assert "Asked once more" in page and "#!/bin/sh" not in page


def test_a_retry_passes_the_checks_that_the_first_one_passed(cast: Cast) -> None:
    made = create_vm(cast.payments, cast.alice, VMSpec("web-1", cast.image, cast.flavor, cast.network, "k"))
    fail(made.operation)
    assert "has a VM web-1 already" in post(cast, made.operation, "retry").json()["errors"]["name"][0]


def test_changes_are_asked_for_again_with_their_values(cast: Cast, vm: VM) -> None:
    big = Flavor.objects.create(name="big", vcpus=2, ram_mib=256, disk_gib=2)
    create_network(cast.payments, NetworkSpec("back", SubnetSpec("10.30.0.0/24")))
    back = Network.objects.get(name="back")
    resized = resize_vm(vm, cast.alice, big)
    VM.objects.update(vcpus=vm.vcpus, ram_mib=vm.ram_mib, flavor=vm.flavor, disk_gib=vm.disk_gib)
    for first in (resized, None, None):
        operation = first or (
            rebuild_vm(vm, cast.alice, cast.image)
            if not Operation.objects.filter(kind="vm.rebuild").exists()
            else add_nic(vm, cast.alice, back, model="e1000e", address="10.30.0.9")
        )
        fail(operation)
        if operation.kind == "vm.nic_add":
            vm.ports.last().delete()  # type: ignore[union-attr]
        answer = post(cast, operation, "retry")
        assert answer.status_code == 202, answer.content
        again = Operation.objects.get(uuid=answer.json()["operation"]["uuid"])
        assert again.retry_of == operation and again.kind == operation.kind
        wanted = {name: value for name, value in operation.params.items() if name not in ("before", "port")}
        assert {name: again.params[name] for name in wanted} == wanted
        Operation.objects.filter(pk=again.pk).update(state="done")


def test_the_page_has_its_buttons_with_the_reason_where_somebody_may_not(cast: Cast, vm: VM) -> None:
    operation = fail(Operation.objects.get())
    url = reverse("operation", args=[operation.uuid])
    assert "Try again" in client_of(cast.bob).get(url).content.decode()
    page = client_of(cast.charlie).get(url).content.decode()
    assert "needs the role member" in page and 'aria-disabled="true"' in page
    answer = client_of(cast.bob).post(reverse("operation_retry", args=[operation.uuid]), follow=True)
    assert "has a VM web-1 already" in answer.content.decode()


def test_the_panel_shows_what_is_under_way_with_its_stage_and_a_way_to_cancel(cast: Cast) -> None:
    operation = Operation.objects.get(object_uuid=made_vm(cast).uuid)
    Operation.objects.update(state="running")
    operation.stages.filter(position=1).update(state="running")
    url = reverse("status_line")
    body = client_of(cast.bob).get(url).content.decode()
    assert "Make the disk (2 of 6)" in body and reverse("operation_cancel", args=[operation.uuid]) in body
    assert "Make the disk (2 of 6)" in client_of(cast.charlie).get(url).content.decode()
    assert reverse("operation_cancel", args=[operation.uuid]) not in client_of(cast.charlie).get(url).content.decode()
    assert "web-1" not in client_of(cast.dana).get(url).content.decode()


def test_the_list_shows_those_in_one_state(cast: Cast, vm: VM) -> None:
    url = reverse("operations")
    assert "web-1" in client_of(cast.bob).get(url).content.decode()
    assert "None of those." in client_of(cast.bob).get(f"{url}?state=unfinished").content.decode()


def _of_hosts() -> Operation:
    host = made_host()
    return Operation.objects.create(kind="host.clean", object_type="host", object_uuid=uuid4(), object_name=host.name)


def _listed(cast: Cast, person: str) -> set[str]:
    answer = client_of(getattr(cast, person)).get("/api/v1/operations")
    assert answer.status_code == 200, answer.content
    return {row["uuid"] for row in answer.json()["items"]}


def test_operators_see_operations_over_hosts_without_being_in_a_team(cast: Cast) -> None:
    of_team, of_hosts = Operation.objects.get(object_uuid=made_vm(cast).uuid), _of_hosts()
    client = client_of(cast.olga)
    page = client.get(reverse("operations")).content.decode()
    assert str(of_hosts.uuid) in page
    assert str(of_team.uuid) not in page
    assert 'data-topic="hosts"' in page
    assert str(of_hosts.uuid) in client.get(reverse("status_line")).content.decode()
    bar = client.get(reverse("hosts")).content.decode().partition('class="tabbar"')[2]
    assert reverse("operations") in bar
    assert _listed(cast, "olga") == {str(of_hosts.uuid)}


def test_an_operator_in_a_team_sees_its_operations_too_and_nobody_else_those_over_hosts(cast: Cast) -> None:
    of_team, of_hosts = str(Operation.objects.get(object_uuid=made_vm(cast).uuid).uuid), str(_of_hosts().uuid)
    assert _listed(cast, "charlie") == {of_team}
    assert of_hosts not in client_of(cast.alice).get(reverse("operations")).content.decode()
    cast.payments.memberships.create(user=cast.olga, role="viewer")
    assert _listed(cast, "olga") == {of_team, of_hosts}
    page = client_of(cast.olga).get(reverse("operations")).content.decode()
    assert 'data-topic="team:payments hosts"' in page
