"""Rate limits of ports over REST."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Router

from portal.accounts.access import require
from portal.accounts.views import person
from portal.api.names import Given
from portal.networks.limits import LimitSpec, limits_of, set_port_limits
from portal.networks.models import Port
from portal.networks.owners import owned_by_person, owner_of

router = Router()


class LimitsIn(Given):
    """Seen from the guest: what it sends and what it receives. null: no limit; for a burst, a quarter of a second's."""

    sends_kbps: int | None = None
    sends_burst_kbit: int | None = None
    receives_kbps: int | None = None
    receives_burst_kbit: int | None = None


class LimitsOut(LimitsIn):
    uuid: UUID
    name: str


@router.get("/ports/{uuid}/limits", response=LimitsOut, summary="How much a port may send and receive")
def get_limits(request: HttpRequest, uuid: UUID) -> Any:
    return _as_json(_port(request, uuid, "vm.see"))


@router.put("/ports/{uuid}/limits", response=LimitsOut, summary="Limit what a port sends and receives, at once")
def put_limits(request: HttpRequest, uuid: UUID, asked: LimitsIn) -> Any:
    port = _port(request, uuid, "port.change")
    sends = LimitSpec(asked.sends_kbps, asked.sends_burst_kbit)
    set_port_limits(port, sends, LimitSpec(asked.receives_kbps, asked.receives_burst_kbit), person(request))
    return _as_json(port)


def _port(request: HttpRequest, uuid: UUID, right: str) -> Port:
    ports = Port.objects.filter(owned_by_person(request.user.pk or 0))
    port = get_object_or_404(ports.select_related("network__team", "vm__team"), uuid=uuid)
    require(request, right, owner_of(port))
    return port


def _as_json(port: Port) -> dict[str, Any]:
    return {"uuid": str(port.uuid), "name": port.name, **limits_of(port)}
