"""The list of hosts: registered, changed, taken out of placement, forgotten. Nothing is changed on a host.

Each checks, stores and is audited in one transaction. What a host's daemons say of it is observed within seconds and told on its page.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict, dataclass
from ipaddress import ip_address

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import ProtectedError
from django.utils.translation import gettext, gettext_noop

from portal.accounts.audit import record
from portal.accounts.models import User
from portal.accounts.teams import TeamProblem
from portal.hosts.models import Host
from portal.live.events import publish
from portal.live.publishers import host_changed
from portal.networks.intent import bump_generation

RUNDIR = "/var/run/openvswitch"
MTUS = (1280, 65535)
SOCKET = r"unix:/\S+|ssl:(\[[0-9a-fA-F:.]+\]|[\w.-]+):\d{1,5}"
PLAIN = r"|tcp:(\[[0-9a-fA-F:.]+\]|[\w.-]+):\d{1,5}"
SOCKET_WORDS = gettext_noop("unix:/path or ssl:address:port are allowed (tcp:address:port with HOPSIGHT_PLAIN_TCP=1)")


@dataclass(frozen=True)
class HostSpec:
    """What is asked for of a host: a column each."""

    name: str
    underlay_ip: str
    underlay_mtu: int = 1500
    libvirt_uri: str = "qemu:///system"
    ovsdb: str = f"unix:{RUNDIR}/db.sock"
    ovs_rundir: str = RUNDIR
    controller_target: str = f"unix:{RUNDIR}/hopsight.sock"
    datapath_type: str = "system"
    disks_dir: str = "/var/lib/hopsight/disks"


# Field → what it must look like, and the words for it.
FORMS: dict[str, tuple[str, str]] = {
    "name": (r"[a-zA-Z0-9_-]{1,40}", gettext_noop("1 to 40 letters a-z, digits, hyphens and underscores are allowed")),
    "libvirt_uri": (
        r"(qemu|test|fake)[+\w]*:\S*",
        gettext_noop("a URI as qemu:///system or qemu+tls://name/system is allowed"),
    ),
    "ovs_rundir": (r"/\S*", gettext_noop("an absolute path is allowed")),
    "disks_dir": (r"/[^\s/]\S*", gettext_noop("the absolute path of a folder is allowed")),
    "datapath_type": (r"system|netdev", gettext_noop("system or netdev are allowed")),
}


def register_host(spec: HostSpec, by: User | None, new: bool | None = None) -> Host:
    """The host's row, made or changed; `new` says which of the two is meant, None either. Raises TeamProblem."""
    errors = _wrong_forms(spec)
    with transaction.atomic():
        bump_generation()
        host = Host.objects.filter(name=spec.name).first()
        if host is not None and new:
            errors.setdefault("name", []).append(
                gettext("“%(spec)s” was given; there is a host of that name already") % {"spec": spec.name}
            )
        made, host = host is None, host or Host(name=spec.name)
        said = {name: value for name, value in asdict(spec).items() if name != "name"}
        before = {} if made else {name: getattr(host, name) for name in said}
        for name, value in said.items():
            setattr(host, name, value)
        try:
            host.full_clean()
        except ValidationError as problem:
            errors = {
                field: errors.get(field) or list(words) for field, words in {**errors, **problem.message_dict}.items()
            }
        if errors:
            raise TeamProblem.of(errors)
        host.save()
        what = ("host", str(host.uuid), host.name)
        record("host.add" if made else "host.change", None, by, what, before=before or None, after=said)
        host_changed(host)
    return host


def enable_host(host: Host, enabled: bool, by: User | None) -> None:
    """Whether new VMs go to it; those on it stay."""
    with transaction.atomic():
        Host.objects.filter(pk=host.pk).update(enabled=enabled)
        what = ("host", str(host.uuid), host.name)
        record("host.change", None, by, what, before={"enabled": host.enabled}, after={"enabled": enabled})
        host.enabled = enabled
        host_changed(host)


def remove_host(host: Host, by: User | None) -> None:
    """It is forgotten; br-int and its flows stay on it as they are. Raises TeamProblem while VMs are on it."""
    with transaction.atomic():
        bump_generation()
        if guests := list(host.vms.values_list("name", flat=True)[:11]):
            shown = ", ".join(guests[:10]) + (gettext(" and more") if len(guests) > 10 else "")
            words = gettext("%(host)s has VMs: %(shown)s. Move or delete them first; nothing was changed") % {
                "host": host.name,
                "shown": shown,
            }
            raise TeamProblem.of({"host": [words]})
        record("host.remove", None, by, ("host", str(host.uuid), host.name))
        publish("hosts", "host.deleted", f"host:{host.name}", {})
        try:
            host.delete()
        except ProtectedError as problem:
            kinds = Counter(type(one)._meta.verbose_name_plural for one in problem.protected_objects)
            shown = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
            words = gettext(
                "on %(host)s there are still: %(shown)s. Move or delete them first; nothing was changed"
            ) % {"host": host.name, "shown": shown}
            raise TeamProblem("host", words) from None


def _wrong_forms(spec: HostSpec) -> dict[str, list[str]]:
    socket = SOCKET + (PLAIN if settings.PLAIN_TCP else "")
    forms = FORMS | dict.fromkeys(("ovsdb", "controller_target"), (socket, SOCKET_WORDS))
    errors = {
        name: [gettext("“%(spec)s” was given; %(words)s") % {"spec": getattr(spec, name)[:60], "words": gettext(words)}]
        for name, (shape, words) in forms.items()
        if not re.fullmatch(shape, getattr(spec, name))
    }
    if not _is_address(spec.underlay_ip):
        errors["underlay_ip"] = [
            gettext("“%(address)s” was given; an IPv4 or IPv6 address is allowed") % {"address": spec.underlay_ip[:60]}
        ]
    if not MTUS[0] <= spec.underlay_mtu <= MTUS[1]:
        errors["underlay_mtu"] = [
            gettext("%(underlay_mtu)s was given; %(mtus)s to %(mtus_2)s are allowed")
            % {"underlay_mtu": spec.underlay_mtu, "mtus": MTUS[0], "mtus_2": MTUS[1]}
        ]
    return errors


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
