"""The create form: what was posted, read into a VMSpec, and what the page shows around it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Sum
from django.db.models.functions import Coalesce
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext, gettext_noop

from portal.accounts.keys import KeyProblem, parse_public_key
from portal.accounts.models import Team, User
from portal.accounts.views import add_key
from portal.compute.bars import QuotaBar
from portal.compute.hardware import HARDWARE_FIELDS, Hardware
from portal.compute.models import Flavor, Image
from portal.compute.recreate import MOST_AT_ONCE
from portal.compute.requests import MAX_LEASE_DAYS, Use, VMSpec, largest_host_ram_mib, next_name, over_quota
from portal.compute.snippets import text_of
from portal.compute.volume_fields import volumes_posted
from portal.hosts.models import Host
from portal.networks.group_forms import chosen_names, posted_groups
from portal.networks.models import Network
from portal.networks.owners import network_named, usable_networks

UP_WITHIN = timedelta(seconds=15)  # as the worker asks of a host that it places on


@dataclass(frozen=True)
class SizeTile:
    flavor: Flavor
    refusal: str


@dataclass(frozen=True)
class HostsFor:
    """How many hosts can take a VM of a size now, and that as words."""

    fitting: int
    words: str


def hosts_for(flavor: Flavor | None, pinned: Sequence[str] = ()) -> HostsFor:
    """The hosts that are up, enabled and have the memory; the worker decides again when it places the VM. `pinned`
    are the hosts of the volumes that it shall have."""
    oldest = timezone.now() - UP_WITHIN
    taking = Host.objects.filter(enabled=True, in_maintenance=False).annotate(used=Coalesce(Sum("vms__ram_mib"), 0))
    taking = taking.filter(name__in=pinned) if pinned else taking
    rows = list(taking.only("name", "ram_mib", "libvirt_seen_at"))  # of 1,000 hosts the least
    up = [row for row in rows if row.libvirt_seen_at and row.libvirt_seen_at > oldest]
    fitting = [row for row in up if flavor is None or row.ram_mib - row.used >= flavor.ram_mib]
    if fitting:
        return HostsFor(
            len(fitting),
            gettext("fits on %(hosts)s")
            % {"hosts": ", ".join(row.name for row in fitting[:3]) + " …" * (len(fitting) > 3)},
        )
    if not rows:
        return HostsFor(0, gettext("No host takes new VMs: ask an operator to add one."))
    if not up:
        down = ", ".join(row.name for row in rows[:5])
        return HostsFor(
            0,
            gettext("No host is up now (%(down)s): a VM would fail until an operator brings one back.")
            % {"down": down},
        )
    most = max(row.ram_mib - row.used for row in up)
    wanted = flavor.ram_mib if flavor else 0
    return HostsFor(
        0,
        gettext("No host has room: %(wanted)s MiB asked, at most %(most)s MiB are free on one host.")
        % {"wanted": wanted, "most": max(0, most)},
    )


def images_for(team: Team) -> list[Image]:
    """Images that the team may boot."""
    return list(Image.for_team(team).select_related("team"))


def size_tiles(team: Team, use: Use) -> list[SizeTile]:
    """Every size, with the reason why it cannot be taken beside what the team uses, or nothing."""
    most = largest_host_ram_mib()
    tiles = []
    for flavor in Flavor.objects.all():
        reasons = over_quota(team, use, flavor)
        if not reasons and most is not None and flavor.ram_mib > most:
            reasons = [gettext("biggest host has %(most)s MiB") % {"most": most}]
        tiles.append(SizeTile(flavor, reasons[0].partition(",")[0] if reasons else ""))
    return tiles


def quota_bars(team: Team, use: Use, flavor: Flavor | None = None, count: int = 1) -> list[QuotaBar]:
    """vCPU, memory, disk and VMs: in use, added by so many of the flavor, limit."""
    each = (flavor.vcpus, flavor.ram_mib, flavor.disk_gib, 1) if flavor else (0, 0, 0, 0)
    adds = [one * count for one in each]
    return [
        QuotaBar("vCPU", use.vcpus, adds[0], team.max_vcpus, ""),
        QuotaBar("RAM", use.ram_mib / 1024, adds[1] / 1024, team.max_ram_mib / 1024, "GiB"),
        QuotaBar(gettext_noop("Disk"), use.disk_gib, adds[2], team.max_disk_gib, "GiB"),
        QuotaBar(gettext_noop("VMs"), use.vms, adds[3], team.max_vms, ""),
    ]


def spec_of(team: Team, user: User, posted: QueryDict) -> tuple[VMSpec, dict[str, list[str]]]:
    """The spec of a posted form, and errors that reading it found. A pasted key is stored for the person."""
    errors: dict[str, list[str]] = {}
    key_id = posted.get("key", "")
    key = user.keys.filter(pk=key_id).first() if key_id.isdecimal() and len(key_id) < 18 else None
    if key_id and key is None:
        errors["key"] = [gettext("that key is not one of yours: choose one of the list")]
    pasted = posted.get("new_key", "").strip()
    if pasted:
        try:
            parse_public_key(pasted)
            key = add_key(user, "", pasted)
        except KeyProblem as problem:
            errors["new_key"] = [str(problem)]
    spec = VMSpec(
        name=posted.get("name", "").strip(),
        image=next((row for row in images_for(team) if row.slug == posted.get("image")), None),
        flavor=Flavor.objects.filter(name=posted.get("flavor", "")).first(),
        network=network_named(team, posted.get("network", "")),
        request_key=posted.get("request_key", "")[:64] or secrets.token_hex(16),
        key=key,
        user_data=posted.get("user_data", "").replace("\r\n", "\n") or text_of(team, posted.get("snippet", "")),
        address=posted.get("address", "").strip() or None,
        groups=posted_groups(team, posted),
        hardware=Hardware(**{name: posted.get(name, default) for name, default in asdict(Hardware()).items()}),
        host=posted.get("host", "").replace("\0", ""),
        apart=posted.get("apart", "").strip(),
        apart_must="apart_must" in posted,
        lease_days=_number(posted, "lease_days", 0, errors, (0, MAX_LEASE_DAYS)),
        is_autostarted="is_autostarted" in posted,
        volumes=volumes_posted(posted, errors),
    )
    return spec, errors


def count_of(posted: QueryDict, errors: dict[str, list[str]]) -> int:
    """How many VMs were asked for."""
    return _number(posted, "count", 1, errors, (1, MOST_AT_ONCE))


def _number(posted: QueryDict, name: str, default: int, errors: dict[str, list[str]], allowed: tuple[int, int]) -> int:
    text = posted.get(name, "").strip()
    if not text:
        return default
    if not text.isdecimal() or len(text) > 6:
        words = gettext("“%(text)s” was given; a whole number from %(least)s to %(most)s is allowed")
        errors[name] = [words % {"text": text[:20], "least": allowed[0], "most": allowed[1]}]
        return default
    return int(text)


def form_values(team: Team, user: User, posted: QueryDict | None, sizes: list[SizeTile]) -> dict[str, Any]:
    """What the fields show: what was posted, else what the person's last VM had, of the sizes that fit."""
    names = (
        "name", "image", "flavor", "network", "key", "new_key", "user_data", "address", "request_key", "count", "host",
        "apart", "apart_must", "lease_days", "is_autostarted", "snippet", *HARDWARE_FIELDS,
    )  # fmt: skip
    if posted is not None:
        return {name: posted.get(name, "") for name in names} | {"groups": chosen_names(team, user, posted)}
    last = team.vms.filter(created_by=user).select_related("image", "flavor").order_by("-id").first()
    fitting = [tile.flavor.name for tile in sizes if not tile.refusal]
    image = Image.for_team(team).first()
    network = Network.objects.filter(team=team).first() or usable_networks(team).first()
    stem = last.name.rstrip("-0123456789") if last else "vm"
    key = user.keys.last()
    return {
        "name": next_name(team, stem or "vm"),
        "image": last.image.slug if last else (image.slug if image else ""),
        "flavor": last.flavor.name if last and last.flavor.name in fitting else (fitting[0] if fitting else ""),
        "network": network.name if network else "",
        "key": str(key.pk) if key else "",
        "request_key": secrets.token_hex(16),
        "groups": chosen_names(team, user, None),
        "last": last.name if last else "",
        "count": "1",
        **asdict(Hardware()),
    }
