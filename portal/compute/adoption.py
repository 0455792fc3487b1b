"""Adopting a domain that somebody else defined, as the VM of a team, and letting go of it again: operators ask for both.

Neither touches the domain. What is adopted is power, quota, names and, for a NIC in br-int, its port and addresses; its definition
and disks stay as they are, and whatever would change those is refused (`VM.why_not_changed`).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext

from portal.accounts.models import Team, User
from portal.compute.actions import unfinished_of
from portal.compute.foreign import Facts, ForeignNic, facts_from_json
from portal.compute.models import VM, Flavor, Image
from portal.compute.requests import Creation, Use, VMProblem, check_name, over_quota_of, start_operation, use_of
from portal.hosts.models import ForeignDomain, Host
from portal.live.publishers import vm_changed
from portal.networks.intent import Touched, bump_generation, lock_intent
from portal.networks.ipam import AddressProblem, Plugged, allocate_port, check_address
from portal.networks.models import Network, NicModel, Port
from portal.networks.owners import network_named, usable_networks
from portal.operations.models import Operation
from portal.operations.stages import TITLES

MAC = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}")
SLUG = "hopsight-adopted"


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for. `networks` and `addresses` go by a NIC's MAC; a NIC without a network stays as it is."""

    team: str
    name: str
    networks: Mapping[str, str] = field(default_factory=dict)
    addresses: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """All that adopting changes, and all that it does not, in sentences; `problems` (field → sentences) forbid it."""

    changes: tuple[str, ...]
    stays: tuple[str, ...]
    problems: dict[str, list[str]]


def plan_of(domain: ForeignDomain, wish: Wish) -> Plan:
    """What adopting the domain so would do. Stores nothing, and asks no host."""
    facts = facts_from_json(domain.facts)
    team = Team.objects.filter(slug=wish.team.replace("\0", "")).first()
    problems = _problems(domain, facts, team, wish)
    return Plan(tuple(_changes(domain, facts, team, wish)), tuple(_stays(facts, wish)), problems)


def adopt(domain: ForeignDomain, user: User, wish: Wish) -> Creation:
    """The VM and the operation that takes it over. Raises VMProblem with everything that is wrong; then nothing is stored."""
    with transaction.atomic():
        lock_intent()
        team = Team.objects.select_for_update(no_key=True).filter(slug=wish.team.replace("\0", "")).first()
        facts = facts_from_json(domain.facts)
        if problems := _problems(domain, facts, team, wish):
            raise VMProblem(problems)
        assert team is not None
        vm = _store(domain, facts, team, user, wish)
        ports = frozenset(_port(vm, nic, wish).pk for nic in _chosen(facts, wish))
        operation = start_operation(
            "vm.adopt", vm, user, {"host": domain.host.name, "domain": domain.name, "digest": domain.digest}
        )
        bump_generation(Touched(ports))
        vm_changed(vm)
        return Creation(vm, operation)


def let_go(vm: VM, user: User) -> Operation:
    """The operation that forgets an adopted VM; its domain stays as it is. Raises VMProblem."""
    with transaction.atomic():
        Team.objects.select_for_update(no_key=True).get(pk=vm.team_id)
        fresh = VM.objects.select_related("team", "host", "image", "flavor").get(pk=vm.pk)
        problems = [] if fresh.adopted else [gettext("it was not adopted: it is deleted as other VMs are")]
        if busy := unfinished_of([fresh.uuid]).get(fresh.uuid, ""):
            problems.append(gettext("“%(busy)s” is under way") % {"busy": TITLES.get(busy, busy)})
        if fresh.is_protected:
            problems.append(gettext("it is protected from being deleted: take the protection off first"))
        if problems:
            raise VMProblem(
                {
                    "vm": [
                        gettext("%(fresh)s cannot be let go: %(line)s") % {"fresh": fresh.name, "line": line}
                        for line in problems
                    ]
                }
            )
        return start_operation(
            "vm.let_go", fresh, user, {"host": fresh.host.name if fresh.host else "", "domain": fresh.domain}
        )


def adoptions_of(host: Host) -> list[Operation]:
    """The latest adoptions on the host, and what was let go, newest first."""
    rows = Operation.objects.filter(kind__in=("vm.adopt", "vm.let_go"), params__host=host.name)
    return list(rows.select_related("created_by", "team")[:10])


def _problems(domain: ForeignDomain, facts: Facts, team: Team | None, wish: Wish) -> dict[str, list[str]]:
    errors: dict[str, list[str]] = {}
    if domain.host.libvirt_error:
        errors["domain"] = [
            gettext("%(host)s does not answer: %(libvirt_error)s")
            % {"host": domain.host.name, "libvirt_error": domain.host.libvirt_error}
        ]
    if VM.objects.filter(uuid=domain.uuid).exists():
        errors.setdefault("domain", []).append(
            gettext("there is a VM with its uuid %(uuid)s already") % {"uuid": domain.uuid}
        )
    strangers = sorted({*wish.networks, *wish.addresses} - {nic.mac for nic in facts.nics})
    if strangers:
        errors["nics"] = [gettext("it has no NIC %(mac)s") % {"mac": mac[:40]} for mac in strangers]
    if team is None:
        names = ", ".join(Team.objects.values_list("slug", flat=True)[:20])
        return errors | {
            "team": [gettext("“%(team)s” was given; teams are %(names)s") % {"team": wish.team[:40], "names": names}]
        }
    if problem := check_name(team, wish.name):
        errors["name"] = [problem]
    more = Use(facts.vcpus, facts.ram_mib, facts.disk_gib, 1)
    if over := over_quota_of(team, use_of(team), more):
        errors["team"] = over
    for nic in facts.nics:
        if found := _nic_problems(nic, team, wish):
            errors.setdefault("nics", []).extend(f"NIC {nic.mac}: {line}" for line in found)
    return errors


