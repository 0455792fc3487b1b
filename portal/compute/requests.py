"""Asking for VMs and for their end: checked and stored in one transaction under the team's row lock."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, Max, Q, Sum
from django.utils import timezone
from django.utils.translation import gettext, gettext_noop

from portal.accounts.models import Team, User
from portal.compute.hardware import NO_CHECKSUMS, USUAL, Hardware, hardware_problems, switch_refusal
from portal.compute.models import VM, Flavor, Image, KeyPair, VMState
from portal.compute.size_cap import over_cap
from portal.compute.user_data import user_data_problems
from portal.hosts.models import Host
from portal.live.publishers import vm_changed
from portal.networks.groups import suggested_groups
from portal.networks.intent import Touched, bump_generation, lock_intent
from portal.networks.ipam import AddressProblem, allocate_port, check_address
from portal.networks.models import Network, Port, SecurityGroup
from portal.networks.owners import usable_networks
from portal.operations.models import Operation, OperationState
from portal.operations.requests import Subject, begin_operation
from portal.snapshots.models import Snapshot
from portal.volumes.with_vm import NONE_ASKED, VolumesAsked, make_rows, volume_errors

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
APART = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
MAX_LEASE_DAYS = 3650
GIVEN_UP = (OperationState.FAILED, OperationState.CANCELLED)


@dataclass(frozen=True)
class VMSpec:
    """What a person asks for."""

    name: str
    image: Image | None
    flavor: Flavor | None
    network: Network | None
    request_key: str
    key: KeyPair | None = None
    user_data: str = ""
    address: str | None = None
    groups: tuple[SecurityGroup, ...] | None = None  # None: as the person's last VM
    hardware: Hardware = USUAL
    host: str = ""  # none: the best one
    apart: str = ""  # the team's VMs with the same word lie on different hosts
    apart_must: bool = False
    lease_days: int = 0
    is_autostarted: bool = False
    volumes: VolumesAsked = NONE_ASKED

    def as_asked(self) -> dict[str, Any]:
        """What a retry needs: kept with the operation until it is done."""
        return {
            "name": self.name,
            "image": self.image.slug if self.image else "",
            "flavor": self.flavor.name if self.flavor else "",
            "network": self.network.pk if self.network else 0,
            "key": self.key.pk if self.key else None,
            "user_data": self.user_data,
            "address": self.address,
            "groups": None if self.groups is None else [group.name for group in self.groups],
            "hardware": asdict(self.hardware),
            "host": self.host,
            "apart": self.apart,
            "apart_must": self.apart_must,
            "lease_days": self.lease_days,
            "is_autostarted": self.is_autostarted,
            "volumes": self.volumes.as_asked(),
        }


@dataclass(frozen=True)
class Creation:
    vm: VM
    operation: Operation


@dataclass(frozen=True)
class Use:
    """What a team uses, and its limits; in the order of the page's bars."""

    vcpus: int
    ram_mib: int
    disk_gib: int
    vms: int


# What may be done to a VM whose domain somebody else defined: its power, and to take it over and let it go.
OF_ADOPTED = frozenset({
    "vm.adopt", "vm.let_go", "vm.start", "vm.stop", "vm.reboot", "vm.reset", "vm.suspend", "vm.resume", "vm.force_off", "vm.autostart",
})  # fmt: skip


class VMProblem(Exception):
    """The VM cannot be made or removed. `errors` holds field → sentences, all at once."""

    def __init__(self, errors: dict[str, list[str]]) -> None:
        super().__init__("; ".join(line for lines in errors.values() for line in lines))
        self.errors = errors


def use_of(team: Team) -> Use:
    """The sum over the team's VM rows; a snapshot may hold as much as the disk did."""
    rows = team.vms.aggregate(v=Sum("vcpus"), r=Sum("ram_mib"), d=Sum("disk_gib"), n=Count("id"))
    kept = Snapshot.objects.filter(vm__team=team).aggregate(d=Sum("disk_gib"))["d"] or 0
    return Use(rows["v"] or 0, rows["r"] or 0, (rows["d"] or 0) + kept, rows["n"])


