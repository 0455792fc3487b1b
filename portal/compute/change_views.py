"""The page on which a VM is renamed, resized, rebuilt and cloned; each a form that says what it does before the click."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from portal.accounts.access import refusal, require
from portal.accounts.models import User
from portal.accounts.views import person
from portal.compute.changes import (
    Room,
    changes_of,
    clone_vm,
    growth_to,
    rebuild_vm,
    rename_vm,
    resize_problems,
    resize_vm,
    room_of,
)
from portal.compute.devices import set_devices, warning_of
from portal.compute.forms import images_for
from portal.compute.hardware import CHOICES
from portal.compute.models import VM, Flavor
from portal.compute.requests import VMProblem, next_name
from portal.compute.views import _visible
from portal.images.from_vm import image_of_vm


@dataclass(frozen=True)
class SizeOffer:
    """A size that the VM could have. `words` say what comes of it, `refusal` why not."""

    flavor: Flavor
    words: str
    refusal: str


def _rename(row: VM, user: User, posted: Any) -> HttpResponse:
    rename_vm(row, user, posted.get("name", "").strip())
    return redirect("vm", row.uuid)


def _resize(row: VM, user: User, posted: Any) -> HttpResponse:
    flavor = Flavor.objects.filter(name=posted.get("flavor", "").replace("\0", "")).first()
    return redirect("operation", resize_vm(row, user, flavor).uuid)


def _rebuild(row: VM, user: User, posted: Any) -> HttpResponse:
    image = next((one for one in images_for(row.team) if one.slug == posted.get("image")), None)
    return redirect("operation", rebuild_vm(row, user, image, posted.get("key", "")).uuid)


def _clone(row: VM, user: User, posted: Any) -> HttpResponse:
    made = clone_vm(row, user, posted.get("name", "").strip(), posted.get("request_key", "")[:64].replace("\0", ""))
    return redirect("vm", made.vm.uuid)


def _image(row: VM, user: User, posted: Any) -> HttpResponse:
    operation = image_of_vm(row, user, posted.get("name", "").strip().replace("\0", "?"))
    return redirect("operation", operation.uuid)


def _devices(row: VM, user: User, posted: Any) -> HttpResponse:
    operation = set_devices(row, user, posted.get("disk_bus", ""), posted.get("nic_model", ""))
    return redirect("operation", operation.uuid)


FORMS: dict[str, Callable[[VM, User, Any], HttpResponse]] = {
    "rename": _rename,
    "resize": _resize,
    "rebuild": _rebuild,
    "clone": _clone,
    "image": _image,
    "devices": _devices,
}


@require_http_methods(["GET", "HEAD", "POST"])
def vm_change(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Its forms; a posted one that is refused comes back filled, with the reasons."""
    row = get_object_or_404(_visible(request), uuid=uuid)
    asked, errors = request.POST.get("what", ""), {}
    if request.method == "POST":
        require(request, "vm.change", row.team)
        try:
            if asked not in FORMS:
                raise VMProblem(
                    {
                        "what": [
                            gettext("“%(asked)s” was given; allowed are %(forms)s")
                            % {"asked": asked[:40], "forms": ", ".join(FORMS)}
                        ]
                    }
                )
            return FORMS[asked](row, person(request), request.POST)
        except VMProblem as problem:
            errors = problem.errors
    return render(
        request, "compute/vm_change.html", _context(request, row, asked, errors), status=422 if errors else 200
    )


def _context(request: HttpRequest, row: VM, asked: str, errors: dict[str, list[str]]) -> dict[str, Any]:
    why = refusal(request, "vm.change", row.team)
    reasons = {name: why or reason for name, reason in changes_of(row).items()}
    room = room_of(row)
    stem = row.name.rstrip("-0123456789") or "vm"
    return {
        "vm": row,
        "reasons": reasons,
        "asked": asked,
        "lines": [line for lines in errors.values() for line in lines],
        "given": request.POST,
        "sizes": [_size_offer(row, flavor, room) for flavor in Flavor.objects.all()],
        "images": images_for(row.team),
        "keys": person(request).keys.order_by("name"),
        "buses": CHOICES["disk_bus"],
        "nic_models": CHOICES["nic_model"],
        "devices_warning": warning_of(row),
        "free_name": next_name(row.team, stem),
        "request_key": request.POST.get("request_key") or f"clone-{row.uuid.hex[:8]}-{next_name(row.team, stem)}"[:64],
    }


def _size_offer(row: VM, flavor: Flavor, room: Room) -> SizeOffer:
    more = growth_to(row, flavor)
    words = gettext("%(vcpus)s vCPU, %(ram_mib)s MiB, %(disk_gib)s GiB of disk") % {
        "vcpus": f"{more.vcpus:+}",
        "ram_mib": f"{more.ram_mib:+}",
        "disk_gib": f"{more.disk_gib:+}",
    }
    problems = resize_problems(row, flavor, room)
    return SizeOffer(flavor, words, problems[0] if problems else "")
