"""Support bundles: the list with its upload, one bundle with what it tells, a packet's way in it. For operators."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from portal.accounts.access import require
from portal.accounts.views import person
from portal.bundles.models import BundleTrace, SupportBundle
from portal.bundles.requests import KEPT, add_bundle, ask_bundle_trace, delete_bundle
from portal.traces.presentation import followed_before, followed_packet
from portal.traces.raw import PROTOCOLS, given_in, packet_of_form
from portal.traces.requests import Errors, TraceProblem


@require_http_methods(["GET", "HEAD", "POST"])
def bundles(request: HttpRequest) -> HttpResponse:
    """Every bundle; a post takes one more in."""
    require(request, "bundle.see")
    errors: Errors = {}
    if request.method == "POST":
        require(request, "bundle.change")
        try:
            return redirect("bundle", add_bundle(person(request), request.FILES.get("file")).uuid)
        except TraceProblem as problem:
            errors = problem.errors
    context = {"rows": SupportBundle.objects.select_related("created_by"), "errors": errors, "days": KEPT.days}
    return render(request, "bundles/bundles.html", context, status=422 if errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
def bundle(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """What a bundle tells, and what not; a post follows a packet in it."""
    require(request, "bundle.see")
    row = get_object_or_404(SupportBundle.objects.select_related("created_by"), uuid=uuid)
    errors: Errors = {}
    if request.method == "POST":
        require(request, "bundle.change")
        try:
            return redirect("bundle_trace", ask_bundle_trace(row, person(request), packet_of_form(request.POST)).uuid)
        except TraceProblem as problem:
            errors = problem.errors
    context = {
        "bundle": row, "errors": errors, "given": given_in(request.POST), "protocols": PROTOCOLS, "bridges": row.facts.get("bridges", []),
        "traces": followed_before(row.traces.all()),
    }  # fmt: skip
    return render(request, "bundles/bundle.html", context, status=422 if errors else 200)


@require_safe
def bundle_trace(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """One packet's way through the bundle's host."""
    require(request, "bundle.see")
    row = get_object_or_404(BundleTrace.objects.select_related("bundle"), uuid=uuid)
    return render(request, "bundles/bundle_trace.html", {"bundle": row.bundle, **followed_packet(row)})


@require_POST
def bundle_delete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The bundle goes, with its files and traces."""
    require(request, "bundle.change")
    delete_bundle(get_object_or_404(SupportBundle, uuid=uuid), person(request))
    return redirect("bundles")
