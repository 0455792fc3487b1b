"""What a NIC is plugged into is its host's to say, from its next start on; what was made for it goes with it."""

from __future__ import annotations

import pytest

from portal.accounts.models import AuditRow
from portal.compute.models import VM
from portal.hosts.models import Host
from portal.hosts.requests import set_plug
from portal.networks.models import Port
from portal.networks.problems import NetworkProblem
from portal.operations.models import Operation, OperationState
from portal.operations.stages import STAGES
from sdn.model.device import chain_from_json
from sdn.model.plug import bridge_name, port_of_network, veth_names
from tasks.hypervisor.driver import CallFailed
from tasks.hypervisor.libvirt_bridges import format_bridge_network
from tasks.hypervisor.libvirt_driver import LibvirtHypervisor
from tasks.reconcile.orphans import remove_bridges
from tests.tasks.test_nics import ready
from tests.tasks.test_sagas import run, with_stage


@pytest.fixture
def bridged(world):
    set_plug(world.host, "bridge")
    return world


def made(world, name="web-1"):
    vm = world.make_vm(name)
    assert run(world, world.ask("vm.create", vm)).state == OperationState.DONE
    vm.refresh_from_db()
    return vm


def test_a_vm_of_such_a_host_is_plugged_into_a_bridge_of_its_own(bridged) -> None:
    vm = made(bridged)
    port = vm.ports.get()
    uuid = str(port.uuid)
    assert bridged.fake.bridges == {uuid}
    assert f'<source network="hs-{uuid}"/>' in bridged.fake.definitions[vm.domain]
    assert "openvswitch" not in bridged.fake.definitions[vm.domain]
    assert port.tap == veth_names(uuid)[1], "what br-int has is the cable's end"
    chain = chain_from_json(port.device_chain)
    assert (chain.bridge, chain.tap, chain.veth) == (bridge_name(uuid), "vnet0", veth_names(uuid)[0])
    assert chain.bridge_ports == f"{veth_names(uuid)[0]}, vnet0"


def test_a_change_reaches_a_guest_at_its_next_start_and_no_sooner(world) -> None:
    vm = made(world)
    uuid = str(vm.ports.get().uuid)
    set_plug(world.host, "bridge")
    for kind in ("vm.suspend", "vm.resume"):
        run(world, world.ask(kind, vm))
    assert not world.fake.bridges and "openvswitch" in world.fake.definitions[vm.domain]
    run(world, world.ask("vm.force_off", vm))
    assert run(world, world.ask("vm.start", vm)).state == OperationState.DONE
    assert world.fake.bridges == {uuid}
    set_plug(Host.objects.get(), "direct")
    run(world, world.ask("vm.force_off", vm))
    assert run(world, world.ask("vm.start", vm)).state == OperationState.DONE
    assert not world.fake.bridges and vm.ports.get().tap == "vnet0"


def test_deleting_leaves_no_bridge(bridged) -> None:
    vm = made(bridged)
    assert run(bridged, bridged.ask("vm.delete", vm)).state == OperationState.DONE
    assert not bridged.fake.bridges and not VM.objects.exists()


def test_a_nic_comes_and_goes_with_its_bridge(bridged) -> None:
    vm = made(bridged)
    operation, port = ready(bridged, vm, "vm.nic_remove")
    assert str(port.uuid) in bridged.fake.bridges
    assert run(bridged, operation).state == OperationState.DONE
    assert bridged.fake.bridges == {str(vm.ports.get().uuid)}


@pytest.mark.parametrize("stage", [name for name, _ in STAGES["vm.create"]])
def test_a_create_that_fails_at_any_stage_leaves_no_bridge(bridged, stage: str) -> None:
    def half(do):
        def act(context):
            do(context)
            raise CallFailed("no")

        return act

    sagas = with_stage("vm.create", stage, half)
    assert run(bridged, bridged.ask("vm.create", bridged.make_vm()), sagas).state == OperationState.FAILED
    assert not bridged.fake.bridges and not Port.objects.exists()


def test_a_host_without_the_hook_says_what_to_do(bridged) -> None:
    bridged.fake.has_hook = False
    operation = run(bridged, bridged.ask("vm.create", bridged.make_vm()))
    assert operation.state == OperationState.FAILED and "hook" in Operation.objects.get(pk=operation.pk).error


def test_bridges_of_ports_that_are_gone_are_removed_and_those_in_use_are_not(bridged) -> None:
    vm = made(bridged)
    mine, left = str(vm.ports.get().uuid), "99999999-9999-4999-8999-999999999999"
    bridged.fake.bridges.add(left)
    assert remove_bridges(bridged.host, bridged.fake) == [bridge_name(left)]
    assert bridged.fake.bridges == {mine}
    run(bridged, bridged.ask("vm.force_off", vm))
    assert remove_bridges(bridged.host, bridged.fake) == [], "a VM that is off keeps its own"


def test_the_flag_is_audited_once_and_junk_is_refused(world) -> None:
    set_plug(world.host, "bridge")
    set_plug(Host.objects.get(), "bridge")
    row = AuditRow.objects.get(action="host.change")
    assert (row.before, row.after) == ({"plug": "direct"}, {"plug": "bridge"})
    with pytest.raises(NetworkProblem) as refused:
        set_plug(world.host, "token-ring")
    assert refused.value.errors == {"plug": ["“token-ring” was given; direct and bridge are allowed"]}


def test_libvirt_without_the_hook_is_left_without_a_network() -> None:
    """libvirt's test driver makes networks and has no hook."""
    hypervisor, port = LibvirtHypervisor("hv1", "test:///default"), "88888888-8888-4888-8888-888888888888"
    with pytest.raises(CallFailed, match="host hook prints it"):
        hypervisor.ensure_bridge(port)
    assert hypervisor.idle_bridges() == (port,)
    for _ in range(2):
        hypervisor.remove_bridge(port)
    assert hypervisor.idle_bridges() == ()
    assert hypervisor.bridge_ports(port) == ()


def test_names_fit_the_kernel_and_lead_back_to_the_port() -> None:
    port = "88888888-8888-4888-8888-888888888888"
    assert all(len(name) <= 15 for name in (bridge_name(port), *veth_names(port)))
    assert port in format_bridge_network(port) and port_of_network(f"hs-{port}") == port
    assert port_of_network("default") == port_of_network("hs-short") == ""
