"""NICs as they are asked for: of the team's networks, within the pool, and not while a floating address stands for one."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from django.urls import reverse

from portal.compute.hardware import Hardware
from portal.compute.models import VM, VMState
from portal.compute.moves import targets_of
from portal.compute.nics import MOST_NICS, add_nic
from portal.compute.requests import VMProblem, VMSpec, create_vm
from portal.hosts.models import Host
from portal.networks.floating_requests import give_floating
from portal.networks.models import Network, Port, PortKind
from portal.networks.network_requests import NetworkSpec, SubnetSpec, create_network
from portal.operations.models import Operation
from tests.cast import Cast
from tests.portal.clients import client_of, made_host, made_vm


@pytest.fixture
def vm(cast: Cast) -> VM:
    vm, host = made_vm(cast), made_host()
    Operation.objects.update(state="done")
    VM.objects.update(host=host, state=VMState.RUNNING)
    vm.refresh_from_db()
    return vm


@pytest.fixture
def back(cast: Cast) -> Network:
    return create_network(cast.payments, NetworkSpec("back", SubnetSpec("10.30.0.0/24")))


def ask(cast: Cast, method: str, path: str, body: dict[str, Any] | None = None, person: str = "bob") -> Any:
    client = client_of(getattr(cast, person))
    answer = client.generic(method, f"/api/v1/vms/{path}", json.dumps(body or {}), content_type="application/json")
    Operation.objects.update(state="done")
    return answer


def test_a_nic_is_added_with_an_address_of_its_network_in_the_groups_of_the_first(
    cast: Cast, vm: VM, back: Network
) -> None:
    assert ask(cast, "POST", f"{vm.uuid}/nics", {"network": "back", "model": "e1000e"}).status_code == 202
    port = Port.objects.get(vm=vm, network=back)
    assert (port.name, port.model, port.host, port.addresses.get().address[:8]) == (
        "web-1-2",
        "e1000e",
        vm.host,
        "10.30.0.",
    )
    assert set(port.groups.all()) == set(vm.ports.first().groups.all())  # type: ignore[union-attr]


def test_a_moved_nic_keeps_its_mac_and_its_old_addresses_are_held_until_the_move_has_ended(
    cast: Cast, vm: VM, back: Network
) -> None:
    port = vm.ports.get()
    mac, before = port.mac, {row.address for row in port.addresses.all()}
    body = {"network": "back", "address": "10.30.0.77"}
    assert ask(cast, "PATCH", f"{vm.uuid}/nics/{port.uuid}", body).status_code == 202
    moved = vm.ports.get()
    assert (moved.pk, moved.mac, [row.address for row in moved.addresses.all()]) == (port.pk, mac, ["10.30.0.77"])
    held = Port.objects.get(uuid=Operation.objects.first().params["held"])  # type: ignore[union-attr]
    assert {row.address for row in held.addresses.all()} == before and held.kind == PortKind.RESERVED
    assert Port.objects.filter(vm=None, network=back).count() == 0


def test_what_can_not_be_is_refused_and_nothing_is_stored(cast: Cast, vm: VM, back: Network) -> None:
    port = vm.ports.get()
    one = f"{vm.uuid}/nics/{port.uuid}"
    give_floating(cast.payments, port)
    for method, path, body, word in (
        ("POST", f"{vm.uuid}/nics", {"network": "search-net"}, "no network of that name"),
        (
            "POST",
            f"{vm.uuid}/nics",
            {"network": "back", "model": "ne2k"},
            "virtio, e1000e, e1000, rtl8139, vmxnet3 are allowed",
        ),
        ("POST", f"{vm.uuid}/nics", {"network": "back", "address": "10.99.0.1"}, "back has 10.30.0.0/24"),
        ("PATCH", one, {"network": "back"}, "take that back first"),
        ("PATCH", one, {"network": "payments-net"}, "is on payments-net already"),
        ("PATCH", one, {"model": "virtio"}, "is virtio already"),
        ("PATCH", one, {}, "one change at a time"),
        ("DELETE", one, {}, "take that back first"),
    ):
        answer = ask(cast, method, path, body)
        assert answer.status_code == 422 and word in str(answer.json()["errors"]), (method, path, body)
    assert Operation.objects.count() == 1 and vm.ports.count() == 1
    assert "take that back first" in client_of(cast.bob).get(reverse("vm_nics", args=[vm.uuid])).content.decode()


@pytest.mark.parametrize("model", ["e1000", "rtl8139", "vmxnet3"])
def test_a_model_without_pci_express_is_plugged_at_a_start_alone(cast: Cast, vm: VM, back: Network, model: str) -> None:
    VM.objects.update(state="running")
    answer = ask(cast, "POST", f"{vm.uuid}/nics", {"network": "back", "model": model})
    assert "only from a start on: shut the VM down first" in answer.json()["errors"]["model"][0]
    VM.objects.update(machine="pc")
    assert ask(cast, "POST", f"{vm.uuid}/nics", {"network": "back", "model": model}).status_code == 202
    Operation.objects.update(state="done")
    VM.objects.update(machine="q35", state="stopped")
    assert ask(cast, "POST", f"{vm.uuid}/nics", {"network": "back", "model": model}).status_code == 202


def test_a_model_that_leaves_checksums_to_the_switch_is_refused_where_the_switch_makes_none(
    cast: Cast, vm: VM, back: Network
) -> None:
    """vmxnet3 on a switch in user space: pings pass, TCP does not."""
    Host.objects.update(datapath_type="netdev")
    VM.objects.update(state="stopped")
    words = "that of hv1, which runs in user space, makes none: pings would pass and TCP would not"
    port = vm.ports.get()
    for method, path, body in (
        ("POST", "nics", {"network": "back", "model": "vmxnet3"}),
        ("PATCH", f"nics/{port.uuid}", {"model": "vmxnet3"}),
        ("POST", "devices", {"nic_model": "vmxnet3"}),
    ):
        assert words in str(ask(cast, method, f"{vm.uuid}/{path}", body).json()["errors"]), path
    spec = VMSpec("web-2", cast.image, cast.flavor, cast.network, "key-2", hardware=Hardware(nic_model="vmxnet3"))
    with pytest.raises(VMProblem, match="TCP would not"):
        create_vm(cast.payments, cast.bob, spec)
    Port.objects.update(model="vmxnet3")
    other = made_host("hv2")
    Host.objects.filter(pk=other.pk).update(datapath_type="netdev")
    assert any("that of hv2" in line for line in targets_of(vm)[0].problems)
    Host.objects.filter(pk=other.pk).update(datapath_type="system")
    assert not any("TCP" in line for line in targets_of(vm)[0].problems)
    assert create_vm(cast.payments, cast.bob, spec).vm.name == "web-2", "one host has a switch that makes them"


def test_a_vm_has_so_many_nics_at_most(cast: Cast, vm: VM, back: Network) -> None:
    for _ in range(MOST_NICS - 1):
        add_nic(vm, cast.bob, back)
        Operation.objects.update(state="done")
    with pytest.raises(VMProblem, match="that is the most"):
        add_nic(vm, cast.bob, back)


def test_a_stranger_finds_nothing_and_a_viewer_may_not(cast: Cast, vm: VM, back: Network) -> None:
    path = f"{vm.uuid}/nics/{vm.ports.get().uuid}"
    assert ask(cast, "DELETE", path, person="dana").status_code == 404
    assert ask(cast, "DELETE", path, person="charlie").status_code == 403
    assert ask(cast, "DELETE", f"{vm.uuid}/nics/{uuid4()}").status_code == 404
    page = reverse("vm_nics", args=[vm.uuid])
    posted = {"what": "remove", "port": str(vm.ports.get().uuid)}
    assert client_of(cast.dana).post(page, posted).status_code == 404
    assert client_of(cast.charlie).post(page, posted).status_code == 403
