"""What a change of one static route comes to, and making it: the what-if's three ways, by the router page's own functions."""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext

from portal.networks.models import Router
from portal.networks.problems import Findings, NetworkProblem, parse_cidr
from portal.networks.router_requests import add_route, check_route, remove_route

ADD, REMOVE, REPLACE = "add", "remove", "replace"


def route_change(router: Router, destination: str, next_hop: str) -> tuple[str, str, str]:
    """(add, replace or remove; destination; next hop) of what was given; no next hop removes. Raises NetworkProblem."""
    findings = Findings()
    to = str(parse_cidr(destination, "destination", findings))
    findings.stop()
    there = router.routes.filter(destination=to).first()
    if next_hop.strip():
        checked = check_route(router, destination, next_hop, is_replacing=there is not None)
        if there is not None and checked[1] == there.next_hop:
            raise NetworkProblem(
                {"next_hop": [gettext("%(to)s goes by %(next_hop)s already") % {"to": to, "next_hop": there.next_hop}]}
            )
        return REPLACE if there is not None else ADD, *checked
    if there is None:
        raise NetworkProblem(
            {
                "next_hop": [
                    gettext("none was given, which removes a route, and %(router)s has none to %(to)s")
                    % {"router": router.name, "to": to}
                ]
            }
        )
    return REMOVE, to, ""


@transaction.atomic
def apply_route(router: Router, action: str, change: dict[str, str]) -> None:
    """Make the change. Raises NetworkProblem where the routes are not as they were when it was asked about."""
    there = router.routes.filter(destination=change["destination"]).first()
    if there is None and action != ADD:
        raise NetworkProblem(
            {
                "destination": [
                    gettext("the route to %(change)s is gone: somebody removed it") % {"change": change["destination"]}
                ]
            }
        )
    if there is not None and action != ADD:
        remove_route(there)
    if action != REMOVE:
        add_route(router, change["destination"], change["next_hop"])
