"""Mirrors of ports: copies of what a VM's port sends or receives, for another port of the same team (ADR 9)."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext

from portal.accounts.audit import record
from portal.accounts.models import Team, User
from portal.compute.models import VM
from portal.networks.choices import port_named
from portal.networks.intent import NO_PORT, bump_generation
from portal.networks.models import Mirror, Port, PortKind
from portal.networks.numbers import next_mirror_vni
from portal.networks.owners import owner_of
from portal.networks.problems import Findings, shown

DIRECTIONS: dict[str, tuple[bool, bool]] = {"both": (True, True), "sends": (True, False), "receives": (False, True)}
MOST_TO_ONE = 16  # ports that one receiver watches: it has to take all of their packets


@dataclass(frozen=True, slots=True)
class MirrorSpec:
    """Where copies go, and of what: `what` is a key of DIRECTIONS, seen from the watched guest. No target was not found."""

    target: Port | None
    what: str = "both"


@transaction.atomic
def set_mirror(source: Port, spec: MirrorSpec, actor: User | None = None) -> Mirror:
    """The port's mirror, new or changed, in force at once; audited. Raises NetworkProblem with everything that is wrong."""
    bump_generation(NO_PORT)
    findings = Findings()
    _check(source, spec, findings)
    findings.stop()
    assert spec.target is not None
    row = Mirror.objects.filter(source=source).select_related("target__vm").first()
    before, had = _told(row), [row.target] if row else []
    row = row or Mirror(source=source, vni=next_mirror_vni())
    row.target, (row.sends, row.receives) = spec.target, DIRECTIONS[spec.what]
    row.save()
    _record("port.mirror", source, actor, before=before, after=_told(row))
    _changed(source, spec.target, *had)
    return row


@transaction.atomic
def end_mirror(row: Mirror, actor: User | None = None) -> None:
    """No copies from now on; audited."""
    bump_generation(NO_PORT)
    _record("port.mirror_end", row.source, actor, before=_told(row))
    ends = row.source, row.target
    row.delete()
    _changed(*ends)


def mirrors_of(team: Team) -> QuerySet[Mirror]:
    """The team's mirrors, with what is told of them."""
    rows = Mirror.objects.filter(source__vm__team=team)
    ends = [f"{end}__{path}" for end in ("source", "target") for path in ("vm", "network", "host")]
    return rows.select_related(*ends).prefetch_related("source__addresses", "target__addresses").order_by("pk")


def mirrorable(team: Team) -> QuerySet[Port]:
    """The ports that may be watched, and that may receive copies: those of the team's VMs."""
    rows = Port.objects.filter(vm__team=team, kind=PortKind.VM).select_related("vm", "network")
    return rows.prefetch_related("addresses").order_by("vm__name", "pk")


def port_of(team: Team, text: str) -> Port | None:
    """The team's VM's port of that uuid, address or name; None where there is none."""
    return port_named(mirrorable(team), text)


def what_of(row: Mirror) -> str:
    """The mirror's key of DIRECTIONS."""
    return next(name for name, both in DIRECTIONS.items() if both == (row.sends, row.receives))


def mirror_words(row: Mirror) -> str:
    """`Mirror of web-1 to ids-1: what it sends and receives`."""
    what = {"both": "sends and receives", "sends": "sends", "receives": "receives"}[what_of(row)]
    return f"Mirror of {_name(row.source)} to {_name(row.target)}: what it {what}"


def mirror_lines(vm: VM) -> list[str]:
    """The mirrors of the VM's ports and to them, each as a sentence."""
    rows = Mirror.objects.filter(Q(source__vm=vm) | Q(target__vm=vm)).select_related("source__vm", "target__vm")
    return [mirror_words(row) for row in rows]


def _check(source: Port, spec: MirrorSpec, findings: Findings) -> None:
    team, target = owner_of(source), spec.target
    if source.vm is None:
        findings.add("watch", gettext("%(source)s is no VM's port: only those are mirrored") % {"source": source.name})
    if spec.what not in DIRECTIONS:
        findings.add(
            "what",
            gettext("%(what)s was given; %(directions)s are allowed")
            % {"what": shown(spec.what), "directions": ", ".join(DIRECTIONS)},
        )
    if target is None or target.vm is None or owner_of(target).pk != team.pk:
        findings.add(
            "to",
            gettext("%(team)s has no VM with such a port: copies go to a port of the same team's VMs")
            % {"team": team.name},
        )
    elif target.pk == source.pk:
        findings.add(
            "to",
            gettext("%(source)s was given, which is the watched port itself: choose another one")
            % {"source": _name(source)},
        )
    elif Mirror.objects.filter(target=target).exclude(source=source).count() >= MOST_TO_ONE:
        findings.add(
            "to",
            gettext("%(target)s watches %(most_to_one)s ports already, which is all that one port may")
            % {"target": _name(target), "most_to_one": MOST_TO_ONE},
        )


def _name(port: Port) -> str:
    return port.vm.name if port.vm else port.name


def _told(row: Mirror | None) -> dict[str, str] | None:
    return {"to": _name(row.target), "what": what_of(row)} if row is not None else None


def _record(action: str, source: Port, actor: User | None, **change: dict[str, str] | None) -> None:
    what = ("vm", str(source.vm.uuid), source.vm.name) if source.vm else ("port", str(source.uuid), source.name)
    record(action, owner_of(source), actor, what, **change)


def _changed(*ports: Port) -> None:
    """Tell the pages of the ends' VMs."""
    from portal.live.publishers import vm_changed  # it serialises VMs, which know their ports

    for vm in {port.vm.pk: port.vm for port in ports if port.vm is not None}.values():
        vm_changed(vm)
