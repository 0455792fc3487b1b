"""The columns of the list of VMs: what can be shown of a VM, which are shown to somebody who never chose, what sorts by them.

A choice lives in the list's URL (`columns=state,owner`), and with the person's account for the next time. The name is always there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext_noop as _

from portal.accounts.templatetags.hopsight import age, mib
from portal.compute.models import VM
from portal.networks.models import FloatingAddress, Port


@dataclass(frozen=True)
class ColumnKind:
    """`order` are the fields that a click on its head sorts by; `field` is the one of a live event that fills its cell."""

    title: str
    order: tuple[str, ...] = ()
    is_first: bool = False
    field: str = ""
    is_code: bool = False
    is_number: bool = False
    is_on_phones: bool = False

    @property
    def css(self) -> str:
        """The classes of its head and cells."""
        return " ".join(
            word for word in ("num" if self.is_number else "", "" if self.is_on_phones else "hide-s") if word
        )


@dataclass(frozen=True)
class Cell:
    """What one VM has in one column."""

    name: str
    words: str
    kind: ColumnKind


COLUMNS: dict[str, ColumnKind] = {
    "state": ColumnKind(_("State"), ("state", "name"), is_first=True, is_on_phones=True),
    "address": ColumnKind(_("Address"), is_first=True, field="address", is_code=True, is_on_phones=True),
    "size": ColumnKind(_("Size"), ("ram_mib", "vcpus", "name"), is_first=True),
    "image": ColumnKind(_("Image"), ("image__name", "name"), is_first=True),
    "host": ColumnKind(_("Host"), ("host__name", "name"), is_first=True, field="host"),
    "disk": ColumnKind(_("Disk"), ("disk_gib", "name"), is_number=True),
    "network": ColumnKind(_("Network")),
    "floating": ColumnKind(_("Floating addresses"), is_code=True),
    "mac": ColumnKind(_("MAC address"), is_code=True),
    "owner": ColumnKind(_("Created by"), ("created_by__username", "name")),
    "lease": ColumnKind(_("Lease until"), ("lease_until", "name")),
    "age": ColumnKind(_("Age"), ("-id",), is_first=True, is_number=True),
}
FIRST = tuple(name for name, kind in COLUMNS.items() if kind.is_first)


def parse_columns(names: Iterable[str]) -> tuple[str, ...]:
    """Those of the names that are columns, in the table's order, each once."""
    given = {name.strip() for name in names}
    return tuple(name for name in COLUMNS if name in given)


def with_cells(rows: list[VM], shown: tuple[str, ...]) -> None:
    """Gives each row its `cells`, one for each shown column. `address_words` must be there; a query more each for ports and floating."""
    ids = [row.pk for row in rows]
    words: dict[str, Callable[[VM], str]] = {
        "state": lambda vm: vm.get_state_display(),
        "address": lambda vm: str(vm.address_words),  # type: ignore[attr-defined]
        "size": lambda vm: f"{vm.flavor.name}: {vm.vcpus} vCPU, {mib(vm.ram_mib)}",
        "image": lambda vm: vm.image.name,
        "host": lambda vm: vm.host.name if vm.host else "",
        "disk": lambda vm: f"{vm.disk_gib} GiB",
        "owner": lambda vm: vm.created_by.username if vm.created_by else "",
        "lease": lambda vm: date_format(localtime(vm.lease_until), "DATE_FORMAT") if vm.lease_until else "",
        "age": lambda vm: age(vm.created_at),
    }
    if "network" in shown or "mac" in shown:
        networks, macs = _ports_of(ids)
        words |= {"network": lambda vm: ", ".join(networks[vm.pk]), "mac": lambda vm: " ".join(macs[vm.pk])}
    if "floating" in shown:
        floating = _floating_of(ids)
        words["floating"] = lambda vm: " ".join(floating[vm.pk])
    for row in rows:
        row.cells = [Cell(name, words[name](row), COLUMNS[name]) for name in shown]  # type: ignore[attr-defined]


def _ports_of(ids: list[int]) -> tuple[dict[int, dict[str, None]], dict[int, list[str]]]:
    networks: dict[int, dict[str, None]] = defaultdict(dict)
    macs: dict[int, list[str]] = defaultdict(list)
    for vm_id, network, mac in Port.objects.filter(vm__in=ids).order_by("id").values_list("vm", "network__name", "mac"):
        networks[vm_id][network] = None
        macs[vm_id].append(mac)
    return networks, macs


def _floating_of(ids: list[int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = defaultdict(list)
    rows = FloatingAddress.objects.filter(fixed__port__vm__in=ids).order_by("id")
    for vm_id, address in rows.values_list("fixed__port__vm", "address__address"):
        found[vm_id].append(address)
    return found
