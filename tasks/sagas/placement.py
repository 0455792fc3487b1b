"""Choosing a host: fresh, taking VMs, with what the VM needs; of those the one with fewest of its group, then with most left.

The choice is told whole: the operation keeps each host with the reason why it was taken, passed over or not fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta

from django.conf import settings
from django.db.models import Count, Sum
from django.utils import timezone

from portal.compute.hardware import NO_CHECKSUMS
from portal.compute.models import VM, VMState
from portal.hosts.models import Host
from tasks.sagas.engine import StageError

FRESH_S = 15.0
LACKS = {"cpu_models": "CPU model", "machines": "machine", "disk_buses": "disk bus"}
GONE = (VMState.DELETING, VMState.DELETED)  # they hold their memory, but keep nobody apart


@dataclass(frozen=True, slots=True)
class Wish:
    """What a VM needs of its host. `vm_id` is left out of what hosts hold; `not_on` are names of hosts, `lacking` says of
    hosts by name what else is missing there."""

    ram_mib: int
    vcpus: int = 1
    vm_id: int = 0
    team_id: int = 0
    apart: str = ""
    apart_must: bool = False
    host: str = ""
    cpu_model: str = ""
    machine: str = "q35"
    disk_bus: str = "virtio"
    nic_models: frozenset[str] = frozenset()
    not_on: frozenset[str] = frozenset()
    lacking: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Seat:
    """A host as it stands for the wish. `refusal` is empty when it fits."""

    name: str
    ram_left_mib: int
    vcpus_used: int
    apart_vms: int
    refusal: str

    @property
    def words(self) -> str:
        together = f", {self.apart_vms} of its group on it" if self.apart_vms else ""
        return self.refusal or f"has {self.ram_left_mib} MiB memory left and {self.vcpus_used} vCPUs given{together}"


@dataclass(frozen=True, slots=True)
class Choice:
    host: Host
    seats: tuple[Seat, ...]
    because: str

    @property
    def words(self) -> str:
        return f"{self.host.name}: {self.because}"


def wish_of(vm: VM, not_on: frozenset[str] = frozenset()) -> Wish:
    """What the VM's row asks of a host."""
    return Wish(
        vm.ram_mib, vm.vcpus, vm.pk, vm.team_id, vm.apart, vm.apart_must, vm.wanted_host.name if vm.wanted_host else "",
        vm.cpu_model, vm.machine, vm.disk_bus, frozenset(vm.ports.values_list("model", flat=True)), not_on,
    )  # fmt: skip


def choose_host(wish: Wish) -> Choice:
    """The host for a VM. Runs in the caller's transaction, and holds the hosts' rows until it commits.
    Raises StageError that names every host and why it does not fit."""
    hosts = list(Host.objects.select_for_update(no_key=True).order_by("id"))
    seats = {host.pk: seat for host, seat in zip(hosts, seats_for(wish, hosts), strict=True)}
    fitting = [host for host in hosts if not seats[host.pk].refusal]
    if not fitting:
        refused = "; ".join(f"{seat.name} {seat.refusal}" for seat in seats.values())
        raise StageError("no host can take it: " + (refused or "there is no host yet"))
    best = min(fitting, key=lambda host: _rank(host, seats[host.pk]))
    return Choice(best, tuple(seats.values()), _because(wish, seats[best.pk], len(fitting), len(hosts)))


def seats_for(wish: Wish, hosts: list[Host]) -> list[Seat]:
    """Each host as it stands for the wish, in their order; asks two queries, locks nothing."""
    used = {
        row["host"]: (row["ram"] or 0, row["cpus"] or 0)
        for row in VM.objects.filter(host__isnull=False)
        .exclude(pk=wish.vm_id)
        .values("host")
        .annotate(ram=Sum("ram_mib"), cpus=Sum("vcpus"))
    }
    together: Mapping[int, int] = {}
    if wish.apart:
        group = VM.objects.filter(team_id=wish.team_id, apart=wish.apart, host__isnull=False)
        group = group.exclude(pk=wish.vm_id).exclude(state__in=GONE)
        together = dict(group.values("host").annotate(n=Count("id")).values_list("host", "n"))
    return [_seat(host, wish, *used.get(host.pk, (0, 0)), together.get(host.pk, 0)) for host in hosts]


