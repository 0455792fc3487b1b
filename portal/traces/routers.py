"""Packets that a router sends: to a VM of a subnet that it has a leg in, or outside."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from django.utils.translation import gettext

from portal.accounts.models import Team
from portal.networks.models import Port, Router, Subnet

Errors = dict[str, list[str]]
SENT = ("icmp", "tcp", "udp", "sctp")
SHOWN_CHARS = 60


def router_named(team: Team, name: str) -> tuple[Router | None, str]:
    """(router, problem) of the team's router with that name."""
    found = Router.objects.filter(team=team, name=name).first()
    if found is not None:
        return found, ""
    have = ", ".join(Router.objects.filter(team=team).values_list("name", flat=True)[:6]) or "none"
    return None, gettext("router %(name)s was given; %(team)s has %(have)s") % {
        "name": f"{name[:SHOWN_CHARS]!r}",
        "team": team.name,
        "have": have,
    }


def leg_to(router: Router, target: Port | None, address: str) -> Subnet | None:
    """The subnet, of those that the router has a leg in, that the target's address is of; for one outside any of its family."""
    subnets = [leg.subnet for leg in router.ports.select_related("subnet__network").order_by("id")]
    if target is None:
        version = ip_address(address).version
        return next((one for one in subnets if ip_network(one.cidr).version == version), None)
    own = [row.address for row in target.addresses.all()]
    wanted = [address] if address else sorted(own, key=lambda one: ":" in one)
    mine = [one for one in subnets if one.network_id == target.network_id]
    return next((one for text in wanted for one in mine if ip_address(text) in ip_network(one.cidr)), None)


def router_errors(team: Team, router: Router, target: Port | None, address: str, protocol: str) -> Errors:
    """What is wrong with a packet of a router; the rest of the question is checked like any other's."""
    errors: Errors = {}
    if router.team_id != team.pk:
        errors["router"] = [gettext("that is no router of %(team)s") % {"team": team.name}]
        return errors
    if protocol not in SENT:
        errors["protocol"] = [
            gettext("%(protocol)s was given; a router's %(sent)s is followed")
            % {"protocol": protocol[:SHOWN_CHARS], "sent": ", ".join(SENT)}
        ]
    if target is None and not address:
        return errors  # said of the target already
    subnet = leg_to(router, target, address)
    if target is None and router.external is None:
        errors["target"] = [
            gettext("%(router)s leads to no external network: it sends nothing to %(address)s")
            % {"router": router.name, "address": address}
        ]
    elif subnet is None:
        errors["target"] = [
            gettext("%(router)s has no leg in a subnet of %(target)s: attach one first")
            % {"router": router.name, "target": target.name if target else gettext("that family")}
        ]
    elif target is not None and not subnet.network.vni:
        errors["target"] = [
            gettext("%(target)s is on a provider network, whose packets are not the tunnels': ask from a VM")
            % {"target": target.name}
        ]
    return errors