def over_quota(team: Team, use: Use, flavor: Flavor) -> list[str]:
    """Why a VM of that size is none for the team; empty when it is."""
    return over_quota_of(team, use, Use(flavor.vcpus, flavor.ram_mib, flavor.disk_gib, 1))


def over_quota_of(team: Team, use: Use, vm: Use) -> list[str]:
    """Why one more VM, which has so much, does not fit the team's quota, or is larger than one may be."""
    return over_quota_by(team, use, vm) + over_cap(team, vm.vcpus, vm.ram_mib, vm.disk_gib)


def over_quota_by(team: Team, use: Use, more: Use) -> list[str]:
    """Why so much more does not fit the team's quota; what grows by nothing never is the reason."""
    checks = (
        ("vCPU", use.vcpus, more.vcpus, team.max_vcpus, ""),
        ("RAM", use.ram_mib, more.ram_mib, team.max_ram_mib, " MiB"),
        (gettext_noop("disk"), use.disk_gib, more.disk_gib, team.max_disk_gib, " GiB"),
        (gettext_noop("VMs"), use.vms, more.vms, team.max_vms, ""),
    )
    return [
        gettext("over quota: %(wanted)s%(unit)s %(what)s asked, %(left)s%(unit)s of %(limit)s%(unit)s left")
        % {"wanted": wanted, "unit": unit, "what": gettext(what), "left": max(0, limit - used), "limit": limit}
        for what, used, wanted, limit, unit in checks
        if wanted > 0 and used + wanted > limit
    ]


def rescue_image(team: Team) -> Image | None:
    """What a VM in rescue boots from: the first image whose kernel the host gives, so that no disk of its own is in the way."""
    rows = Image.objects.filter(Q(team=None) | Q(team=team), boot=Image.Boot.KERNEL)
    return rows.order_by("id").first()


def largest_host_ram_mib() -> int | None:
    """Memory of the biggest enabled host that told its size; None when none did yet."""
    found: int = Host.objects.filter(enabled=True, in_maintenance=False).aggregate(most=Max("ram_mib"))["most"] or 0
    return found or None


def create_vm(team: Team, user: User, spec: VMSpec) -> Creation:
    """The VM and its operation. The same request_key again gives the same VM. Raises VMProblem, and then nothing is stored."""
    with transaction.atomic():
        lock_intent()
        locked = Team.objects.select_for_update(no_key=True).get(pk=team.pk)
        known = VM.objects.filter(team=locked, request_key=spec.request_key).first()
        if known is not None:
            first = Operation.objects.filter(object_uuid=known.uuid, kind="vm.create").latest("id")
            return Creation(known, first)
        errors = check_spec(locked, user, spec)
        if errors:
            raise VMProblem(errors)
        vm = _store(locked, user, spec)
        try:
            assert spec.network is not None
            suggested = suggested_groups(locked, user) if spec.groups is None else spec.groups
            port = allocate_port(spec.network, name=spec.name, vm=vm, address=spec.address)
            port.groups.set(suggested)
            if port.model != spec.hardware.nic_model:
                Port.objects.filter(pk=port.pk).update(model=spec.hardware.nic_model)
        except AddressProblem as problem:
            raise VMProblem({"address" if spec.address else "network": [str(problem)]}) from None
        new = make_rows(vm, user, spec.volumes)
        operation = start_operation("vm.create", vm, user, {"asked": spec.as_asked(), "new_volumes": new})
        bump_generation(Touched(frozenset({port.id})))
        vm_changed(vm)
        return Creation(vm, operation)


