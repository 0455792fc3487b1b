"""The largest packet of a network, worked out from what its hosts' underlay carries."""

from __future__ import annotations

from django.db.models import Min

from portal.hosts.models import Host
from sdn.model.mtu import Encapsulation, inner_mtu

UNDERLAY_MTU = 1500  # before there is a host that told its own
USUAL_MTU = 1500  # what lies outside carries: a guest with more would be cut off from it


def network_mtu(encapsulation: Encapsulation = "vxlan") -> int:
    """What guests of a new network may send, in bytes: what fits every host's underlay, and no more than is usual."""
    least: int = Host.objects.aggregate(least=Min("underlay_mtu"))["least"] or UNDERLAY_MTU
    return min(USUAL_MTU, inner_mtu(least, encapsulation))
