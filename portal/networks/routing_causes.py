"""Why a flow of a router exists, in words."""

from __future__ import annotations

from collections.abc import Iterable

from portal.config.links import link
from portal.networks.models import ExternalNetwork, FloatingAddress, Router
from sdn.model.cookie import Cause, CauseKind
from sdn.model.trace import Intent


def explain_routing(causes: Iterable[Cause]) -> dict[Cause, Intent]:
    """The causes that are routers, external networks and floating addresses, as far as their rows are there."""
    ids: dict[CauseKind, list[int]] = {}
    for cause in causes:
        ids.setdefault(cause.kind, []).append(cause.row_id)
    found: dict[Cause, Intent] = {}
    for router in Router.objects.filter(id__in=ids.get(CauseKind.ROUTER, ())).select_related("gateway_host", "team"):
        found[Cause(CauseKind.ROUTER, router.id)] = _router(router)
    for external in ExternalNetwork.objects.filter(id__in=ids.get(CauseKind.EXTERNAL_NETWORK, ())):
        words = f"External network {external.name}, {external.cidr}"
        cause = Cause(CauseKind.EXTERNAL_NETWORK, external.id)
        found[cause] = Intent("external_network", external.id, words, link("routers"))
    rows = FloatingAddress.objects.filter(id__in=ids.get(CauseKind.FLOATING_ADDRESS, ()))
    for floating in rows.select_related("address", "fixed__port__vm", "team"):
        found[Cause(CauseKind.FLOATING_ADDRESS, floating.id)] = _floating(floating)
    return found


def _router(router: Router) -> Intent:
    by = f", outside by {router.gateway_host}" if router.gateway_host else ""
    return Intent("router", router.id, f"Router {router.name}{by}", link("router", router.uuid), router.team.slug)


def _floating(floating: FloatingAddress) -> Intent:
    fixed = floating.fixed
    name = (fixed.port.vm.name if fixed.port.vm else fixed.port.name) if fixed else ""
    words = f"Floating address {floating} of {name} ({fixed.address})" if fixed else f"Floating address {floating}"
    return Intent("floating_address", floating.id, words, link("floating"), floating.team.slug)
