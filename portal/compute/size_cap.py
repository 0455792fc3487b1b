"""The largest VM that a team may have. It is asked where a VM gets a size or grows; one that is larger already may stay and shrink."""

from __future__ import annotations

from django.db.models import Max
from django.utils.translation import gettext, gettext_noop

from portal.accounts.models import Team


def over_cap(team: Team, vcpus: int, ram_mib: int, disk_gib: int) -> list[str]:
    """Why the team has no VM of that size; 0 is what does not grow."""
    checks = (
        ("vCPU", vcpus, team.max_vm_vcpus, ""),
        ("RAM", ram_mib, team.max_vm_ram_mib, " MiB"),
        (gettext_noop("disk"), disk_gib, team.max_vm_disk_gib, " GiB"),
    )
    return [
        gettext(
            "too large for one VM: %(wanted)s%(unit)s %(what)s asked, one of %(team)s has at most %(limit)s%(unit)s"
        )
        % {"wanted": wanted, "unit": unit, "what": gettext(what), "team": team.name, "limit": limit}
        for what, wanted, limit, unit in checks
        if wanted > limit
    ]


def largest_vm(team: Team) -> dict[str, int]:
    """What the team's largest VMs have, by the names of their limits without `max_`."""
    found = team.vms.aggregate(vm_vcpus=Max("vcpus"), vm_ram_mib=Max("ram_mib"), vm_disk_gib=Max("disk_gib"))
    return {name: value or 0 for name, value in found.items()}
