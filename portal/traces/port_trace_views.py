"""A packet at any port of a host's bridges: the form beside those that were asked before, and an answer. For operators."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from portal.accounts.access import require
from portal.accounts.views import person
from portal.hosts.models import Host
from portal.traces.models import PortTrace
from portal.traces.port_traces import ask_port_trace, switch_of
from portal.traces.presentation import followed_before, followed_packet
from portal.traces.raw import FIELDS, PROTOCOLS, PacketAsked, given_in, packet_of_form
from portal.traces.requests import Errors, TraceProblem


@require_http_methods(["GET", "HEAD", "POST"])
def port_traces(request: HttpRequest, host: str, bridge: str) -> HttpResponse:
    """The form for a bridge, and the packets that were followed on the host; a post follows one."""
    require(request, "flow.see")
    row = get_object_or_404(Host, name=host)
    switch = switch_of(row)
    here = next((one for one in switch.bridges if one.name == bridge), None) if switch else None
    if here is None:
        raise Http404
    errors: Errors = {}
    if request.method == "POST":
        require(request, "flow.trace")
        asked = packet_of_form(request.POST)
        try:
            made = ask_port_trace(row, person(request), PacketAsked(bridge, asked.flow, asked.ct_next))
            return redirect("port_trace", made.uuid)
        except TraceProblem as problem:
            errors = problem.errors
    given = given_in(request.POST)
    for name in FIELDS:
        given.setdefault(name, request.GET.get(name, "")[:64])
    context = {
        "host": row, "bridge": here, "errors": errors, "given": given, "protocols": PROTOCOLS,
        "ports": [one for port in here.ports for one in port.interfaces if one.ofport],
        "traces": followed_before(row.port_traces.filter(bridge=bridge)),
    }  # fmt: skip
    return render(request, "traces/port_traces.html", context, status=422 if errors else 200)


@require_safe
def port_trace(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """One packet's way from a port of a live host."""
    require(request, "flow.see")
    row = get_object_or_404(PortTrace.objects.select_related("host"), uuid=uuid)
    return render(request, "traces/port_trace.html", {"host": row.host, **followed_packet(row)})