def _nic_problems(nic: ForeignNic, team: Team, wish: Wish) -> list[str]:
    name, address = wish.networks.get(nic.mac, ""), wish.addresses.get(nic.mac, "")
    if not name:
        return [gettext("an address was given, and no network")] if address else []
    if not nic.is_on_switch:
        return [
            gettext("it is plugged into %(plugged)s, not into br-int: it stays as it is, leave its network out")
            % {"plugged": nic.words}
        ]
    found = []
    if not MAC.fullmatch(nic.mac):
        found.append(gettext("its MAC is none of a single machine"))
    if Port.objects.filter(mac=nic.mac).exists():
        found.append(gettext("a port has its MAC already"))
    if Port.objects.filter(uuid=nic.interface_id).exists():
        found.append(
            gettext("a port has its interface id %(interface_id)s already") % {"interface_id": nic.interface_id}
        )
    network = network_named(team, name)
    if network is None:
        allowed = ", ".join(usable_networks(team).values_list("name", flat=True)) or "none"
        return [
            *found,
            gettext("“%(name)s” was given; networks of %(team)s are %(allowed)s")
            % {"name": name[:40], "team": team.name, "allowed": allowed},
        ]
    try:
        check_address(network, address or None)
    except AddressProblem as problem:
        found.append(str(problem))
    return found


def _changes(domain: ForeignDomain, facts: Facts, team: Team | None, wish: Wish) -> list[str]:
    whose = f"team {team.name}" if team else gettext("the team")
    said = [
        gettext("%(wish)s becomes a VM of %(whose)s: its members see it, start and stop it, and open its console.")
        % {"wish": wish.name or "It", "whose": whose},
        gettext("The quota of %(whose)s counts %(vcpus)s vCPU, %(ram_mib)s MiB and %(disk_gib)s GiB for it.")
        % {"whose": whose, "vcpus": facts.vcpus, "ram_mib": facts.ram_mib, "disk_gib": facts.disk_gib},
    ]
    for nic in _chosen(facts, wish):
        address = wish.addresses.get(nic.mac, "") or gettext("the lowest free address")
        said.append(
            gettext(
                "NIC %(mac)s becomes a port of %(networks)s with %(address)s: flows and groups apply to it at once, DHCP gives it that address, and what it sends from another one is dropped."
            )
            % {"mac": nic.mac, "networks": wish.networks[nic.mac], "address": address}
        )
    return said


def _stays(facts: Facts, wish: Wish) -> list[str]:
    said = [
        gettext(
            "Its definition stays as it is; whatever would change it (size, NICs, volumes, snapshots, a move) is refused."
        )
    ]
    said += [
        gettext("Disk %(target)s stays at %(source)s (%(format)s).")
        % {"target": disk.target, "source": disk.source, "format": disk.format or disk.device}
        if disk.source
        else gettext("Disk %(target)s stays as it is, empty (%(format)s).")
        % {"target": disk.target, "format": disk.format or disk.device}
        for disk in facts.disks
    ]
    taken = set(_chosen(facts, wish))
    said += [
        gettext(
            "NIC %(mac)s stays a foreign one, plugged into %(plugged)s: no port and no rules, and a trace ends at it."
        )
        % {"mac": nic.mac or gettext("without a MAC"), "plugged": nic.words}
        for nic in facts.nics
        if nic not in taken
    ]
    return [
        *said,
        gettext(
            "Whether it runs stays as it is: it is neither started nor stopped. Letting it go forgets it and touches nothing."
        ),
    ]


def _chosen(facts: Facts, wish: Wish) -> list[ForeignNic]:
    return [nic for nic in facts.nics if wish.networks.get(nic.mac)]


def _store(domain: ForeignDomain, facts: Facts, team: Team, user: User, wish: Wish) -> VM:
    told = {"name": "Adopted", "is_hidden": True, "disk_path": ""}
    image, _ = Image.everything.get_or_create(slug=SLUG, defaults=told)
    size = {"is_hidden": True, "vcpus": 1, "ram_mib": 1, "disk_gib": 1}
    flavor, _ = Flavor.everything.get_or_create(name="adopted", defaults=size)
    taken = _chosen(facts, wish)
    adopted = {
        "domain": domain.name,
        "disks": domain.facts["disks"],
        "foreign_nics": [
            shown for nic, shown in zip(facts.nics, domain.facts["nics"], strict=True) if nic not in taken
        ],
    }
    return VM.objects.create(
        uuid=domain.uuid, team=team, name=wish.name, image=image, flavor=flavor, host=domain.host, adopted=adopted,
        vcpus=facts.vcpus, ram_mib=facts.ram_mib, disk_gib=facts.disk_gib, request_key=f"adopt-{secrets.token_hex(12)}",
        created_by=user, machine="q35" if "q35" in facts.machine else "pc",
    )  # fmt: skip


def _port(vm: VM, nic: ForeignNic, wish: Wish) -> Port:
    network = network_named(vm.team, wish.networks[nic.mac])
    assert isinstance(network, Network)
    plugged = Plugged(UUID(nic.interface_id), nic.mac)
    try:
        port = allocate_port(
            network, name=wish.name, vm=vm, address=wish.addresses.get(nic.mac) or None, plugged=plugged
        )
    except AddressProblem as problem:  # two NICs that wish for one address, or a network that is full with the first
        raise VMProblem({"nics": [f"NIC {nic.mac}: {problem}"]}) from None
    model = nic.model if nic.model in NicModel.values else NicModel.VIRTIO
    Port.objects.filter(pk=port.pk).update(host=vm.host, model=model)
    return port