def delete_vm(vm: VM, user: User | None) -> Operation:
    """The operation that removes the VM; asked twice it is the same one. Raises VMProblem for a protected one."""
    with transaction.atomic():
        Team.objects.select_for_update(no_key=True).get(pk=vm.team_id)
        fresh = VM.objects.select_related("team", "host", "image", "flavor").get(pk=vm.pk)
        running = Operation.objects.filter(object_uuid=fresh.uuid, kind="vm.delete").exclude(state__in=GIVEN_UP).first()
        if running is not None:
            return running
        if fresh.is_protected:
            raise VMProblem(
                {
                    "vm": [
                        gettext("%(fresh)s is protected from being deleted: take the protection off first")
                        % {"fresh": fresh.name}
                    ]
                }
            )
        if fresh.adopted:
            raise VMProblem(
                {
                    "vm": [
                        gettext("%(fresh)s: %(why_not_changed)s. An operator can let it go.")
                        % {"fresh": fresh.name, "why_not_changed": fresh.why_not_changed}
                    ]
                }
            )
        fresh.state = VMState.DELETING
        fresh.save(update_fields=["state"])
        operation = start_operation("vm.delete", fresh, user)
        vm_changed(fresh)
        return operation


def start_operation(kind: str, vm: VM, user: User | None, params: dict[str, Any] | None = None) -> Operation:
    """A queued operation with its stages, published, and sent to a worker on commit; nobody's is Hopsight's own.
    Raises VMProblem for one that would change a definition that is not ours."""
    if vm.adopted and kind not in OF_ADOPTED:
        raise VMProblem({"vm": [f"{vm.name}: {vm.why_not_changed}"]})
    subject = Subject("vm", vm.uuid, vm.name)
    after = _audited(vm) if kind == "vm.create" else None
    return begin_operation(kind, vm.team, user, subject, params or {}, after)


def _audited(vm: VM) -> dict[str, object]:
    volumes = list(vm.volumes.values_list("name", flat=True))
    return {"image": vm.image.slug, "size": vm.flavor.name} | ({"volumes": volumes} if volumes else {})


def check_spec(team: Team, user: User, spec: VMSpec) -> dict[str, list[str]]:
    """Field → what is wrong with it, all at once; empty when the VM can be made."""
    errors: dict[str, list[str]] = {}
    name = check_name(team, spec.name)
    if name:
        errors["name"] = [name]
    image, flavor = spec.image, spec.flavor
    if image is None or not Image.for_team(team).filter(pk=image.pk).exists():
        errors["image"] = [gettext("no image of that name: choose one of the list")]
    if flavor is None:
        errors["flavor"] = [gettext("no size of that name: choose one of the list")]
    else:
        sizes = over_quota(team, use_of(team), flavor) + _too_big(flavor, image)
        if sizes:
            errors["flavor"] = sizes
    if spec.network is None or not usable_networks(team).filter(pk=spec.network.pk).exists():
        errors["network"] = [
            gettext("no network of that name in team %(team)s: choose one of the list") % {"team": team.name}
        ]
    else:
        try:
            check_address(spec.network, spec.address)
        except AddressProblem as problem:
            errors["address" if spec.address else "network"] = [str(problem)]
    if spec.key is not None and spec.key.user_id != user.pk:
        errors["key"] = [gettext("that key is not yours: choose one of the list")]
    if any(group.team_id != team.pk for group in spec.groups or ()):
        errors["groups"] = [
            gettext("a group that is not one of %(team)s's was given: choose of the list") % {"team": team.name}
        ]
    if problems := user_data_problems(spec.user_data):
        errors["user_data"] = problems
    volumes = volume_errors(team, spec.name, spec.volumes, spec.host)
    return errors | volumes | hardware_problems(spec.hardware) | _place_problems(spec)


def lease_words(days: int) -> str:
    """Why a lease cannot be of so many days."""
    words = gettext("%(lease_days)s days were given; 0 (none) to %(max_lease_days)s are allowed")
    return words % {"lease_days": days, "max_lease_days": MAX_LEASE_DAYS}


def _place_problems(spec: VMSpec) -> dict[str, list[str]]:
    """What is wrong with where it shall lie, and for how long."""
    errors: dict[str, list[str]] = {}
    if spec.host:
        host = Host.objects.filter(name=spec.host).first() if "\0" not in spec.host else None
        if host is None or not host.enabled or host.in_maintenance:
            taking = ", ".join(Host.objects.filter(enabled=True, in_maintenance=False).values_list("name", flat=True))
            errors["host"] = [
                gettext("“%(host)s” was given; hosts that take VMs are %(taking)s")
                % {"host": spec.host[:40], "taking": taking or gettext("none now")}
            ]
    if spec.apart and not APART.fullmatch(spec.apart):
        errors["apart"] = [
            gettext("“%(apart)s” was given; allowed are 1 to 40 of a-z, 0-9 and -, not at either end")
            % {"apart": spec.apart[:40]}
        ]
    if not 0 <= spec.lease_days <= MAX_LEASE_DAYS:
        errors["lease_days"] = [lease_words(spec.lease_days)]
    if spec.hardware.nic_model in NO_CHECKSUMS and (reason := _no_switch_for(spec)):
        errors["nic_model"] = [reason]
    return errors


