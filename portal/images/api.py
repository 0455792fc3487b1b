"""Images over REST: import by URL, upload in chunks that can be resumed, delete."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema, Status
from pydantic import Field

from portal.accounts.access import require, team_for
from portal.accounts.views import person
from portal.api.problems import MAX_CHUNK_BYTES
from portal.api.schemas import MAX_ID, Accepted
from portal.images.models import ImageImport
from portal.images.presentation import images_of
from portal.images.requests import ImageSpec, abandon, begin_import, delete_image, receive
from portal.operations.serialize import operation_as_json

router = Router()
BIG = 2**31 - 1


class ImportIn(Schema):
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
    "/image-imports/{uuid}/bytes", response=ImportOut, summary="The next bytes of an upload, as the request's body"
)
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


@router.delete("/images/{slug}", response={202: Accepted}, summary="Delete an image of the team")
def remove_image(request: HttpRequest, slug: str) -> Any:
    team = team_for(request, "image.see")
    plain = slug.encode(errors="replace").decode().replace("\0", "?")
    image = get_object_or_404(images_of(team), slug=plain)
    require(request, "image.change", team)
    return Status(202, {"operation": operation_as_json(delete_image(team, person(request), image))})


def _row(request: HttpRequest, uuid: UUID) -> ImageImport:
    return get_object_or_404(ImageImport.objects.select_related("team"), uuid=uuid, team=team_for(request, "image.see"))


def _shown(row: ImageImport) -> dict[str, Any]:
    names = ("uuid", "name", "slug", "source", "size_bytes", "received_bytes", "created_at")
    return {name: getattr(row, name) for name in names} | {"is_there": row.image_id is not None}
