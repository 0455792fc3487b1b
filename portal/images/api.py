"""Images over REST: import by URL, upload in chunks that can be resumed, delete."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Path, Query, Router, Schema, Status
from pydantic import Field

from portal.accounts.access import may, memberships_of, require, team_for
from portal.accounts.views import person
from portal.api.names import Given
from portal.api.schemas import MAX_ID, Accepted, ImageOut
from portal.compute.models import Image
from portal.compute.requests import VMProblem
from portal.config.bodies import MAX_CHUNK_BYTES
from portal.hosts.models import Host
from portal.images.copies import copies, copy_as_json, evict_copy, want_copy
from portal.images.models import ImageCopy, ImageImport
from portal.images.presentation import image_as_json, images_of, looked_at, users_of
from portal.images.requests import ImageSpec, abandon, begin_import, delete_image, receive
from portal.images.sharing import publish_image, share_image
from portal.operations.serialize import operation_as_json

router = Router()
AS_BYTES = {
    "required": True,
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}
BIG = 2**31 - 1
Number = Annotated[int, Path(ge=1, le=MAX_ID)]


class ImportIn(Given):
    """With a `url`, or with the `size_bytes` of what will be uploaded."""

    name: str = Field(max_length=200)
    url: str = Field("", max_length=2000)
    size_bytes: int = Field(0, ge=0, le=MAX_ID)
    disk_format: str = Field("qcow2", max_length=40)
    checksum: str = Field("", max_length=200, description="SHA-256 or SHA-512, in hex")
    note: str = Field("", max_length=200)
    login_user: str = Field("root", max_length=60)
    min_ram_mib: int = Field(64, ge=0, le=BIG)
    min_disk_gib: int = Field(1, ge=0, le=BIG)
    os_family: str = Field("", max_length=40, description="none: as the name tells")


class SharesIn(Given):
    teams: list[str] = Field(max_length=100, description="slugs; none: with nobody")


class PublicIn(Given):
    is_public: bool


class ImageDetailOut(ImageOut):
    shared_with: list[str] = Field(description="slugs of teams; told to its own team and to operators")
    vms_of_its_team: int
    vms_of_others: int
    created_at: datetime


class CopyIn(Given):
    image: str = Field(max_length=40, description="its slug")
    host: str = Field(max_length=40)


class CopyOut(Schema):
    id: int
    image: str
    host: str
    state: str = Field(description="wanted, there or leaving")
    size_bytes: int
    came_from: str = Field(description="a host's name, or the store")
    words: str = Field(description="why the last wish came to nothing")
    vms: int = Field(description="VMs of the host that lie on the image")
    needed: str = Field(description="why it cannot be evicted now; nothing when it can")
    pulled_at: datetime | None
    used_at: datetime | None


class ImportOut(Schema):
    uuid: UUID
    name: str
    slug: str = Field(description="the image's, once it is there")
    source: str
    size_bytes: int
    received_bytes: int
    is_there: bool
    created_at: datetime


@router.get("/image-imports", response=list[ImportOut], summary="The team's imports and own images")
def list_imports(request: HttpRequest) -> Any:
    return [_shown(row) for row in team_for(request, "image.see").image_imports.all()]


@router.post("/image-imports", response={202: ImportOut}, summary="Import an image by URL, or begin to upload one")
def post_import(request: HttpRequest, asked: ImportIn) -> Any:
    team = team_for(request, "image.change")
    row, _ = begin_import(team, person(request), ImageSpec(**asked.dict()))
    return Status(202, _shown(row))


@router.get("/image-imports/{uuid}", response=ImportOut, summary="An import, with how much of it is here")
def get_import(request: HttpRequest, uuid: UUID) -> Any:
    return _shown(_row(request, uuid))


@router.put(
    "/image-imports/{uuid}/bytes", response=ImportOut, summary="The next bytes of an upload, as the request's body",
    openapi_extra={"requestBody": AS_BYTES},
)  # fmt: skip
def put_bytes(request: HttpRequest, uuid: UUID, offset: Annotated[int, Query(ge=0, le=MAX_ID)] = 0) -> Any:
    row = _row(request, uuid)
    require(request, "image.change", row.team)
    return _shown(receive(row, person(request), offset, request.read(MAX_CHUNK_BYTES)))


@router.delete("/image-imports/{uuid}", response={204: None}, summary="Give up an upload")
def delete_import(request: HttpRequest, uuid: UUID) -> Any:
    row = _row(request, uuid)
    require(request, "image.change", row.team)
    abandon(row, person(request))
    return Status(204, None)


@router.get("/images/{slug}", response=ImageDetailOut, summary="An image, and who has it")
def get_image(request: HttpRequest, slug: str) -> Any:
    return _detail(request, looked_at(request, slug))


@router.get("/images/{slug}/shares", response=SharesIn, summary="Which teams an image of the team is shared with")
def get_shares(request: HttpRequest, slug: str) -> Any:
    return {"teams": _detail(request, _own(request, slug, "image.share"))["shared_with"]}


@router.put("/images/{slug}/shares", response=ImageDetailOut, summary="Share an image of the team with these teams")
def put_shares(request: HttpRequest, slug: str, asked: SharesIn) -> Any:
    row = _own(request, slug, "image.share")
    return _detail(request, share_image(row, person(request), asked.teams))


@router.get("/images/{slug}/public", response=PublicIn, summary="Whether every team is offered an image")
def get_public(request: HttpRequest, slug: str) -> Any:
    return {"is_public": image_as_json(looked_at(request, slug))["is_public"]}


@router.put("/images/{slug}/public", response=ImageDetailOut, summary="Offer a team's image to every team, or no more")
def put_public(request: HttpRequest, slug: str, asked: PublicIn) -> Any:
    require(request, "image.publish")
    return _detail(request, publish_image(looked_at(request, slug), person(request), asked.is_public))


@router.get("/image-copies", response=list[CopyOut], summary="Copies of images on hosts")
def list_image_copies(
    request: HttpRequest,
    host: Annotated[str, Query(max_length=40)] = "",
    image: Annotated[str, Query(max_length=40, description="its slug")] = "",
) -> Any:
    require(request, "host.see")
    rows = ImageCopy.objects.all()
    for name, value in (("host__name", host), ("image__slug", image)):
        rows = rows.filter(**{name: _plain(value)}) if value else rows
    return [copy_as_json(line) for line in copies(rows)]


@router.post("/image-copies", response={202: CopyOut}, summary="Have a host pull a copy of an image")
def post_image_copy(request: HttpRequest, asked: CopyIn) -> Any:
    require(request, "host.change")
    image = Image.objects.filter(slug=_plain(asked.image)).select_related("team").first()
    host = Host.objects.filter(name=_plain(asked.host)).first()
    missing = {"image": [f"no image {asked.image}"]} if image is None else {}
    if host is None:
        missing["host"] = [f"no host {asked.host}"]
    if image is None or host is None:
        raise VMProblem(missing)
    row = want_copy(image, host, person(request))
    return Status(202, copy_as_json(copies(ImageCopy.objects.filter(pk=row.pk))[0]))


@router.delete("/image-copies/{number}", response={204: None}, summary="Evict a copy, or take back the wish for one")
def delete_image_copy(request: HttpRequest, number: Number) -> Any:
    require(request, "host.change")
    evict_copy(get_object_or_404(ImageCopy, pk=number), person(request))
    return Status(204, None)


@router.delete("/images/{slug}", response={202: Accepted}, summary="Delete an image of the team")
def remove_image(request: HttpRequest, slug: str) -> Any:
    team = team_for(request, "image.see")
    image = get_object_or_404(images_of(team), slug=_plain(slug))
    require(request, "image.change", team)
    return Status(202, {"operation": operation_as_json(delete_image(team, person(request), image))})


def _plain(slug: str) -> str:
    return slug.encode(errors="replace").decode().replace("\0", "?")


def _own(request: HttpRequest, slug: str, right: str) -> Image:
    """An image of the current team, in which the person has the right."""
    team = team_for(request, "image.see")
    row: Image = get_object_or_404(Image.objects.select_related("team"), slug=_plain(slug), team=team)
    require(request, right, team)
    return row


def _detail(request: HttpRequest, row: Image) -> dict[str, Any]:
    """The image; which teams share it is told to its own team and to operators."""
    is_own = any(one.team_id == row.team_id for one in memberships_of(request))
    teams = row.shared_with.order_by("slug").values_list("slug", flat=True)
    users = users_of(row)
    told = is_own or may(request, "image.publish")
    return image_as_json(row) | {
        "shared_with": list(teams) if told else [], "vms_of_its_team": users.own if told else 0,
        "vms_of_others": users.others if told else 0, "created_at": row.created_at,
    }  # fmt: skip


def _row(request: HttpRequest, uuid: UUID) -> ImageImport:
    return get_object_or_404(ImageImport.objects.select_related("team"), uuid=uuid, team=team_for(request, "image.see"))


def _shown(row: ImageImport) -> dict[str, Any]:
    names = ("uuid", "name", "slug", "source", "size_bytes", "received_bytes", "created_at")
    return {name: getattr(row, name) for name in names} | {"is_there": row.image_id is not None}
