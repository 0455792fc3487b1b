"""What the collector's looks ask the database: the same for three hosts and for thirty, and nothing for a host where nothing
changed; what differs is kept all the same, whoever wrote the rows meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from portal.compute.models import VM, VMState
from portal.hosts.models import Host
from portal.networks.models import AddressHint, Port
from portal.topology.models import HostSeen
from portal.topology.neighbours import lldp_from_json
from sdn.model.switch import BridgeSeen, InterfaceSeen, PortSeen, SwitchSeen, switch_to_json
from sdn.transport.lldpd import ABSENT, ANSWERS, LldpSeen
from tasks.agents import Answers, to_ask
from tasks.collector import observe_host
from tasks.host_looks import HostLooks, LookedAt
from tasks.host_rows import SHARED_S, SharedRows
from tasks.hypervisor.driver import Capacity, DomainState
from tasks.hypervisor.fake import FakeHypervisor
from tasks.namespaces import NamespaceReader
from tasks.neighbours import LldpReader, record_lldp

BRIDGE = BridgeSeen(
    "br-int", "netdev", "secure", "none",
    (PortSeen("br-int", (InterfaceSeen("br-int", "internal", 65534),)), PortSeen("dhcp0", (InterfaceSeen("dhcp0", "internal", 2),))),
)  # fmt: skip


@pytest.fixture
def rows_here(monkeypatch: pytest.MonkeyPatch, db: None) -> None:
    """Rows are asked on the test's own connection, where queries are counted."""

    async def in_rows(work: Callable[..., Any], *args: Any) -> Any:
        asked: Callable[..., Awaitable[Any]] = sync_to_async(work, thread_sensitive=True)
        return await asked(*args)

    monkeypatch.setattr("tasks.host_looks.in_rows", in_rows)


def made_hosts(count: int, folder: object = "/nowhere") -> list[Host]:
    """Hosts whose switches were seen."""
    first = Host.objects.count()
    hosts = Host.objects.bulk_create(
        Host(name=f"seen{number}", libvirt_uri="fake:", ovsdb="", ovs_rundir=f"{folder}/hv{number}", controller_target="",
             disks_dir="/z", underlay_ip=f"198.51.100.{number + 1}", accelerator="tcg", capabilities={"read_for": "9.0.0 tcg"})
        for number in range(first, first + count)
    )  # fmt: skip
    switch = switch_to_json(SwitchSeen("3.1.0", (BRIDGE,)))
    HostSeen.objects.bulk_create(HostSeen(host=host, switch=switch) for host in hosts)
    return hosts


def queries_of(work: Callable[[], object]) -> int:
    """How many statements the work makes."""
    with CaptureQueriesContext(
        connection,
    ) as caught:
        work()
    return len(caught)


class Told:
    """A reader whose hosts tell what the test put there."""

    def __init__(self) -> None:
        self.heard: dict[int, LldpSeen] = {}

    def prepare(self, hosts: object) -> None:
        pass

    def read(self, host: LookedAt) -> LldpSeen:
        return self.heard[host.pk]

    def record(self, host_id: int, seen: LldpSeen) -> None:
        record_lldp(host_id, seen)


@pytest.mark.parametrize("reader", [NamespaceReader, LldpReader])
def test_a_look_where_nothing_changed_is_one_query_for_all_hosts(
    rows_here: None, reader: Callable[[], NamespaceReader | LldpReader]
) -> None:
    look = async_to_sync(HostLooks(reader(), 4).look)
    for more in (3, 27):
        made_hosts(more)
        look()  # writes what was seen
        look()  # finds its own writing
        assert queries_of(look) == 1


def test_one_switch_that_changed_is_the_only_one_that_is_read_again(rows_here: None) -> None:
    hosts, reader = made_hosts(5), NamespaceReader()
    looks = HostLooks(reader, 4)
    look = async_to_sync(looks.look)
    look()
    look()
    assert {ports for _, ports in reader._ports.values()} == {frozenset({"dhcp0"})}, "a bridge's own port stays"
    seen = HostSeen.objects.get(host=hosts[0])
    seen.switch = switch_to_json(SwitchSeen("3.1.0", ()))
    seen.save()
    assert queries_of(look) == 3, "the stamps, that switch, and what was seen in its row"
    assert reader._ports[hosts[0].pk][1] == frozenset() and reader._ports[hosts[1].pk][1] == {"dhcp0"}
    hosts[1].delete()
    look()
    assert hosts[1].pk not in reader._ports and len(looks._last) == 4