def _no_switch_for(spec: VMSpec) -> str:
    """Why no host that it may lie on has a switch for its NIC; a host with one is enough."""
    hosts = Host.objects.filter(enabled=True, in_maintenance=False)
    hosts = hosts.filter(name=spec.host.replace("\0", "?")) if spec.host else hosts
    rows = hosts.values_list("name", "datapath_type")
    reasons = [switch_refusal(spec.hardware.nic_model, name, datapath) for name, datapath in rows]
    return reasons[0] if reasons and all(reasons) else ""


def next_name(team: Team, stem: str = "vm") -> str:
    """The team's lowest free `stem-N`."""
    taken = set(team.vms.values_list("name", flat=True))
    number = 1
    while f"{stem}-{number}" in taken:
        number += 1
    return f"{stem}-{number}"


def check_name(team: Team, name: str) -> str:
    """Why the team cannot have a VM of that name; nothing when it can."""
    if not NAME.fullmatch(name):
        shown = name if len(name) <= 40 else f"{name[:40]}… ({len(name)} characters)"
        return gettext("“%(shown)s” was given; allowed are 1 to 63 of a-z, 0-9 and -, not at either end") % {
            "shown": shown
        }
    if team.vms.filter(name=name).exists():
        return gettext("%(team)s has a VM %(name)s already; %(free)s is free") % {
            "team": team.name,
            "name": name,
            "free": next_name(team, name.rstrip("-0123456789") or "vm"),
        }
    return ""


def _too_big(flavor: Flavor, image: Image | None) -> list[str]:
    found: list[str] = []
    most = largest_host_ram_mib()
    if most is not None and flavor.ram_mib > most:
        found.append(
            gettext("%(ram_mib)s MiB asked; the biggest host has %(most)s MiB")
            % {"ram_mib": flavor.ram_mib, "most": most}
        )
    if image is not None and flavor.ram_mib < image.min_ram_mib:
        found.append(
            gettext("%(ram_mib)s MiB asked; %(image)s needs %(min_ram_mib)s MiB")
            % {"ram_mib": flavor.ram_mib, "image": image.name, "min_ram_mib": image.min_ram_mib}
        )
    if image is not None and flavor.disk_gib < image.min_disk_gib:
        found.append(
            gettext("%(disk_gib)s GiB of disk asked; %(image)s needs %(min_disk_gib)s GiB")
            % {"disk_gib": flavor.disk_gib, "image": image.name, "min_disk_gib": image.min_disk_gib}
        )
    return found


def _store(team: Team, user: User, spec: VMSpec) -> VM:
    assert spec.image is not None and spec.flavor is not None
    return VM.objects.create(
        team=team,
        name=spec.name,
        image=spec.image,
        flavor=spec.flavor,
        key=spec.key,
        public_key=spec.key.public_key if spec.key else "",
        user_data=spec.user_data,
        vcpus=spec.flavor.vcpus,
        ram_mib=spec.flavor.ram_mib,
        disk_gib=spec.flavor.disk_gib,
        request_key=spec.request_key,
        created_by=user,
        cpu_model=spec.hardware.cpu_model,
        machine=spec.hardware.machine,
        disk_bus=spec.hardware.disk_bus,
        disk_cache=spec.hardware.disk_cache,
        wanted_host=Host.objects.filter(name=spec.host).first() if spec.host else None,
        apart=spec.apart,
        apart_must=spec.apart_must,
        lease_until=timezone.now() + timedelta(days=spec.lease_days) if spec.lease_days else None,
        is_autostarted=spec.is_autostarted,
    )
