"""The page that moves a VM offers only what can be done."""

from __future__ import annotations

import pytest
from django.urls import reverse
from django.utils import timezone

from portal.hosts.models import Host
from portal.operations.models import Operation, OperationState
from portal.topology.models import HostSeen
from tests.cast import Cast
from tests.portal.clients import client_of, made_host, made_vm

SEEN = {"bridges": [{"name": "br-int"}, {"name": "br-ex"}]}
pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("reason", "offers"), [("", True), ("its libvirt does not answer", False)])
def test_a_move_is_offered_only_where_a_host_can_take_the_vm(cast: Cast, reason: str, offers: bool) -> None:
    vm = made_vm(cast)
    vm.host = made_host("hv1")
    vm.state = "running"
    vm.save()
    made_host("hv2")
    Operation.objects.update(state=OperationState.DONE)
    Host.objects.filter(name="hv2").update(libvirt_error=reason, ovs_seen_at=timezone.now())
    HostSeen.objects.create(host=Host.objects.get(name="hv2"), switch=SEEN)
    answer = client_of(cast.olga).get(reverse("vm_move", args=[vm.uuid])).content.decode()
    main = answer.partition('<div class="page">')[2]
    assert ('name="host" value="hv2"' in main) is offers, main
    assert ("No host can take it now." in main) is not offers