def told_placement(choice: Choice) -> dict[str, object]:
    """Why the host was chosen, and what of the others, as an operation keeps it in `params["placement"]`."""
    told = [asdict(seat) | {"words": seat.words} for seat in choice.seats]
    return {"host": choice.host.name, "because": choice.because, "hosts": told}


def _seat(host: Host, wish: Wish, ram_used: int, vcpus_used: int, together: int) -> Seat:
    left = host.ram_mib - ram_used
    return Seat(host.name, max(left, 0), vcpus_used, together, _refusal(host, wish, left, vcpus_used, together))


def _rank(host: Host, seat: Seat) -> tuple[int, float, float, int]:
    return (
        seat.apart_vms, -(seat.ram_left_mib / host.ram_mib if host.ram_mib else 0),
        seat.vcpus_used / host.vcpus if host.vcpus else 0, host.pk,
    )  # fmt: skip


def _because(wish: Wish, best: Seat, fitting: int, all_: int) -> str:
    if wish.host:
        return "asked for by name"
    if fitting == 1:
        return f"the only one of {all_} that fits" if all_ > 1 else "the only host"
    apart = ""
    if wish.apart:
        apart = (
            f"fewest VMs of group {wish.apart} ({best.apart_vms}), then "
            if best.apart_vms
            else f"no VM of group {wish.apart} on it, then "
        )
    return f"{apart}most memory free ({best.ram_left_mib} MiB) of {fitting} that fit ({all_} in all)"


def _refusal(host: Host, wish: Wish, ram_left_mib: int, vcpus_used: int, together: int) -> str:
    if wish.host and host.name != wish.host:
        return f"is not {wish.host}, which was asked for"
    if host.name in wish.not_on:
        return "is where it is now"
    if host.in_maintenance:
        return "is in maintenance" + f" ({host.maintenance_note})" * bool(host.maintenance_note)
    if not host.enabled:
        return "takes no new VMs (an operator disabled it)"
    oldest = timezone.now() - timedelta(seconds=FRESH_S)
    if host.libvirt_seen_at is None or host.libvirt_seen_at < oldest:
        return f"is down ({host.libvirt_error or 'its libvirt was not seen lately'})"
    if ram_left_mib < wish.ram_mib:
        return f"has {max(ram_left_mib, 0)} MiB memory left of {host.ram_mib}, {wish.ram_mib} MiB are needed"
    most = host.vcpus * settings.VCPUS_PER_CPU
    if host.vcpus and vcpus_used + wish.vcpus > most:
        return f"has given {vcpus_used} of {most} vCPUs ({settings.VCPUS_PER_CPU} for each of its {host.vcpus} CPUs)"
    if wish.apart_must and together:
        return f"has a VM of group {wish.apart}, and they must be apart"
    return _lacks(host, wish) or wish.lacking.get(host.name, "")


def _lacks(host: Host, wish: Wish) -> str:
    """What the host's libvirt cannot give; one that has not told its capabilities is taken to offer the defaults."""
    can = host.capabilities
    wanted = (("cpu_models", wish.cpu_model), ("machines", wish.machine), ("disk_buses", wish.disk_bus))
    for name, value in wanted:
        if value and name in can and value not in can[name]:
            return f"offers no {LACKS[name]} {value} ({host.get_accelerator_display()})"
    if host.datapath_type == "netdev" and (left := wish.nic_models & NO_CHECKSUMS):
        return f"has a switch in user space, which makes no checksums for a NIC of model {min(left)}"
    return ""
