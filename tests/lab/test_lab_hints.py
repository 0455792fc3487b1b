"""A guest that takes a foreign address, with real packets: refused by the real switch, seen, and named to its owner.

[vm-0]--[br-int@hv1] ✘ ARP for an address of vm-1 → counter → copies → hint → conflict
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest

from lab.commands import run
from lab.paths import HypervisorPaths
from portal.networks.hints import judge
from portal.networks.models import AddressHint, Port
from sdn.model.intent import IntentSnapshot, PortIntent
from tasks.drop_watch import DropDesk
from tasks.hint_desk import HintDesk
from tests.cast import Cast
from tests.lab.seats import Keeper, netns_of, plug, unplug
from tests.portal.clients import client_of, made_host, made_vm
from tests.sdn.worlds import make_world
from tests.waiting import wait_for

pytestmark = [pytest.mark.lab, pytest.mark.django_db]
WORLD = make_world(2, 1, [(0, 0), (0, 0)])


@pytest.fixture
def rows(cast: Cast) -> list[Port]:
    """web-1 and web-2 of Payments, on hv1."""
    made_host()
    return [made_vm(cast, name).ports.get() for name in ("web-1", "web-2")]


@pytest.fixture
def keeper(lab: tuple[HypervisorPaths, ...], rows: list[Port]) -> Iterator[tuple[Keeper, str, list[PortIntent]]]:
    """A controller that keeps a world whose two ports are the rows' own."""
    name, keeper = lab[0].root.parent.name, Keeper(lab)
    ports = [_as_row(port, row) for port, row in zip(WORLD.ports, rows, strict=True)]
    world: IntentSnapshot = replace(WORLD, ports=tuple(ports))
    try:
        keeper.set_intent(world)
        wait_for(lambda: len(keeper.wired) == 2, 30, "both switches connect")
        for port in ports:
            plug(name, lab[0], port)
        wait_for(lambda: keeper.has(world), 30, "every port is wired")
        yield keeper, name, ports
    finally:
        keeper.close()
        for port in ports:
            unplug(name, lab[0], port)
        for host in lab:
            run("ovs-vsctl", f"--db={host.ovsdb}", "--if-exists", "del-br", "br-int")


def _as_row(port: PortIntent, row: Port) -> PortIntent:
    addresses = tuple(one for one in port.addresses if one.version == 4)
    row.addresses.filter(address__contains=".").update(address=str(addresses[0]))
    return replace(port, id=row.pk, iface_id=str(row.uuid), addresses=addresses)


def test_an_address_taken_from_a_neighbour_is_named_with_its_owner_and_is_over_when_given_back(
    keeper: tuple[Keeper, str, list[PortIntent]], rows: list[Port], cast: Cast
) -> None:
    controller, name, ports = keeper
    drops, hints, stolen = DropDesk(), HintDesk(), str(ports[1].addresses[0])
    netns = netns_of(name, ports[0])
    drops.take(controller.drops_counted())
    run("ip", "-n", netns, "address", "flush", "dev", "eth0")
    run("ip", "-n", netns, "address", "add", f"{stolen}/24", "dev", "eth0")
    ping = ("ip", "netns", "exec", netns, "ping", "-q", "-i", "0.2", "-I", stolen, "10.20.0.200")
    guest = subprocess.Popen(ping, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:

        def is_known() -> bool:
            hints.suspect(drops.take(controller.drops_counted()))
            controller.set_sampled(hints.look(), lambda _host, copy: hints.take(copy))
            return hints.write()

        wait_for(is_known, 30, "the switch's refusals tell the address", 0.5)
    finally:
        guest.kill()
        guest.wait()
    assert [(one.address, one.source) for one in AddressHint.objects.filter(port=rows[0])] == [(stolen, "arp")]
    assert judge() == 2
    page = client_of(cast.bob).get(f"/vms/{rows[0].vm.uuid}/").content.decode()
    assert f"The guest uses {stolen}, which IPAM gave to web-2" in page
    assert not AddressHint.objects.filter(port=rows[1]).exists(), "the true owner is not suspected"
    AddressHint.objects.all().delete()
    assert judge() == 2 and not Port.objects.exclude(conflicts=[]).exists()
