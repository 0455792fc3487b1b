"""Floating addresses: taken for a team, given to a VM, taken from it, released."""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext

from portal.accounts.models import Team
from portal.networks.audited import audit
from portal.networks.external_requests import take_address
from portal.networks.intent import NO_PORT, bump_generation
from portal.networks.models import ExternalNetwork, FixedAddress, FloatingAddress, Port, Router
from portal.networks.problems import Findings, NetworkProblem
from portal.networks.quota import floating_refusal
from portal.networks.router_models import family_of


def allocate_floating(team: Team, external: ExternalNetwork, address: str = "", family: int = 4) -> FloatingAddress:
    """A floating address of the team, standing for nothing yet; of the family, where none is named. Raises NetworkProblem."""
    with transaction.atomic():
        bump_generation(NO_PORT)
        if refused := floating_refusal(team):
            raise NetworkProblem({"external": [refused]})
        made = FloatingAddress.objects.create(team=team, address=take_address(external, address, family))
        audit("allocate", made, after={"external": external.name})
        return made


def release_floating(floating: FloatingAddress) -> None:
    """Give it back to its network; what it stood for is no longer reached by it."""
    with transaction.atomic():
        bump_generation(NO_PORT)
        address = floating.address
        audit("release", floating)
        floating.delete()
        address.delete()


def associate(floating: FloatingAddress, port: Port) -> None:
    """Let it stand for the port's first address of its family. Raises NetworkProblem about the field `port`."""
    with transaction.atomic():
        bump_generation(NO_PORT)
        fixed, router = _way_out(port, floating.family)
        if router.external_id != floating.address.network_id:
            raise NetworkProblem(
                {
                    "port": [
                        gettext("%(port)s's router leads to %(external)s, and %(floating)s is one of %(network)s")
                        % {
                            "port": port.name,
                            "external": router.external,
                            "floating": floating,
                            "network": floating.address.network,
                        }
                    ]
                }
            )
        other = FloatingAddress.objects.filter(fixed=fixed).exclude(pk=floating.pk).select_related("address").first()
        if other is not None:
            raise NetworkProblem(
                {
                    "port": [
                        gettext("%(port)s has the floating address %(other)s already: take that one first")
                        % {"port": port.name, "other": other}
                    ]
                }
            )
        floating.fixed = fixed
        floating.save(update_fields=["fixed"])
        audit("give", floating, after={"port": port.name, "fixed": fixed.address})


def disassociate(floating: FloatingAddress) -> None:
    """It stands for nothing; connections through it stop at once."""
    with transaction.atomic():
        bump_generation(NO_PORT)
        audit("take", floating, before={"fixed": floating.fixed.address if floating.fixed else None})
        floating.fixed = None
        floating.save(update_fields=["fixed"])


def give_floating(team: Team, port: Port, family: int = 4) -> FloatingAddress:
    """The one click: a free floating address of the team, else a new one, for the port's address of that family.

    Raises NetworkProblem.
    """
    with transaction.atomic():
        bump_generation(NO_PORT)
        fixed, router = _way_out(port, family)
        present = FloatingAddress.objects.filter(fixed=fixed).select_related("address").first()
        if present is not None:
            return present
        assert router.external is not None
        idle = FloatingAddress.objects.filter(team=team, fixed=None, address__network=router.external)
        of_family = (row for row in idle.select_related("address") if row.family == family)
        floating = next(of_family, None) or allocate_floating(team, router.external, family=family)
        associate(floating, port)
        return floating


def _way_out(port: Port, family: int) -> tuple[FixedAddress, Router]:
    """The address and the router that a floating address needs. Raises NetworkProblem, saying what is missing."""
    findings = Findings()
    rows = FixedAddress.objects.filter(port=port).select_related("subnet__router_port__router__external")
    fixed = next((row for row in rows if family_of(row.address) == family), None)
    router = fixed.subnet.router_port.router if fixed is not None and hasattr(fixed.subnet, "router_port") else None
    if fixed is None:
        findings.add(
            "port", gettext("%(port)s has no IPv%(family)s address yet") % {"port": port.name, "family": family}
        )
    elif router is None:
        findings.add(
            "port",
            gettext("no router is attached to %(cidr)s: attach one that leads to an external network")
            % {"cidr": fixed.subnet.cidr},
        )
    elif router.external is None:
        findings.add(
            "port",
            gettext("router %(router)s leads to no external network: set one on its page") % {"router": router.name},
        )
    elif family not in router.external.families:
        findings.add(
            "port",
            gettext("%(external)s, where %(router)s leads, has no IPv6: an operator gives it a /64")
            % {"external": router.external, "router": router.name},
        )
    findings.stop()
    assert fixed is not None and router is not None
    return fixed, router


def floating_choices(port: Port | None) -> list[tuple[int, str]]:
    """Each family that the port's router has floating addresses of, IPv4 always, with the one that it has, or ""."""
    if port is None:
        return [(4, "")]
    rows = FloatingAddress.objects.filter(fixed__port=port).select_related("address")
    found = {row.family: row.address.address for row in rows}
    if (
        6 not in found
        and ExternalNetwork.objects.filter(routers__ports__subnet__addresses__port=port)
        .exclude(cidr6="")
        .exclude(gateway=None)
        .exists()
    ):
        found[6] = ""
    return sorted({4: "", **found}.items())
