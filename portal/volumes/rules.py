"""What can be done with a volume now, and why not. Page, API and requests read this."""

from __future__ import annotations

from django.db.models import prefetch_related_objects
from django.utils.translation import gettext

from portal.compute.actions import OFF
from portal.compute.changes import changes_of
from portal.compute.models import VM
from portal.config.told import told
from portal.snapshots.requests import left_out_words, team_refusal
from portal.volumes.models import Bus, Volume, VolumeState
from portal.volumes.quota import MOST_VOLUMES, away, busy_words

CHANGES = ("attach", "detach", "grow", "clone", "delete", "snapshot")
MOST_SNAPSHOTS = 16  # of its own: each is one more file to look through for every block that is read


def refusals_of(volume: Volume) -> dict[str, str]:
    """Each change's name with the reason that forbids it now, or ""."""
    busy = busy_words(volume)
    prefetch_related_objects([volume], "moments__snapshot")
    return {name: busy or _refusal(volume, name) for name in CHANGES}


def chain_refusal(volume: Volume) -> str:
    """Why the files of its chain cannot be changed now: none is made, merged or gone back to."""
    if reason := busy_words(volume) or _refusal(volume, "chain"):
        return reason
    if volume.vm is not None and volume.vm.rescue_image_id:
        return f"{volume.vm.name}: " + gettext("it is in rescue: end the rescue first")
    return left_out_words(volume)


def attach_refusal(vm: VM, volume: Volume, bus: str) -> str:
    """Why this VM cannot have that volume by that bus now."""
    pool = volume.pool
    if pool is not None and vm.host_id != pool.host_id:
        return gettext(
            "%(volume)s lies on %(host)s, and %(vm)s is on %(host2)s: a volume goes to another host only with a VM that has it"
        ) % {"volume": volume.name, "host": pool.host.name, "vm": vm.name, "host2": vm.host}
    return vm_refusal(vm, bus)


def vm_refusal(vm: VM, bus: str) -> str:
    """Why the VM takes no further volume by that bus now."""
    if bus == "ide":
        return gettext("its machine (q35) has no IDE: sata is the emulated bus")
    if bus not in Bus.values:
        return gettext("“%(bus)s” was given; %(values)s are allowed") % {
            "bus": bus[:20],
            "values": ", ".join(Bus.values),
        }
    if reason := changes_of(vm)["volumes"]:
        return f"{vm.name}: {reason}"
    if vm.volumes.count() >= MOST_VOLUMES:
        return gettext("%(vm)s has %(most_volumes)s volumes; that is the most") % {
            "vm": vm.name,
            "most_volumes": MOST_VOLUMES,
        }
    return _hot_refusal(vm, bus)


def _refusal(volume: Volume, name: str) -> str:
    if volume.state in (VolumeState.CREATING, VolumeState.DELETING):
        return gettext("it is %(state)s") % {"state": str(volume.get_state_display()).lower()}
    vm = volume.vm
    if vm is None:
        return (
            away(volume)
            or (gettext("it is attached to nothing") if name == "detach" else "")
            or _of_its_own(volume, name)
        )
    if name in ("attach", "delete"):
        return gettext("it is attached to %(vm)s: detach it first") % {"vm": vm.name}
    if reason := changes_of(vm)["volumes"]:
        return f"{vm.name}: {reason}"
    if name == "detach" and (names := [one.snapshot.name for one in volume.moments.all() if one.snapshot]):
        return gettext("it is in snapshots of %(vm)s, which would have no way back for it: delete %(names)s first") % {
            "vm": vm.name,
            "names": ", ".join(names),
        }
    if name == "clone" and vm.state not in OFF:
        return gettext("%(vm)s may write to it: shut %(vm)s down, or detach it first") % {"vm": vm.name}
    return (_hot_refusal(vm, volume.bus) if name == "detach" else "") or _of_its_own(volume, name)


def _of_its_own(volume: Volume, name: str) -> str:
    """What it is itself that is against the change, whoever has it."""
    if never := _never(volume, name):
        return never
    own = [one.name for one in volume.moments.all() if one.snapshot_id is None]
    if name == "delete" and own:
        return gettext("it has snapshots: delete %(names)s first") % {"names": ", ".join(own)}
    return _snapshot_refusal(volume, len(own)) if name == "snapshot" else ""


def _snapshot_refusal(volume: Volume, own: int) -> str:
    if volume.vm is not None and volume.vm.rescue_image_id:
        return f"{volume.vm.name}: " + gettext("it is in rescue: end the rescue first")
    if own >= MOST_SNAPSHOTS:
        return gettext("it has %(most)s snapshots; that is the most: delete one first") % {"most": MOST_SNAPSHOTS}
    return left_out_words(volume) or team_refusal(volume.team)


def _never(volume: Volume, name: str) -> str:
    """Why its pool's kind cannot do that at all."""
    return told(volume.pool.can.no_growing) if volume.pool is not None and name == "grow" else ""


def _hot_refusal(vm: VM, bus: str) -> str:
    if bus == Bus.SATA and vm.state not in OFF:
        return gettext("%(vm)s runs, and a SATA disk is not hot-plugged: shut it down first, or take a virtio bus") % {
            "vm": vm.name
        }
    return ""
