""" "Why can't I reach it?" over REST."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Router, Schema, Status
from pydantic import Field

from portal.accounts.access import require, team_for
from portal.accounts.views import person
from portal.api.names import Given
from portal.networks.models import Port
from portal.networks.owners import owned_by_person, owner_of
from portal.traces.diagnosis import answer_of, ask_why
from portal.traces.mending import RIGHTS, mend
from portal.traces.models import Diagnosis
from portal.traces.outside import outside_address

router = Router()


class DiagnosisIn(Given):
    """What is not reached: SSH, unless something else is given."""

    protocol: str = Field("tcp", description="tcp, udp, sctp or icmp")
    port_dst: int = Field(22, ge=0, le=65535)


class MendIn(Given):
    kind: str = Field(description="of the suggested change, as the diagnosis tells it")


class LookOut(Schema):
    """One thing that was looked at. `state` is good, bad, waiting, unknown or note; `trace` is the one that tells it."""

    key: str
    state: str
    words: str
    trace: UUID | None


class FixOut(Schema):
    """The change that would mend it. `kind` is start, resume, floating or rule."""

    kind: str
    words: str
    rule: dict[str, str]


class DiagnosisOut(Schema):
    uuid: UUID
    port: UUID
    service: str
    state: str
    sentence: str
    advice: str
    looks: list[LookOut]
    fix: FixOut | None
    mended: str


@router.post("/ports/{uuid}/diagnoses", response={202: DiagnosisOut}, summary="Ask why a VM is not reached")
def post_diagnosis(request: HttpRequest, uuid: UUID, asked: DiagnosisIn) -> Any:
    rows = Port.objects.filter(owned_by_person(request.user.pk or 0)).select_related(
        "network__team", "vm__team", "host"
    )
    port = get_object_or_404(rows, uuid=uuid)
    require(request, "trace.ask", owner_of(port))
    source = outside_address(request.META.get("REMOTE_ADDR", ""))
    return Status(202, _out(ask_why(port, person(request), (asked.protocol, asked.port_dst), source)))


@router.get("/diagnoses/{uuid}", response=DiagnosisOut, summary="Why a VM is not reached, as far as is known by now")
def get_diagnosis(request: HttpRequest, uuid: UUID) -> Any:
    team = team_for(request, "trace.see")
    return _out(get_object_or_404(Diagnosis.objects.select_related("port__vm"), team=team, uuid=uuid))


@router.post("/diagnoses/{uuid}/mend", response=DiagnosisOut, summary="Make the change that a diagnosis suggests")
def post_mend(request: HttpRequest, uuid: UUID, asked: MendIn) -> Any:
    team = team_for(request, "trace.see")
    row = get_object_or_404(Diagnosis.objects.select_related("team", "port__vm"), team=team, uuid=uuid)
    require(request, RIGHTS.get(asked.kind, "group.change"), team)
    return _out(mend(row, person(request), asked.kind))


def _out(row: Diagnosis) -> dict[str, Any]:
    answer = answer_of(row)
    by_key = {trace.asks: trace.uuid for trace in row.traces.all()}
    looks = [
        {"key": look.key, "state": look.state, "words": look.words, "trace": by_key.get(look.key)}
        for look in answer.looks
    ]
    fix = answer.fix
    return {
        "uuid": row.uuid, "port": row.port.uuid, "service": row.service, "state": answer.state, "sentence": answer.sentence,
        "advice": answer.advice, "looks": looks, "fix": {"kind": fix.kind, "words": fix.words, "rule": fix.rule} if fix else None,
        "mended": row.mended,
    }  # fmt: skip
