"""Switches' counters become rows and events: nothing counted twice, nothing lost, whatever starts again meanwhile."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal.drops.models import DropCounter
from portal.live.transient import transient_snapshot
from portal.networks.models import Port
from sdn.controller.drops import DropCount
from sdn.controller.probing import ProbedDrop
from sdn.model.addresses import HostName
from sdn.model.cookie import Cause, CauseKind
from sdn.pipeline import DROP_REASON_BY_NAME
from tasks.drop_watch import PROBED_LOOKS, DropDesk
from tests.cast import Cast
from tests.portal.clients import made_host, made_vm

NETWORK, SYSTEM = Cause(CauseKind.NETWORK, 3), Cause(CauseKind.SYSTEM, 0)


def _count(reason: str, cause: Cause, packets: int, *, total: bool, key: bytes = b"") -> DropCount:
    row = DROP_REASON_BY_NAME[reason]
    return DropCount((250 if total else 10, 1, key or reason.encode()), row, cause, total, packets, packets * 60)


def _denied(port: Port, packets: int) -> list[DropCount]:
    """What a switch says when no rule let `packets` of a port's in: the port's own flow, and the drop table's."""
    own = _count("ingress_denied", Cause(CauseKind.PORT, port.pk), packets, total=False)
    return [own, _count("ingress_denied", SYSTEM, packets, total=True)]


@pytest.fixture
def port(cast: Cast) -> Port:
    made_host()
    return Port.objects.get(vm=made_vm(cast))


def _stored(**columns: object) -> int:
    return sum(DropCounter.objects.filter(**columns).values_list("packets", flat=True))


def test_a_ports_drops_are_its_own_and_part_of_the_hosts(port: Port) -> None:
    desk = DropDesk()
    desk.take({"hv1": _denied(port, 5)})
    desk.take({"hv1": [*_denied(port, 7), _count("unknown_mac", NETWORK, 4, total=False)]})
    assert _stored(port=port, reason="ingress_denied") == 7
    assert _stored(kind=CauseKind.SYSTEM) == 7
    assert _stored(kind=CauseKind.NETWORK, row_id=3) == 4


def test_what_we_sent_ourselves_to_see_it_dropped_is_nobodys_drop(port: Port) -> None:
    desk, probe = DropDesk(), ProbedDrop(HostName("hv1"), port.pk, "ingress_denied", 60)
    desk.take({"hv1": _denied(port, 5)})
    DropCounter.objects.update(last_at=timezone.now() - timedelta(hours=1))
    assert desk.take({"hv1": _denied(port, 5)}, [probe]) == {}, "told before the switch has counted it"
    assert port.pk not in desk.take({"hv1": _denied(port, 6)})
    row = DropCounter.objects.get(port=port)
    assert (row.packets, row.seen_packets) == (5, 6) and row.last_at < timezone.now() - timedelta(minutes=1)
    desk.take({"hv1": _denied(port, 9)}, [probe])
    assert _stored(port=port) == 7, "the guests' own count beside it"
    DropDesk().take({"hv1": _denied(port, 9)})
    assert _stored(port=port) == 7, "a controller that starts again counts no probe"
    desk.take({"hv1": _denied(port, 9)}, [probe])
    for _ in range(PROBED_LOOKS):
        desk.take({"hv1": _denied(port, 9)})
    desk.take({"hv1": _denied(port, 10)})
    assert _stored(port=port) == 8, "one that no flow counted takes off nothing later"


def test_a_flow_installed_anew_counts_from_nothing_and_a_port_that_is_gone_is_passed_over(port: Port) -> None:
    desk = DropDesk()
    desk.take({"hv1": _denied(port, 9)})
    desk.take({"hv1": _denied(port, 2)})
    assert _stored(port=port) == 11
    gone = _count("spoofed_mac", Cause(CauseKind.PORT, 10**9), 3, total=False)
    desk.take({"hv1": [*_denied(port, 2), gone], "no-such-host": [gone]})
    assert _stored() == 22


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.integers(0, 50), st.booleans()), min_size=1, max_size=6))
def test_the_sum_is_right_wherever_the_controller_starts_again(port: Port, steps: list[tuple[int, bool]]) -> None:
    DropCounter.objects.all().delete()
    desk, counted = DropDesk(), 0
    for more, restarts in steps:
        desk, counted = DropDesk() if restarts else desk, counted + more
        desk.take({"hv1": _denied(port, counted)})
    assert _stored(port=port) == _stored(kind=CauseKind.SYSTEM) == counted


def test_a_drop_is_told_to_the_team_with_its_rate_and_so_is_its_end(port: Port) -> None:
    desk = DropDesk()
    for packets in (1, 41, 41):
        desk.take({"hv1": _denied(port, packets)})
        told = transient_snapshot("drops:payments")["state"][f"port:{port.uuid}"]
        assert told["packets"] == packets and told["reasons"][0]["words"] == "No ingress rule allows it"
    assert told["reasons"][0]["pps"] == 0.0
    desk.take({"hv1": _denied(port, 61)})
    assert transient_snapshot("drops:payments")["state"][f"port:{port.uuid}"]["reasons"][0]["pps"] > 0
