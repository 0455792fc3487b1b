"""What can be done with a VM: one table for buttons, pages and API; refusals say why, another team's VM does not exist."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from portal.compute.actions import ACTIONS, offers_of
from portal.compute.models import VM, VMState
from portal.compute.requests import VMProblem, VMSpec, create_vm, delete_vm
from portal.hosts.models import Host
from portal.operations.models import Operation
from portal.operations.stages import STAGES, TITLES
from tests.cast import Cast
from tests.portal.test_vms import client_of

TAKES = {
    VMState.STOPPED: {"start", "rescue"},
    VMState.CRASHED: {"start", "rescue"},
    VMState.RUNNING: {"stop", "reboot", "suspend", "reset", "force_off"},
    VMState.PAUSED: {"resume", "force_off"},
    VMState.CREATING: set(),
    VMState.DELETING: set(),
    VMState.UNKNOWN: set(),
    VMState.DELETED: {"undelete"},
}  # fmt: skip


@pytest.fixture
def vm(cast: Cast) -> VM:
    host = Host.objects.create(name="hv1", libvirt_uri="fake:", ovsdb="", ovs_rundir="", controller_target="",
        disks_dir="/nowhere", underlay_ip="192.0.2.11")  # fmt: skip
    made = create_vm(cast.payments, cast.alice, VMSpec("web-1", cast.image, cast.flavor, cast.network, "k")).vm
    Operation.objects.update(state="done")
    VM.objects.update(host=host, state=VMState.RUNNING)
    made.refresh_from_db()
    return made


def post(client: Client, vm: VM, action: str) -> Any:
    return client.post(f"/api/v1/vms/{vm.uuid}/actions/{action}", "{}", content_type="application/json")


def test_every_action_has_its_stages_and_its_words() -> None:
    for action in ACTIONS.values():
        assert STAGES[action.kind] and TITLES[action.kind]


@pytest.mark.parametrize("state", list(VMState))
def test_a_state_takes_these_actions_and_refuses_the_others_with_a_reason(vm: VM, state: VMState) -> None:
    vm.state = state
    offers = offers_of(vm)
    assert {offer.action.name for offer in offers if not offer.disabled_reason} == TAKES[state]
    assert all(state.label.lower() in offer.disabled_reason for offer in offers if offer.disabled_reason)


@pytest.mark.parametrize("name", list(ACTIONS))
def test_the_api_does_what_the_table_says(cast: Cast, vm: VM, name: str) -> None:
    answer = post(client_of(cast.bob), vm, name)
    if name in TAKES[VMState.RUNNING]:
        assert answer.status_code == 202 and answer.json()["operation"]["kind"] == f"vm.{name}"
    else:
        assert answer.status_code == 422 and "running" in str(answer.json()["errors"]["action"])
        assert not Operation.objects.filter(kind=f"vm.{name}").exists()


def test_two_clicks_are_one_operation(cast: Cast, vm: VM) -> None:
    first, second = (post(client_of(cast.bob), vm, "stop").json()["operation"]["uuid"] for _ in range(2))
    assert first == second


def test_only_forcing_off_is_offered_while_a_shutdown_is_under_way(cast: Cast, vm: VM) -> None:
    post(client_of(cast.bob), vm, "stop")
    refused = post(client_of(cast.bob), vm, "suspend")
    assert refused.status_code == 422 and "Shut down VM" in str(refused.json())
    assert post(client_of(cast.bob), vm, "force_off").status_code == 202


def test_an_action_that_does_not_exist_names_those_that_do(cast: Cast, vm: VM) -> None:
    answer = post(client_of(cast.bob), vm, "explode")
    assert answer.status_code == 422 and "force_off" in str(answer.json()["errors"]["action"])


def test_a_viewer_may_not_and_a_stranger_finds_nothing(cast: Cast, vm: VM) -> None:
    assert post(client_of(cast.charlie), vm, "stop").status_code == 403
    assert post(client_of(cast.dana), vm, "stop").status_code == 404
    page = reverse("vm_action", args=[vm.uuid, "stop"])
    assert client_of(cast.charlie).post(page).status_code == 403
    assert client_of(cast.dana).post(page).status_code == 404
    answer = client_of(cast.bob).get(page)
    assert answer.status_code == 405 and answer.headers["Allow"] == "POST", "a GET never acts"
    assert "It only takes what a form sends" in answer.content.decode()
    assert not Operation.objects.filter(kind="vm.stop").exists()


def test_a_host_that_does_not_answer_is_the_reason(cast: Cast, vm: VM) -> None:
    Host.objects.update(libvirt_error="hv1 is busy: it did not list the domains within 5 s")
    answer = post(client_of(cast.bob), vm, "stop")
    assert answer.status_code == 422 and "hv1 does not answer" in str(answer.json())


def test_the_page_shows_what_can_be_done_and_why_the_rest_can_not(cast: Cast, vm: VM) -> None:
    page = client_of(cast.bob).get(reverse("vm", args=[vm.uuid])).content.decode()
    assert "Shut down" in page and "It is running; only a VM that is paused takes this" in page
    answer = client_of(cast.bob).post(reverse("vm_action", args=[vm.uuid, "resume"]), follow=True)
    assert "Resume of web-1 is not possible now" in answer.content.decode()


def test_the_list_has_what_a_vm_takes_beside_it_and_comes_back_to_the_list(cast: Cast, vm: VM) -> None:
    client = client_of(cast.bob)
    page = client.get(reverse("vm_list")).content.decode()
    assert 'aria-label="Shut down web-1"' in page and 'aria-label="Start web-1"' not in page
    answer = client.post(reverse("vm_action", args=[vm.uuid, "stop"]), {"back": "vm_list"})
    assert answer["Location"] == reverse("vm_list")
    page = client.get(reverse("vm_list")).content.decode()
    assert 'aria-label="Force off web-1"' in page and 'aria-label="Shut down web-1"' not in page
    assert 'aria-label="Shut down' not in client_of(cast.charlie).get(reverse("vm_list")).content.decode()


def test_a_protected_vm_is_not_deleted_until_the_protection_is_taken_off(cast: Cast, vm: VM) -> None:
    client = client_of(cast.bob)
    path = f"/api/v1/vms/{vm.uuid}"
    body = '{"is_protected": true, "is_autostarted": true}'
    told = client.patch(path, body, content_type="application/json").json()
    assert told["is_protected"] and told["is_autostarted"]
    assert Operation.objects.filter(kind="vm.autostart").count() == 1
    with pytest.raises(VMProblem, match="protected"):
        delete_vm(VM.objects.get(), cast.bob)
    assert client.delete(path).status_code == 422
    refused = client.post(reverse("vm_delete", args=[vm.uuid]))
    assert refused.status_code == 409 and "protected" in refused.content.decode()
    client.post(reverse("vm_flags", args=[vm.uuid]), {})
    vm.refresh_from_db()
    assert not vm.is_protected and not vm.is_autostarted
    assert client.delete(path).status_code == 202
