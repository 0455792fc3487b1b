"""A host's page, and the forms that register, change and forget one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import Any, cast

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _
from django.views.decorators.http import require_http_methods

from portal.accounts.access import require
from portal.accounts.teams import TeamProblem
from portal.accounts.views import person
from portal.compute.adoption import adoptions_of
from portal.compute.models import VM
from portal.compute.moves import latest_moves
from portal.hosts.health import troubles
from portal.hosts.models import Host
from portal.hosts.orphans import cleanings_of, orphans_of
from portal.hosts.register import HostSpec, enable_host, register_host, remove_host
from portal.images.copies import copies
from portal.topology.models import HostSeen
from sdn.model.switch import SwitchSeen, switch_from_json

# Field → (label, hint), in the form's order.
FIELDS: dict[str, tuple[str, str]] = {
    "name": (_("Name"), _("as in its certificate")),
    "underlay_ip": (_("Tunnel address"), _("reached by the other hosts")),
    "underlay_mtu": (_("Underlay MTU"), _("its largest packet")),
    "libvirt_uri": ("libvirt", "qemu+tls://hv1/system"),
    "ovsdb": ("OVSDB", _("unix:/path, or ssl:address:6640")),
    "controller_target": (_("Controller, as br-int finds it"), _("unix:/path, or ssl:address:6653")),
    "ovs_rundir": (_("Folder of Open vSwitch’s control socket"), ""),
    "disks_dir": (_("Folder for disks"), _("the same path on the host and the worker")),
    "datapath_type": (_("Datapath"), _("system, or netdev for userspace")),
}
DEFAULTS = {one.name: one.default for one in fields(HostSpec) if one.name not in ("name", "underlay_ip")}


@require_http_methods(["GET", "HEAD", "POST"])
def host(request: HttpRequest, name: str) -> HttpResponse:
    """What is wrong with a host, what is on it and on its switch; posting takes it out of placement, back, or forgets it."""
    require(request, "host.see")
    row = get_object_or_404(Host, name=name)
    errors: list[str] = []
    if request.method == "POST":
        try:
            return _changed(request, row)
        except TeamProblem as problem:
            errors = problem.errors["host"]
    switch = switch_of(row)
    vms = row.vms.select_related("team").order_by("name")
    context = {
        "host": row,
        "troubles": troubles(row, switch, timezone.now()),
        "switch": switch,
        "bridges": _bridges(switch, vms),
        "vms": vms,
        "moves": latest_moves(row),
        "foreign_domains": row.foreign_domains.all(),
        "adoptions": adoptions_of(row),
        "copies": copies(row.image_copies.order_by("image__name")),
        "orphans": orphans_of(row),
        "cleanings": cleanings_of(row),
        "errors": errors,
    }
    return render(request, "hosts/host.html", context, status=422 if errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
def host_new(request: HttpRequest) -> HttpResponse:
    """Register a host."""
    require(request, "host.change")
    return _form(request, None)


@require_http_methods(["GET", "HEAD", "POST"])
def host_edit(request: HttpRequest, name: str) -> HttpResponse:
    """Change how a host is reached."""
    require(request, "host.change")
    return _form(request, get_object_or_404(Host, name=name))


def switch_of(row: Host) -> SwitchSeen | None:
    """What the host's OVSDB told last."""
    seen = HostSeen.objects.filter(host=row).first()
    return switch_from_json(seen.switch) if seen is not None and seen.switch else None


def _changed(request: HttpRequest, row: Host) -> HttpResponse:
    require(request, "host.change")
    word = request.POST.get("word", "")
    if word == "remove":
        remove_host(row, person(request))
        messages.success(
            request, gettext("%(row)s is forgotten; br-int and its flows stay on it as they are.") % {"row": row.name}
        )
        return redirect("hosts")
    if word in ("on", "off"):
        enable_host(row, word == "on", person(request))
        words = (
            gettext("%(host)s takes new VMs.")
            if word == "on"
            else gettext("%(host)s takes no new VMs; those on it stay.")
        )
        messages.success(request, words % {"host": row.name})
        return redirect("host", row.name)
    raise TeamProblem("host", gettext("“%(word)s” was given; on, off and remove are allowed") % {"word": word[:20]})


def _form(request: HttpRequest, row: Host | None) -> HttpResponse:
    given: dict[str, Any] = {name: getattr(row, name) for name in FIELDS} if row else dict(DEFAULTS)
    errors: dict[str, list[str]] = {}
    if request.method == "POST":
        given = {name: request.POST.get(name, "").strip() for name in FIELDS} | ({"name": row.name} if row else {})
        mtu = given["underlay_mtu"]
        number = int(mtu) if mtu.isascii() and mtu.isdecimal() and len(mtu) < 8 else 0
        try:
            spec = HostSpec(**cast(dict[str, Any], {**given, "underlay_mtu": number}))
            made = register_host(spec, person(request), new=row is None)
            messages.success(
                request,
                gettext("%(made)s is stored: within seconds this page tells what its daemons say.")
                % {"made": made.name},
            )
            return redirect("host", made.name)
        except TeamProblem as problem:
            errors = problem.errors
    shown = [
        {"name": name, "label": label, "hint": hint, "value": given.get(name, ""), "errors": errors.get(name, [])}
        for name, (label, hint) in FIELDS.items()
    ]
    return render(request, "hosts/host_form.html", {"host": row, "fields": shown}, status=422 if errors else 200)


def _bridges(switch: SwitchSeen | None, vms: Iterable[VM]) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    if switch is None:
        return []
    by_domain = {str(vm.uuid): vm for vm in vms}
    return [
        (
            {**asdict(bridge), "count": len(bridge.ports)},
            [
                {"port": port, "one": one, "tag": port.tag, "vm": by_domain.get(one.vm_id)}
                for port in bridge.ports
                for one in port.interfaces
            ],
        )
        for bridge in switch.bridges
    ]
