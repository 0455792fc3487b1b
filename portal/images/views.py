"""The catalogue of images: what the team may boot, and how one more comes."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from portal.accounts.access import may, memberships_of, refusal, require, team_for
from portal.accounts.models import Team
from portal.accounts.views import person
from portal.compute.models import Image
from portal.compute.os_families import FAMILIES
from portal.compute.requests import VMProblem
from portal.config.bodies import MAX_CHUNK_BYTES
from portal.config.typed import typed_number
from portal.config.units import decimals
from portal.hosts.models import Host
from portal.images.copies import copies, evict_copy, want_copy
from portal.images.models import ImageCopy, ImageImport
from portal.images.presentation import failed_of, images_of, looked_at, pending_of, users_of, whose_words
from portal.images.requests import (
    FORMATS,
    GIB,
    Errors,
    ImageSpec,
    abandon,
    begin_import,
    bytes_left,
    delete_image,
    use_words,
)
from portal.images.sharing import publish_image, share_image

FIELDS = ("name", "url", "disk_format", "checksum", "note", "login_user", "min_ram_mib", "min_disk_gib", "os_family")


@require_http_methods(["GET", "HEAD", "POST"])
def images(request: HttpRequest) -> HttpResponse:
    """The catalogue; a post imports an image by its URL."""
    team = team_for(request, "image.see")
    errors: Errors = {}
    if request.method == "POST":
        require(request, "image.change", team)
        try:
            _, operation = begin_import(team, person(request), _spec(request.POST))
            return redirect("operation", operation.uuid) if operation else redirect("images")
        except VMProblem as problem:
            errors = problem.errors
    return _page(request, team, errors)


@require_safe
def image(request: HttpRequest, slug: str) -> HttpResponse:
    """One image: what it needs, who has it, what is in the way of deleting it."""
    return _image_page(request, looked_at(request, slug), {})


@require_POST
def image_share(request: HttpRequest, slug: str) -> HttpResponse:
    """Share it with the ticked and the named teams, and no others."""
    teams = [row.team_id for row in memberships_of(request)]
    row = get_object_or_404(Image.objects.select_related("team"), slug=slug, team__in=teams)
    require(request, "image.share", row.team)
    try:
        share_image(row, person(request), request.POST.getlist("teams"))
    except VMProblem as problem:
        return _image_page(request, row, problem.errors)
    return redirect("image", slug)


@require_POST
def image_publish(request: HttpRequest, slug: str) -> HttpResponse:
    """Offer it to every team, or no more."""
    require(request, "image.publish")
    row = get_object_or_404(Image.objects.select_related("team"), slug=slug)
    try:
        publish_image(row, person(request), request.POST.get("public") == "on")
    except VMProblem as problem:
        return _image_page(request, row, problem.errors)
    return redirect("image", slug)


@require_POST
def image_pull(request: HttpRequest, slug: str) -> HttpResponse:
    """Have a host pull a copy of it before a VM needs it."""
    require(request, "host.change")
    row = get_object_or_404(Image.objects.select_related("team"), slug=slug)
    host = Host.objects.filter(name=request.POST.get("host", "").replace("\0", "?")).first()
    try:
        if host is None:
            raise VMProblem({"host": [gettext("no host of that name: choose one of the list")]})
        want_copy(row, host, person(request))
    except VMProblem as problem:
        return _image_page(request, row, problem.errors)
    return redirect("image", slug)


@require_POST
def image_copy_evict(request: HttpRequest, number: int) -> HttpResponse:
    """Have a host's copy removed, or take back the wish for one; says what needs it."""
    require(request, "host.change")
    row = get_object_or_404(ImageCopy.objects.select_related("image__team"), pk=number)
    try:
        evict_copy(row, person(request))
    except VMProblem as problem:
        return _image_page(request, row.image, problem.errors)
    return redirect("image", row.image.slug)


@require_POST
def image_delete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Delete an image of the team, or give up its upload; says what is in the way."""
    rows = ImageImport.objects.filter(team__memberships__user_id=request.user.pk or 0)
    row = get_object_or_404(rows.select_related("team", "image"), uuid=uuid)
    require(request, "image.change", row.team)
    try:
        if row.image is None:
            abandon(row, person(request))
            return redirect("images")
        return redirect("operation", delete_image(row.team, person(request), row.image).uuid)
    except VMProblem as problem:
        return _page(request, row.team, problem.errors)


def _spec(posted: QueryDict) -> ImageSpec:
    given = {field: posted.get(field, "").strip() for field in FIELDS}
    return ImageSpec(
        name=given["name"], url=given["url"], disk_format=given["disk_format"], note=given["note"],
        checksum=given["checksum"], login_user=given["login_user"] or "root",
        min_ram_mib=_number(given["min_ram_mib"], 64), min_disk_gib=_number(given["min_disk_gib"], 1),
        os_family=given["os_family"],
    )  # fmt: skip


def _number(text: str, default: int) -> int:
    """The number that was typed, or the default where nothing was."""
    return typed_number(text) if text else default


def _image_page(request: HttpRequest, row: Image, errors: Errors) -> HttpResponse:
    team = row.team
    is_own = team is not None and any(one.team_id == team.pk for one in memberships_of(request))
    context = {
        "image": row, "is_own": is_own, "errors": errors, "whose": whose_words(row, team if is_own else None),
        "shared": row.shared_with.order_by("name") if is_own else (), "users": users_of(row),
        "share_refusal": refusal(request, "image.share", team), "publish_refusal": refusal(request, "image.publish"),
        "may_change": is_own and may(request, "image.change", team), "in_the_way": use_words(row) if is_own else "",
        "copies": copies(row.copies.all()),
        "hosts": Host.objects.exclude(image_copies__image=row) if may(request, "host.change") else (),
    }  # fmt: skip
    return render(request, "images/image.html", context, status=422 if errors else 200)


def _page(request: HttpRequest, team: Team, errors: Errors) -> HttpResponse:
    defaults = {"disk_format": "qcow2", "login_user": "root", "min_ram_mib": 64, "min_disk_gib": 1}
    context = {
        "team": team, "images": [(row, whose_words(row, team)) for row in images_of(team)], "pending": pending_of(team), "failed": failed_of(team),
        "errors": errors, "formats": FORMATS, "families": FAMILIES.values(), "values": request.POST if errors else defaults,
        "left_gib": decimals(f"{bytes_left(team) / GIB:.1f}".removesuffix(".0")), "room_gib": settings.IMAGE_TEAM_GIB, "most_gib": settings.IMAGE_MAX_GIB,
        "chunk_bytes": MAX_CHUNK_BYTES, "may": may(request, "image.change", team),
        "refusal": refusal(request, "image.change", team),
    }  # fmt: skip
    return render(request, "images/images.html", context, status=422 if errors else 200)
