"""Rate limits of a port: checked whole, stored in one transaction, in force at once on a running VM."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.utils.translation import gettext

from portal.accounts.audit import record
from portal.accounts.models import User
from portal.networks.intent import bump_generation, only_ports
from portal.networks.models import Port
from portal.networks.owners import owner_of
from portal.networks.problems import Findings

LEAST_KBPS, MOST_KBPS = 64, 40_000_000
LEAST_BURST_KBIT = 100  # some full packets: less, and a meter lets next to nothing through
DIRECTIONS = ("sends", "receives")  # of the guest


@dataclass(frozen=True, slots=True)
class LimitSpec:
    """One direction's limit as it was asked for; no rate is no limit, no burst is a quarter of a second's."""

    kbps: int | None = None
    burst_kbit: int | None = None


@transaction.atomic
def set_port_limits(port: Port, sends: LimitSpec, receives: LimitSpec, actor: User | None = None) -> None:
    """The port's limits, whole; audited. Raises NetworkProblem with everything that is wrong."""
    bump_generation(only_ports([port.pk]))
    findings = Findings()
    for direction, spec in zip(DIRECTIONS, (sends, receives), strict=True):
        _check(direction, spec, findings)
    findings.stop()
    before = limits_of(port)
    for direction, spec in zip(DIRECTIONS, (sends, receives), strict=True):
        burst = spec.burst_kbit or (max(spec.kbps // 4, LEAST_BURST_KBIT) if spec.kbps else None)
        setattr(port, f"{direction}_kbps", spec.kbps)
        setattr(port, f"{direction}_burst_kbit", burst)
    port.save(update_fields=[f"{direction}_{name}" for direction in DIRECTIONS for name in ("kbps", "burst_kbit")])
    what = ("vm", str(port.vm.uuid), port.vm.name) if port.vm else ("port", str(port.uuid), port.name)
    record("port.limits", owner_of(port), actor, what, before=before, after=limits_of(port))


def limits_of(port: Port) -> dict[str, int | None]:
    """The port's limits by column."""
    return {
        f"{direction}_{name}": getattr(port, f"{direction}_{name}")
        for direction in DIRECTIONS
        for name in ("kbps", "burst_kbit")
    }


def _check(direction: str, spec: LimitSpec, findings: Findings) -> None:
    if spec.kbps is not None and not LEAST_KBPS <= spec.kbps <= MOST_KBPS:
        findings.add(
            f"{direction}_kbps",
            gettext("%(kbps)s was given; %(least_kbps)s to %(most_kbps)s kbit/s are allowed")
            % {"kbps": spec.kbps, "least_kbps": LEAST_KBPS, "most_kbps": MOST_KBPS},
        )
    if spec.burst_kbit is None:
        return
    if spec.kbps is None:
        findings.add(
            f"{direction}_burst_kbit",
            gettext("%(burst_kbit)s was given without a rate: a burst is of a rate") % {"burst_kbit": spec.burst_kbit},
        )
    if not LEAST_BURST_KBIT <= spec.burst_kbit <= MOST_KBPS:
        findings.add(
            f"{direction}_burst_kbit",
            gettext("%(burst_kbit)s was given; %(least_burst_kbit)s to %(most_kbps)s kbit are allowed")
            % {"burst_kbit": spec.burst_kbit, "least_burst_kbit": LEAST_BURST_KBIT, "most_kbps": MOST_KBPS},
        )