def test_what_differs_is_kept_whoever_wrote_the_row_and_a_host_in_trouble_is_alone_with_it(
    rows_here: None, caplog: pytest.LogCaptureFixture
) -> None:
    hosts, told = made_hosts(3), Told()
    told.heard = {host.pk: LldpSeen(ANSWERS) for host in hosts[1:]}
    look = async_to_sync(HostLooks(told, 2).look)
    look()
    assert "host not looked at by=Told" in caplog.text and HostSeen.objects.get(host=hosts[0]).lldp is None
    told.heard[hosts[0].pk] = LldpSeen(ABSENT)
    told.heard[hosts[1].pk] = LldpSeen(ABSENT)
    HostSeen.objects.get(host=hosts[2]).delete()
    look()
    states = {pk: lldp_from_json(lldp).state for pk, lldp in HostSeen.objects.values_list("host", "lldp")}
    assert states == {hosts[0].pk: ABSENT, hosts[1].pk: ABSENT, hosts[2].pk: ANSWERS}


@pytest.fixture
def watched(world: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The cast's host and others, each with a fake hypervisor and a running VM, and rows that are read when the clock goes on."""
    hosts = [world.host, *made_hosts(4)]
    fakes = {}
    for host in hosts:
        fakes[host.name] = fake = FakeHypervisor()
        vm = world.make_vm(f"vm-{host.name}")
        VM.objects.filter(pk=vm.pk).update(host=host, state=VMState.RUNNING)
        fake.told = {vm.domain: DomainState.RUNNING}
        monkeypatch.setattr(fake, "states", lambda fake=fake: fake.told)
        monkeypatch.setattr(fake, "capacity", lambda: Capacity(4, 4096, "9.0.0"))
    Host.objects.update(capabilities={"read_for": "9.0.0 tcg"}, accelerator="tcg", libvirt_seen_at=None)
    monkeypatch.setattr("tasks.collector.hypervisor_of", lambda host, *_: fakes[host.name])
    monkeypatch.setattr("tasks.collector.close_old_connections", lambda: None)
    now = [0.0]

    def look() -> None:
        now[0] += 2 * SHARED_S
        for host in hosts:
            assert observe_host(host.pk, shared=shared)
        shared.write()

    shared = SharedRows(lambda: now[0])
    return SimpleNamespace(hosts=hosts, fakes=fakes, look=look)


def test_hosts_that_are_as_their_rows_say_cost_four_queries_together(watched: SimpleNamespace) -> None:
    watched.look()
    began = timezone.now()
    assert queries_of(watched.look) == 4, "hosts, VMs and foreign domains read; who answered written"
    assert Host.objects.filter(libvirt_seen_at__gte=began).count() == len(watched.hosts)


def test_what_a_host_tells_otherwise_is_kept_at_the_look_that_saw_it(watched: SimpleNamespace) -> None:
    watched.look()
    one, another, lost = watched.hosts[:3]
    (domain,) = watched.fakes[one.name].told
    watched.fakes[one.name].told = {domain: DomainState.STOPPED}
    watched.fakes[another.name].told |= {"by-hand": DomainState.RUNNING}
    watched.fakes[lost.name].told = {}
    watched.look()
    states = dict(VM.objects.values_list("host__name", "state"))
    assert states[one.name] == "stopped" and states[lost.name] == "unknown" and states[another.name] == "running"
    foreign = dict(HostSeen.objects.values_list("host__name", "foreign_domains"))
    assert [(row["name"], row["state"]) for row in foreign[another.name]] == [("by-hand", "running")]
    assert queries_of(watched.look) == 4, "a VM without a domain and a foreign domain are known now"


def test_a_foreign_domain_is_foreign_though_an_adopted_one_elsewhere_is_called_so(watched: SimpleNamespace) -> None:
    one, another = watched.hosts[:2]
    VM.objects.filter(host=one).update(adopted={"domain": "legacy"})
    watched.fakes[one.name].told = {"legacy": DomainState.RUNNING}
    watched.fakes[another.name].told |= {"legacy": DomainState.RUNNING}
    watched.look()
    foreign = dict(HostSeen.objects.exclude(foreign_domains=[]).values_list("host__name", "foreign_domains"))
    assert list(foreign) == [another.name]


def test_agents_are_asked_and_written_by_queries_that_do_not_grow_with_hosts(watched: SimpleNamespace) -> None:
    with CaptureQueriesContext(connection) as caught:
        asked = to_ask()
    assert len(caught) == 2 and [len(domains) for _, domains in asked] == [1] * len(watched.hosts)
    ports = dict(Port.objects.values_list("vm", "mac"))
    counts = []
    for round_, some in enumerate((asked[:1], asked)):
        answers = Answers()
        for _, domains in some:
            for vm in domains.values():
                answers.take(
                    vm,
                    {
                        ports[vm]: frozenset({f"10.{round_}.{vm // 250}.{vm % 250}"}),
                        "52:54:00:00:00:99": frozenset({"10.9.9.9"}),
                    },
                )
        counts.append(queries_of(answers.write))
        answers.write()
    assert counts[1] <= counts[0] + 1, "one more: what the first agent no longer says is forgotten"
    assert AddressHint.objects.count() == len(asked)
