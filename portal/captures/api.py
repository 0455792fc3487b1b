"""Captures over REST: begin one on a trace's path, follow it, end it. Its file is at `/captures/<uuid>/packets.pcapng`."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Router, Schema, Status
from pydantic import Field

from portal.accounts.access import team_for
from portal.accounts.views import person
from portal.api.names import Given
from portal.captures.models import Capture
from portal.captures.points import Filter
from portal.captures.requests import MAX_PACKETS, MAX_SECONDS, CaptureProblem, CaptureSpec, create_capture, stop_capture
from portal.captures.serialize import capture_as_json
from portal.compute.requests import VMProblem
from portal.traces.models import TraceRequest

router = Router()


class CaptureIn(Given):
    points: list[str] = Field(
        description="source, target, tunnel-HOST, outside: those that the trace's path has", max_length=16
    )
    protocol: str = Field("any", description="any, arp, icmp, tcp, udp")
    port: int = Field(0, ge=0, le=65535, description="the service's, of TCP and UDP; 0: any")
    is_between: bool = Field(True, description="only packets between the trace's two ends")
    packets: int = Field(MAX_PACKETS, ge=1, le=MAX_PACKETS)
    seconds: int = Field(30, ge=1, le=MAX_SECONDS)


class CaptureOut(Schema):
    """Each of `meetings` is one packet's sights: [index into `packets`, microseconds after the first sight]."""

    uuid: UUID
    trace: UUID
    state: str
    why: str
    filter: str
    points: list[str]
    max_packets: int
    seconds: int
    count: int
    packets: list[dict[str, Any]]
    meetings: list[list[list[float]]]


@router.post("/traces/{uuid}/captures", response={202: CaptureOut}, summary="Copy packets off a trace's path")
def post_capture(request: HttpRequest, uuid: UUID, asked: CaptureIn) -> Any:
    trace = get_object_or_404(TraceRequest, uuid=uuid, team=team_for(request, "capture.start"))
    wanted = Filter(asked.protocol, asked.port, asked.is_between)
    spec = CaptureSpec(tuple(asked.points), wanted, asked.packets, asked.seconds)
    try:
        return Status(202, capture_as_json(create_capture(trace, person(request), spec)))
    except CaptureProblem as refused:
        raise VMProblem(refused.errors) from None


@router.get("/captures/{uuid}", response=CaptureOut, summary="A capture with what it caught so far")
def get_capture(request: HttpRequest, uuid: UUID) -> Any:
    return capture_as_json(_one(request, uuid, "capture.see"))


@router.delete("/captures/{uuid}", response={202: CaptureOut}, summary="End a capture; what it caught is kept")
def delete_capture(request: HttpRequest, uuid: UUID) -> Any:
    row = _one(request, uuid, "capture.start")
    stop_capture(row, person(request))
    return Status(202, capture_as_json(row))


def _one(request: HttpRequest, uuid: UUID, right: str) -> Capture:
    rows = Capture.objects.filter(team=team_for(request, right)).select_related("trace", "team").defer("file")
    return get_object_or_404(rows, uuid=uuid)
