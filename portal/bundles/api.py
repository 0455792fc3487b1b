"""Support bundles over REST, for operators. They are uploaded on their page: an archive is larger than a request may be."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Router, Schema, Status
from pydantic import Field

from portal.accounts.access import require
from portal.accounts.views import person
from portal.api.names import Given
from portal.bundles.models import BundleTrace, SupportBundle
from portal.bundles.requests import ask_bundle_trace, delete_bundle
from portal.traces.raw import PacketAsked

router = Router()


class BundleOut(Schema):
    """`facts` tells the bridges with their ports, and the guests; `problems` what is not as it was on the host."""

    uuid: UUID
    name: str
    host: str
    state: str
    error: str
    size_bytes: int
    created_at: datetime
    expires_at: datetime
    facts: dict[str, Any]
    problems: list[str]


class PacketIn(Given):
    bridge: str = Field("br-int", max_length=64)
    flow: str = Field(max_length=2000, description="the packet in ovs-ofctl's syntax, with its in_port")
    ct_next: list[str] = Field([], description="what conntrack says, look-up by look-up, such as trk,est")


class BundleTraceOut(Schema):
    uuid: UUID
    bridge: str
    flow: str
    state: str
    result: dict[str, Any] | None
    error: str


@router.get("/bundles", response=list[BundleOut], summary="The support bundles")
def list_bundles(request: HttpRequest) -> Any:
    require(request, "bundle.see")
    return list(SupportBundle.objects.all())


@router.get("/bundles/{uuid}", response=BundleOut, summary="One support bundle")
def get_bundle(request: HttpRequest, uuid: UUID) -> Any:
    require(request, "bundle.see")
    return get_object_or_404(SupportBundle, uuid=uuid)


@router.delete("/bundles/{uuid}", response={204: None}, summary="Delete a support bundle, with its traces")
def remove_bundle(request: HttpRequest, uuid: UUID) -> Any:
    require(request, "bundle.change")
    delete_bundle(get_object_or_404(SupportBundle, uuid=uuid), person(request))
    return Status(204, None)


@router.post(
    "/bundles/{uuid}/traces", response={202: BundleTraceOut}, summary="Ask which way a packet takes in a bundle"
)
def post_bundle_trace(request: HttpRequest, uuid: UUID, asked: PacketIn) -> Any:
    require(request, "bundle.change")
    row = get_object_or_404(SupportBundle, uuid=uuid)
    return Status(
        202, ask_bundle_trace(row, person(request), PacketAsked(asked.bridge, asked.flow, tuple(asked.ct_next)))
    )


@router.get("/bundle-traces/{uuid}", response=BundleTraceOut, summary="A packet's way in a bundle")
def get_bundle_trace(request: HttpRequest, uuid: UUID) -> Any:
    require(request, "bundle.see")
    return get_object_or_404(BundleTrace, uuid=uuid)
