"""The first rows: a cast of people, sizes, networks and images. Running it again changes nothing that is there."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any, Protocol

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext_noop as _

from portal.accounts.models import Membership, Role, Team, User
from portal.compute.models import Flavor, Image
from portal.networks.external_requests import ExternalSpec, create_external
from portal.networks.ipam import allocate_port
from portal.networks.models import ExternalNetwork, Network, Port, PortKind, Router, Subnet
from portal.networks.mtu import network_mtu
from portal.networks.router_requests import RouterSpec, create_router
from portal.networks.subnets import ula_subnet

PEOPLE = (
    ("alice", "payments", Role.OWNER, False),
    ("bob", "payments", Role.MEMBER, False),
    ("charlie", "payments", Role.VIEWER, False),
    ("dana", "search", Role.OWNER, False),
    ("olga", None, None, True),
)
FLAVORS = (("nano", 1, 128, 1), ("S", 1, 256, 2), ("M", 2, 512, 4), ("L", 2, 1024, 10), ("XL", 4, 4096, 40))
NETWORKS = (("payments", "payments-net", 4097), ("search", "search-net", 4098))
ACCESS_ADDRESS = "10.20.0.250"
EXTERNAL = ExternalSpec(
    "internet", "198.51.100.0/24", gateway="198.51.100.1", pool_start="198.51.100.10", cidr6="2001:db8:51::/64"
)


class ImagePaths(Protocol):
    """What lab.images.ensure_tiny and find_debian give."""

    @property
    def kernel(self) -> Any: ...
    @property
    def initrd(self) -> Any: ...
    @property
    def disk(self) -> Any: ...
    @property
    def cmdline(self) -> str: ...


@transaction.atomic
def seed_rows() -> dict[str, str]:
    """Teams, people, sizes and networks; the new people's passwords by name."""
    teams = {
        slug: Team.objects.get_or_create(slug=slug, defaults={"name": slug.title()})[0]
        for slug in ("payments", "search")
    }
    fresh = {}
    for name, slug, role, operator in PEOPLE:
        user, made = User.objects.get_or_create(username=name, defaults={"is_operator": operator})
        if made:
            fresh[name] = secrets.token_urlsafe(12)
            user.set_password(fresh[name])
            user.save()
        if slug and role:
            Membership.objects.get_or_create(user=user, team=teams[slug], defaults={"role": role})
    for name, vcpus, ram_mib, disk_gib in FLAVORS:
        Flavor.objects.get_or_create(name=name, defaults={"vcpus": vcpus, "ram_mib": ram_mib, "disk_gib": disk_gib})
    for slug, name, vni in NETWORKS:
        seed_router(teams[slug], seed_network(teams[slug], name, vni))
    return fresh


def seed_network(team: Team, name: str, vni: int) -> Network:
    """One network with 10.20.0.0/24 and an IPv6 subnet; the first one carries the machine's access port."""
    defaults = {
        "vni": vni,
        "mtu": network_mtu(),
        "router_mac": f"52:54:00:ff:{(vni >> 8) & 255:02x}:{vni & 255:02x}",
    }
    network, made = Network.objects.get_or_create(team=team, name=name, defaults=defaults)
    if made:
        Subnet.objects.create(
            network=network, cidr="10.20.0.0/24", gateway="10.20.0.1", pool_start="10.20.0.10", pool_end="10.20.0.254"
        )
        Subnet.objects.create(network=network, **ula_subnet(network))
    if vni == NETWORKS[0][2] and not Port.objects.filter(kind=PortKind.ACCESS).exists():
        allocate_port(network, name="access", kind=PortKind.ACCESS, address=ACCESS_ADDRESS)
    return network


def seed_router(team: Team, network: Network) -> None:
    """A router that leads the network outside, where the lab's internet is."""
    external = ExternalNetwork.objects.filter(name=EXTERNAL.name).first() or create_external(EXTERNAL)
    if not Router.objects.filter(team=team).exists():
        create_router(team, RouterSpec(f"{team.slug}-router", tuple(network.subnets.all()), external))


def seed_images(tiny: ImagePaths | None, debian: ImagePaths | None = None) -> None:
    """The guests' rows. The tiny one is always there: without paths (preview) it boots nothing; Debian's comes with its
    files (scripts/image-debian) and goes with them, unless a VM is made from it."""
    Image.objects.update_or_create(
        slug="tiny",
        defaults={
            "name": "Tiny Linux",
            "note": _("busybox and dropbear, SSH in seconds"),
            "boot": Image.Boot.KERNEL,
            "disk_format": "qcow2",
            "os_family": "linux",
            **_paths_of(tiny),
        },
    )
    if debian is not None:
        Image.objects.update_or_create(
            slug="debian-12",
            defaults={
                "name": "Debian 12",
                "note": _("cloud-init; SSH a minute after the click where guests are emulated"),
                "boot": Image.Boot.KERNEL,
                "disk_format": "qcow2",
                "os_family": "debian",
                "login_user": "debian",
                "min_ram_mib": 512,
                "min_disk_gib": 2,
                **_paths_of(debian),
            },
        )
    else:
        Image.objects.filter(slug="debian-12", vm=None).delete()


def _paths_of(image: ImagePaths | None) -> dict[str, str | int]:
    if image is None:
        return {"disk_path": "", "kernel_path": "", "initrd_path": "", "cmdline": "", "size_bytes": 0}
    files = [path for path in map(Path, (image.disk, image.kernel, image.initrd)) if path.is_file()]
    return {
        "size_bytes": sum(path.stat().st_size for path in files),
        "disk_path": str(image.disk),
        "kernel_path": str(image.kernel),
        "initrd_path": str(image.initrd),
        "cmdline": image.cmdline,
    }


def keep_passwords(fresh: dict[str, str]) -> None:
    """Add new passwords to the state folder's file, readable by its owner only."""
    path = settings.STATE_DIR / "passwords"
    known: dict[str, str] = {}
    if path.exists():
        known = dict(line.split(" ", 1) for line in path.read_text().splitlines() if " " in line)
    text = "".join(f"{name} {word}\n" for name, word in (known | fresh).items())
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
