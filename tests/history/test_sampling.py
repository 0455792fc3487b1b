"""Counters into samples: rates per second, by VM, host, port and team; a restart of a counter is no burst."""

from __future__ import annotations

import math
import time

import pytest
from django.utils import timezone

from portal.drops.models import DropCounter
from portal.history import series
from portal.history.series import STEPS, Kind
from portal.history.store import Line, read_series
from portal.metrics.tally import PortCount
from portal.networks.models import Port
from sdn.model.cookie import CauseKind
from tasks.host_sampling import HostSampler
from tasks.hypervisor.libvirt_driver import LibvirtHypervisor
from tasks.hypervisor.stats import DomainCounts, HostCounts, parse_domain, read_counts
from tasks.sampling import PortSampler, Rates
from tests.cast import Cast
from tests.portal.clients import made_host, made_vm

AT = 1_800_000_000


def lines(kind: Kind, object_id: int, at_s: int = AT) -> dict[str, float | None]:
    found: tuple[Line, ...] = read_series(kind, object_id, at_s, at_s + 10, STEPS[0]).lines
    return {line.field.name: line.mean[0] for line in found}


def test_a_rate_is_what_grew_by_the_time_it_took() -> None:
    rates = Rates()
    assert rates.of("a", 100.0, (1.0, 50.0)) is None
    assert rates.of("a", 110.0, (2.0, 100.0)) == (0.1, 5.0)


def test_a_counter_that_began_again_or_was_not_seen_for_a_minute_has_no_rate() -> None:
    rates = Rates()
    rates.of("a", 100.0, (5.0,))
    assert rates.of("a", 110.0, (1.0,)) is None
    assert rates.of("a", 120.0, (3.0,)) == (0.2,)
    assert rates.of("a", 999.0, (9.0,)) is None


def test_it_samples_a_vm_its_host_and_its_team(cast: Cast) -> None:
    host, vm = made_host(), made_vm(cast)
    vm.host, vm.vcpus = host, 2
    vm.save()
    sampler = HostSampler()
    before = DomainCounts(10.0, 64 << 20, 1000, 2000, 3000, 4000)
    after = DomainCounts(20.0, 65 << 20, 2000, 4000, 13000, 24000)
    foreign = DomainCounts(0.0, 1 << 20, 0, 0, 0, 0)
    sampler.take(host, HostCounts(100.0, 1000.0, 8 << 30, {vm.domain: before, "other": foreign}), 50.0)
    sampler.take(host, HostCounts(140.0, 1080.0, 9 << 30, {vm.domain: after, "other": foreign}), 60.0)
    sampler.write(AT)
    assert lines(series.VM, vm.pk) == pytest.approx({
        "cpu_percent": 50, "memory_bytes": 65 << 20, "disk_read_bytes_s": 100, "disk_write_bytes_s": 200,
        "sent_bps": 8000, "received_bps": 16000,
    }, rel=1e-5)  # fmt: skip
    told = lines(series.HOST, host.pk)
    assert (told["cpu_percent"], told["running_vms"], told["sent_bps"]) == (50, 2, 8000)
    used = lines(series.TEAM_VMS, cast.payments.pk)
    assert (used["cpu_cores"], used["running_vms"]) == (1, 1)
    sampler.write(AT + 10)
    assert lines(series.VM, vm.pk, AT + 10)["cpu_percent"] is None  # a host that is away is not told as idle


def test_it_samples_ports_teams_and_drops_by_reason(cast: Cast) -> None:
    host, vm = made_host(), made_vm(cast)
    port = Port.objects.get(vm=vm)
    drops = DropCounter.objects.create(
        host=host, kind=CauseKind.PORT, row_id=port.pk, port=port, reason="spoofed_mac", packets=7, last_at=timezone.now()
    )  # fmt: skip
    sampler = PortSampler()
    sampler.take({str(port.uuid): PortCount(0, 0, 0, 0, 0)}, AT - 10, 50.0)
    drops.packets = 57
    drops.save()
    sampler.take({str(port.uuid): PortCount(100, 200, 10000, 20000, 10)}, AT, 60.0)
    wanted = {"sent_bps": 8000, "received_bps": 16000, "sent_pps": 10, "received_pps": 20, "lost_pps": 1, "dropped_pps": 5}  # fmt: skip
    assert lines(series.PORT, port.pk) == wanted
    assert lines(series.TEAM, cast.payments.pk) == wanted
    assert lines(series.DROPS, cast.payments.pk)["spoofed_mac"] == 5


def test_it_adds_up_disks_and_nics_as_domstats_lists_them() -> None:
    facts = {
        "cpu.time": 2_000_000_000, "balloon.current": 1024, "balloon.rss": 512, "block.count": 2, "block.0.rd.bytes": 1,
        "block.1.rd.bytes": 2, "block.1.wr.bytes": 4, "net.count": 2, "net.0.tx.bytes": 8, "net.1.rx.bytes": 16,
    }  # fmt: skip
    assert parse_domain(facts) == DomainCounts(2.0, 512 * 1024, 3, 4, 8, 16)


def test_what_libvirt_itself_counts_is_read() -> None:
    """libvirt's test driver counts its one domain; it has no statistics of its host, which is an error in words."""
    from tasks.hypervisor.driver import CallFailed

    hypervisor = LibvirtHypervisor("hv1", "test:///default")
    try:
        counts = read_counts(hypervisor)
    except CallFailed as refused:
        assert "hv1 could not read what it counts" in str(refused)
    else:
        assert counts.all_s > 0
        assert all(not math.isnan(one.cpu_s) for one in counts.domains.values())


@pytest.mark.parametrize("age_s", [0, 3])
def test_a_host_is_sampled_once_in_each_step(cast: Cast, monkeypatch, age_s: int) -> None:  # type: ignore[no-untyped-def]
    asked = []
    monkeypatch.setattr("tasks.host_sampling.read_counts", lambda _: asked.append(1) or HostCounts(1.0, 2.0, 3, {}))
    monkeypatch.setattr(time, "time", lambda: AT + age_s)
    host, sampler = made_host(), HostSampler()
    for _ in range(3):
        sampler.look(host, None)  # type: ignore[arg-type]
    assert len(asked) == 1
