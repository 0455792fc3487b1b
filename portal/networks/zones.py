"""A port's conntrack zone in its host's switch, worked out as the compiler does."""

from __future__ import annotations

from portal.networks.models import Port
from sdn.compiler.zones import port_zones


def ct_zone(port: Port) -> int:
    """The zone that the port has, or would have when it is plugged."""
    beside = Port.objects.filter(host_id=port.host_id, ofport__isnull=False) if port.host_id else Port.objects.none()
    return port_zones({port.pk, *beside.values_list("id", flat=True)})[port.pk]
