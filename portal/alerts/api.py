"""Alerts, rules and channels over REST."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema, Status
from pydantic import Field

from portal.accounts.access import team_for
from portal.accounts.views import person
from portal.alerts.models import Alert, AlertRule, Channel, Delivery
from portal.alerts.requests import (
    ChannelSpec,
    acknowledge,
    add_channel,
    add_rule,
    remove_channel,
    remove_rule,
    silence,
    try_channel,
)
from portal.alerts.rules import rule_words
from portal.alerts.telling import alert_as_json
from portal.api.names import Given
from portal.api.paging import Page, PageQuery, as_page, page_of

router = Router()


class AlertOut(Schema):
    """`key` names the cause; `ended_at` is null while it lasts."""

    uuid: UUID
    key: str
    is_bad: bool
    words: str
    detail: str
    url: str
    since: datetime
    ended_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None


class SilenceIn(Given):
    hours: int = Field(1, ge=-(2**31), le=2**31, description="1 to 720; 0 ends a silence")


class SilenceOut(Schema):
    key: str
    until: datetime | None


class AlertRuleIn(Given):
    metric: str = Field(max_length=100)
    above: float = Field(allow_inf_nan=False)
    minutes: int = Field(5, ge=-(2**31), le=2**31, description="1 to 60: the mean over so long is compared")


class AlertRuleOut(Schema):
    uuid: UUID
    metric: str
    above: float
    minutes: int
    words: str


class ChannelIn(Given):
    kind: str = Field(max_length=40, description="webhook (signed), chat (Slack, Matrix, Mattermost) or email")
    name: str = Field(max_length=200)
    target: str = Field(max_length=1000, description="a URL, or an e-mail address")
    gets_alerts: bool = True
    gets_events: bool = Field(False, description="every event of the team; webhooks alone")


class ChannelOut(Schema):
    uuid: UUID
    kind: str
    name: str
    target: str
    gets_alerts: bool
    gets_events: bool
    is_on: bool
    off_reason: str


class ChannelMade(ChannelOut):
    """`secret` signs what a webhook is sent; it is told this once."""

    secret: str


class DeliveryOut(Schema):
    """`answer` is what the last attempt came to; `next_at` when a waiting one is tried again."""

    uuid: UUID
    type: str
    state: str
    attempts: int
    answer: str
    created_at: datetime
    next_at: datetime
    finished_at: datetime | None


@router.get(
    "/alerts", response=Page[AlertOut], summary="Alerts, newest first: those that last, and those that are over"
)
def list_alerts(
    request: HttpRequest,
    paging: Query[PageQuery],
    open: Annotated[bool | None, Query(description="only those that last, or only those that are over")] = None,
) -> Any:
    rows = Alert.objects.filter(team=team_for(request, "alert.see")).select_related("acknowledged_by")
    if open is not None:
        rows = rows.filter(ended_at__isnull=open)
    found, after = page_of(rows, paging, newest_first=True)
    return as_page([alert_as_json(alert) for alert in found], after)


@router.post("/alerts/{uuid}/acknowledge", response=AlertOut, summary="Say that you look after it")
def post_acknowledge(request: HttpRequest, uuid: UUID) -> Any:
    return alert_as_json(acknowledge(_alert(request, uuid), person(request)))


@router.post("/alerts/{uuid}/silence", response=SilenceOut, summary="Have nobody told of its cause for a while")
def post_silence(request: HttpRequest, uuid: UUID, asked: SilenceIn) -> Any:
    alert = _alert(request, uuid)
    row = silence(alert, person(request), asked.hours)
    return {"key": alert.key, "until": row.until if row else None}


@router.get("/alert-rules", response=list[AlertRuleOut], summary="The team's thresholds")
def list_rules(request: HttpRequest) -> Any:
    return [_rule(rule) for rule in team_for(request, "alert.see").alert_rules.all()]


@router.post("/alert-rules", response={201: AlertRuleOut}, summary="Watch a threshold")
def post_alert_rule(request: HttpRequest, asked: AlertRuleIn) -> Any:
    team = team_for(request, "alert.handle")
    return Status(201, _rule(add_rule(team, person(request), asked.metric, asked.above, asked.minutes)))


@router.delete("/alert-rules/{uuid}", response={204: None}, summary="Watch a threshold no more")
def delete_alert_rule(request: HttpRequest, uuid: UUID) -> Any:
    rows = AlertRule.objects.filter(team=team_for(request, "alert.handle")).select_related("team")
    remove_rule(get_object_or_404(rows, uuid=uuid), person(request))
    return Status(204, None)


@router.get("/channels", response=list[ChannelOut], summary="Where the team is told")
def list_channels(request: HttpRequest) -> Any:
    return list(team_for(request, "channel.manage").channels.all())


@router.post("/channels", response={201: ChannelMade}, summary="Have the team told: by webhook, chat or e-mail")
def post_channel(request: HttpRequest, asked: ChannelIn) -> Any:
    spec = ChannelSpec(asked.kind, asked.name, asked.target, asked.gets_alerts, asked.gets_events)
    return Status(201, add_channel(team_for(request, "channel.manage"), person(request), spec))


@router.delete("/channels/{uuid}", response={204: None}, summary="Tell a channel no more")
def delete_channel(request: HttpRequest, uuid: UUID) -> Any:
    remove_channel(_channel(request, uuid), person(request))
    return Status(204, None)


@router.post("/channels/{uuid}/test", response={202: DeliveryOut}, summary="Send a message that says that it is a test")
def post_test(request: HttpRequest, uuid: UUID) -> Any:
    return Status(202, try_channel(_channel(request, uuid), person(request)))


@router.get("/channels/{uuid}/deliveries", response=Page[DeliveryOut], summary="What a channel was told, newest first")
def list_deliveries(request: HttpRequest, uuid: UUID, paging: Query[PageQuery]) -> Any:
    rows = Delivery.objects.filter(channel=_channel(request, uuid))
    return as_page(*page_of(rows, paging, newest_first=True))


def _alert(request: HttpRequest, uuid: UUID) -> Alert:
    rows = Alert.objects.filter(team=team_for(request, "alert.handle")).select_related("team", "acknowledged_by")
    return get_object_or_404(rows, uuid=uuid)


def _channel(request: HttpRequest, uuid: UUID) -> Channel:
    rows = Channel.objects.filter(team=team_for(request, "channel.manage")).select_related("team")
    return get_object_or_404(rows, uuid=uuid)


def _rule(rule: AlertRule) -> dict[str, Any]:
    return {"uuid": rule.uuid, "metric": rule.metric, "above": rule.above, "minutes": rule.minutes, "words": rule_words(rule)}  # fmt: skip
