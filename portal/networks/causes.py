"""Why a flow exists, in words: the row that its cookie names, for pages and traces."""

from __future__ import annotations

from collections.abc import Iterable

from django.urls import NoReverseMatch, reverse

from portal.networks.models import Network, Port
from sdn.model.cookie import Cause, CauseKind
from sdn.model.trace import Intent


def explain_causes(causes: Iterable[Cause]) -> dict[Cause, Intent]:
    """Each cause in words, in two queries; a row that is gone is said to be gone."""
    wanted = set(causes)
    port_ids = [cause.row_id for cause in wanted if cause.kind == CauseKind.PORT]
    network_ids = [cause.row_id for cause in wanted if cause.kind == CauseKind.NETWORK]
    ports = Port.objects.select_related("vm", "network").prefetch_related("addresses").in_bulk(port_ids)
    networks = Network.objects.in_bulk(network_ids)
    return {cause: _words(cause, ports, networks) for cause in wanted}


def _words(cause: Cause, ports: dict[int, Port], networks: dict[int, Network]) -> Intent:
    kind = cause.kind.name.lower()
    if cause.kind == CauseKind.SYSTEM:
        return Intent(kind, 0, "Hopsight's own pipeline, the same on every host")
    if cause.kind == CauseKind.PORT and cause.row_id in ports:
        port = ports[cause.row_id]
        address = next((row.address for row in port.addresses.all()), "no address")
        words = f"Port of {port.vm.name if port.vm else port.name} ({address}) on {port.network.name}"
        return Intent(kind, cause.row_id, words, _url("vm", port.vm.uuid) if port.vm else "")
    if cause.kind == CauseKind.NETWORK and cause.row_id in networks:
        network = networks[cause.row_id]
        return Intent(kind, cause.row_id, f"Network {network.name}, VNI {network.vni}", _url("networks"))
    return Intent(kind, cause.row_id, f"A {kind} that is no longer there (id {cause.row_id})")


def _url(name: str, *args: object) -> str:
    try:
        return reverse(name, args=args)
    except NoReverseMatch:
        return ""
