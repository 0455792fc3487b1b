"""A VM's console: its page, and tickets for its socket."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from portal.accounts.access import refusal, require
from portal.accounts.views import person
from portal.compute.models import VM
from portal.compute.presentation import virsh_line
from portal.compute.views import _visible
from portal.config.told import told
from portal.console.access import NO_SCREEN, NOT_ON, has_screen, not_possible
from portal.console.screens import MEDIA_TYPE, picture_of
from portal.console.tickets import LIFE_S, Holder, issue_ticket
from portal.console.wire import Kind

COMMANDS = {Kind.SERIAL: "console", Kind.SCREEN: "domdisplay"}  # virsh's, for the same on the host


@require_safe
def console(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The serial line or the screen of one VM."""
    row, kind = _watched_vm(request, uuid), _kind(request.GET.get("kind", ""))
    context = {
        "vm": row,
        "kind": kind,
        "words": _refused(row, kind),
        "has_screen": has_screen(row),
        "no_screen": told(f"{row.name} {NO_SCREEN}"),
        "read_only": refusal(request, "console.write", row.team),
        "command": virsh_line(row, COMMANDS[kind]),
        "keyboard_resizes": True,  # a phone's keyboard leaves the guest's picture whole above it
    }
    return render(request, "console/console.html", context)


@require_POST
@never_cache
def console_ticket(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """A ticket for the socket, and where that is. While there is none: why, as `off` (it comes when the VM starts) or `refused`."""
    row, kind = _watched_vm(request, uuid), _kind(request.POST.get("kind", ""))
    if words := _refused(row, kind):
        return JsonResponse({"off" if row.state in NOT_ON else "refused": words})
    ticket = issue_ticket(Holder(person(request).pk, request.session.session_key or "", str(row.uuid), kind))
    path = f"/ws/vms/{row.uuid}/console/{kind}"
    return JsonResponse({"ticket": ticket, "socket": path, "expires_s": LIFE_S})


@require_safe
def vm_screen(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The small picture of one VM's screen; 204 while there is none."""
    mine = VM.objects.filter(team__memberships__user_id=request.user.pk or 0).select_related("team", "image")
    row = get_object_or_404(mine, uuid=uuid)
    require(request, "console.see", row.team)
    return picture_answer(row)


def picture_answer(vm: VM) -> HttpResponse:
    """The answer with a VM's picture, which nobody on the way keeps."""
    png = picture_of(vm)
    answer = HttpResponse(status=204) if png is None else HttpResponse(png, content_type=MEDIA_TYPE)
    answer.headers["Cache-Control"] = "private, no-store"
    return answer


def _refused(vm: VM, kind: Kind) -> str:
    """Why there is no such console now, in the page's language; nothing when there is one."""
    words = not_possible(vm, kind)
    return told(f"{vm.name} {words}") if words else ""


def _watched_vm(request: HttpRequest, uuid: UUID) -> VM:
    row = get_object_or_404(_visible(request), uuid=uuid)
    require(request, "console.see", row.team)
    return row


def _kind(text: str) -> Kind:
    return Kind.SCREEN if text == Kind.SCREEN else Kind.SERIAL
