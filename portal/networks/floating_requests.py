"""Floating addresses: taken for a team, given to a VM, taken from it, released."""

from __future__ import annotations

from django.db import transaction

from portal.accounts.models import Team
from portal.networks.audited import audit
from portal.networks.external_requests import take_address
from portal.networks.intent import NO_PORT, bump_generation
from portal.networks.models import ExternalNetwork, FixedAddress, FloatingAddress, Port, Router
from portal.networks.problems import Findings, NetworkProblem


def allocate_floating(team: Team, external: ExternalNetwork, address: str = "") -> FloatingAddress:
    """A floating address of the team, standing for nothing yet. Raises NetworkProblem."""
    with transaction.atomic():
        bump_generation(NO_PORT)
        made = FloatingAddress.objects.create(team=team, address=take_address(external, address))
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
    """Let it stand for the port's first IPv4 address. Raises NetworkProblem about the field `port`."""
    with transaction.atomic():
        bump_generation(NO_PORT)
        fixed, router = _way_out(port)
        if router.external_id != floating.address.network_id:
            raise NetworkProblem(
                {
                    "port": [
                        f"{port.name}'s router leads to {router.external}, and {floating} is one of {floating.address.network}"
                    ]
                }
            )
        other = FloatingAddress.objects.filter(fixed=fixed).exclude(pk=floating.pk).select_related("address").first()
        if other is not None:
            raise NetworkProblem(
                {"port": [f"{port.name} has the floating address {other} already: take that one first"]}
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


def give_floating(team: Team, port: Port) -> FloatingAddress:
    """The one click: a free floating address of the team, else a new one, for the port. Raises NetworkProblem."""
    with transaction.atomic():
        bump_generation(NO_PORT)
        fixed, router = _way_out(port)
        present = FloatingAddress.objects.filter(fixed=fixed).select_related("address").first()
        if present is not None:
            return present
        assert router.external is not None
        idle = FloatingAddress.objects.filter(team=team, fixed=None, address__network=router.external).first()
        floating = idle or allocate_floating(team, router.external)
        associate(floating, port)
        return floating


def _way_out(port: Port) -> tuple[FixedAddress, Router]:
    """The address and the router that a floating address needs. Raises NetworkProblem, saying what is missing."""
    findings = Findings()
    rows = FixedAddress.objects.filter(port=port).select_related("subnet__router_port__router__external")
    fixed = next((row for row in rows if ":" not in row.address), None)
    router = fixed.subnet.router_port.router if fixed is not None and hasattr(fixed.subnet, "router_port") else None
    if fixed is None:
        findings.add("port", f"{port.name} has no IPv4 address yet")
    elif router is None:
        findings.add(
            "port", f"no router is attached to {fixed.subnet.cidr}: attach one that leads to an external network"
        )
    elif router.external is None:
        findings.add("port", f"router {router.name} leads to no external network: set one on its page")
    findings.stop()
    assert fixed is not None and router is not None
    return fixed, router
